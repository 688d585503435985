"""How far a training is and how fast: lines in the log now and then, and clips per second for loggers."""

import logging
import time
from typing import Any

import lightning as L

from vosbench.training.loggers import others
from vosbench.util.progress import PATIENCE, QUIETLY, duration

log = logging.getLogger(__name__)


class Progress(L.Callback):
    """batch: clips per step, over all processes"""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        self._said = time.monotonic()
        self._restart(trainer)
        self._took: list[float] = []

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._restart(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        steps = trainer.global_step - self._step
        if not steps or trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        rate = steps / max(1e-9, time.monotonic() - self._since)
        for logger in others(trainer.loggers):
            logger.log_metrics({"clips_per_second": rate * self.batch}, trainer.global_step - 1)
        if trainer.is_global_zero and time.monotonic() - self._said > PATIENCE:
            self._said = time.monotonic()
            self._say(trainer, rate)
        self._restart(trainer)

    def _restart(self, trainer: L.Trainer) -> None:
        self._since, self._step = time.monotonic(), trainer.global_step

    def _say(self, trainer: L.Trainer, rate: float) -> None:
        step, steps = trainer.global_step, trainer.max_steps
        loss, left = trainer.callback_metrics.get("loss"), duration((steps - step) / rate)
        told = "" if loss is None else f", loss {float(loss):.4g}"
        text = "step %d of %d%s, %.3g clips a second, %s left"
        log.info(text, step, steps, told, rate * self.batch, left, extra=QUIETLY)
