"""What training leaves on disk: checkpoints that a killed run goes on from exactly, and metrics.csv."""

import csv
import io
from argparse import Namespace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from vosbench.util.files import replace_file


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints beside their place and renames them. Lightning's own way leads through the system's folder
    for temporary files, from where another disk gets a copy, which a kill can cut short."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        replace_file(Path(path), content.getvalue())


class LastCheckpoint(Checkpoint):
    """Writes `path` every so many steps, after every validation and at the end.

    Where a step is validated, the file is written after it: it knows the best score so far, and a run that is killed
    during validation repeats it.
    """

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.steps = path, steps

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        validated = trainer.enable_validation and trainer.global_step % (trainer.val_check_batch or 1) == 0
        if self.steps and trainer.global_step % self.steps == 0 and not validated:
            self._save(trainer)

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()
        trainer.save_checkpoint(self.path)


class MetricsFile(Logger):
    """A CSV file with one row a logged step: loss, its terms, learning rate, and scores where they were validated.

    `step` counts from 0. A resumed run keeps the rows before the step it goes on from. The file is written, as a
    whole, whenever a checkpoint is.
    """

    name, version = "metrics", ""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._rows: dict[int, dict[str, str]] = {}
        self._started = False

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        if step is None:
            step = max(self._rows, default=-1) + 1
        if not self._started:
            self._rows = {past: row for past, row in self._read().items() if past < step}
            self._started = True
        named = {key: f"{float(value):.7g}" for key, value in metrics.items() if key != "epoch"}
        self._rows.setdefault(step, {}).update(named)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: they are in .hydra/config.yaml."""

    @rank_zero_only
    def save(self) -> None:
        if not self._started:
            return
        keys = dict.fromkeys(key for row in self._rows.values() for key in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, ["step", *keys], lineterminator="\n")
        writer.writeheader()
        writer.writerows({"step": step, **row} for step, row in sorted(self._rows.items()))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.path, text.getvalue().encode())

    def finalize(self, status: str) -> None:
        self.save()

    def _read(self) -> dict[int, dict[str, str]]:
        if not self.path.is_file():
            return {}
        with self.path.open(newline="") as file:
            return {int(row.pop("step")): {k: v for k, v in row.items() if v} for row in csv.DictReader(file)}
