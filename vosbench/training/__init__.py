"""From clips to checkpoints: the LightningModule, its data, schedules, and files that a killed run resumes from."""
