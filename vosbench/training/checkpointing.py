"""The files that training writes: checkpoints from which a killed run resumes exactly, and metrics.csv."""

import csv
import io
import logging
import shutil
import signal
import threading
from argparse import Namespace
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from vosbench.util.errors import UserError
from vosbench.util.files import replace_file
from vosbench.util.reading import reading
from vosbench.util.wording import some

RESUMED = {
    "state_dict",
    "optimizer_states",
    "lr_schedulers",
    "loops",
    "global_step",
    "callbacks",
}  # what resuming needs

log = logging.getLogger(__name__)
ASKING = (signal.SIGUSR1, signal.SIGUSR2)  # what Slurm may send before a time limit, maybe more than once
STOPPING = (signal.SIGINT, signal.SIGTERM, *ASKING)


class WholeFiles(TorchCheckpointIO):
    """Writes each checkpoint to a temporary file beside it and renames that file. Lightning's own writer goes through
    the system's temporary folder; if that is on another disk, the file is copied, and a kill can cut the copy short."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        replace_file(Path(path), content.getvalue(), synced=True)

    def load_checkpoint(self, path: str | Path, *arguments: Any, **settings: Any) -> dict[str, Any]:
        """Raises UserError naming a file that cannot be read, or from which no training can resume."""
        remedy = "set overwrite=true to train anew"
        with reading(Path(path), "checkpoint", remedy):
            content: dict[str, Any] = super().load_checkpoint(path, *arguments, **settings)
        if missing := sorted(RESUMED - content.keys()):
            raise UserError(f"cannot resume from checkpoint {path}: it lacks {some(missing)}; {remedy}")
        return content


class Fresh(L.Callback):
    """Removes what an earlier training left in the run folder, before any process writes there."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def setup(self, trainer: L.Trainer, *_: Any, **__: Any) -> None:
        if trainer.is_global_zero:
            for folder in ("checkpoints", "labels"):
                shutil.rmtree(self.run / folder, ignore_errors=True)
            (self.run / "metrics.csv").unlink(missing_ok=True)
        trainer.strategy.barrier()


class LastCheckpoint(Checkpoint):
    """Writes `path` every `steps` steps, after every validation, at the end, and before an interrupt ends training.

    A step that is validated is saved only after validation, so that the file holds the best score so far and a run
    killed during validation repeats it.
    """

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.steps = path, steps
        self.stop = StopRequest()

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.stop.listen()

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Ends training once everything about the step before is written."""
        if self.stop.agreed:
            raise KeyboardInterrupt

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        parts = trainer.accumulate_grad_batches
        if (trainer.fit_loop.batch_idx + 1) % parts:
            return  # in the middle of a step
        self.stop.agree(trainer)
        interval = int(trainer.val_check_batch or 1) // parts
        validated = trainer.enable_validation and trainer.global_step % interval == 0
        due = self.steps and trainer.global_step % self.steps == 0
        if (due or self.stop.agreed) and not validated:
            self._save(trainer)

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._save(trainer)

    def teardown(self, *_: Any, **__: Any) -> None:
        self.stop.close()

    def _save(self, trainer: L.Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()
        trainer.save_checkpoint(self.path)


class StopRequest:
    """Notes an interrupt or a termination signal, so that training ends after the step at hand. A second interrupt or
    termination ends it at once."""

    def __init__(self) -> None:
        self.asked = self.agreed = False
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        if threading.current_thread() is threading.main_thread():  # no other thread may
            self._before = {number: signal.signal(number, self._note) for number in STOPPING}

    def close(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def agree(self, trainer: L.Trainer) -> None:
        """All processes end after the same step, whichever of them was asked to."""
        if trainer.world_size > 1:
            self.agreed = trainer.strategy.reduce_boolean_decision(self.asked, all=False)
        else:
            self.agreed = self.asked

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.asked and number not in ASKING:
            raise KeyboardInterrupt
        if not self.asked:
            log.info("%s: saving after this step; interrupt again to end at once", signal.Signals(number).name)
        self.asked = True


class MetricsFile(Logger):
    """A CSV file with one row per logged step: loss, its terms, learning rate, and validation scores.

    `step` counts from 0. A resumed run keeps the rows before the step it resumes from. The whole file is rewritten with
    every checkpoint.
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

    def losses(self) -> list[tuple[float, float]]:
        """The steps that were logged, with their losses."""
        return [(step, float(row["loss"])) for step, row in sorted(self._rows.items()) if row.get("loss")]

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing: hyperparameters are in .hydra/config.yaml."""

    @rank_zero_only
    def save(self) -> None:
        if not self._started:
            return
        rows = dict(sorted(self._rows.items()))
        keys = dict.fromkeys(key for row in rows.values() for key in row)  # in the order in which steps log them
        text = io.StringIO()
        writer = csv.DictWriter(text, ["step", *keys], lineterminator="\n")
        writer.writeheader()
        writer.writerows({"step": step, **row} for step, row in rows.items())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.path, text.getvalue().encode())

    def finalize(self, status: str) -> None:
        self.save()

    def _read(self) -> dict[int, dict[str, str]]:
        if not self.path.is_file():
            return {}
        with reading(self.path, "", "move it away, and the rows start again"), self.path.open(newline="") as file:
            return {int(row.pop("step")): {k: v for k, v in row.items() if v} for row in csv.DictReader(file)}
