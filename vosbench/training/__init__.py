"""From clips to checkpoints: the LightningModule, its data and schedules, validation, and files to resume from."""
