"""How far a training is and how fast: lines in the log now and then, and clips per second for loggers."""

import logging
import time
from dataclasses import dataclass, field
from typing import Any

import lightning as L

from vosbench.training.loggers import others
from vosbench.util.progress import PATIENCE, QUIETLY, duration, speed

log = logging.getLogger(__name__)


@dataclass
class Span:
    """Steps since a moment."""

    step: int
    began: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        return max(1e-9, time.monotonic() - self.began)

    def rate(self, step: int) -> float:
        """Steps per second."""
        return (step - self.step) / self.seconds()


class Progress(L.Callback):
    """batch: clips per step, over all processes"""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        self._logged, self._told = Span(trainer.global_step), Span(trainer.global_step)

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._logged = Span(trainer.global_step)  # loggers are given the speed of steps alone

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if step > self._logged.step and not step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            found = {"clips_per_second": self._logged.rate(step) * self.batch}
            for logger in others(trainer.loggers):
                logger.log_metrics(found, step - 1)
            self._logged = Span(step)
        if step > self._told.step and self._told.seconds() > PATIENCE:
            self._tell(trainer, self._told.rate(step))
            self._told = Span(step)

    def _tell(self, trainer: L.Trainer, rate: float) -> None:
        step, steps = trainer.global_step, trainer.max_steps
        if trainer.is_global_zero:
            loss, left = float(trainer.callback_metrics["loss"]), duration((steps - step) / rate)
            fast = speed(rate * self.batch, "clips")
            log.info("step %d of %d, loss %.4g, %s, %s left", step, steps, loss, fast, left, extra=QUIETLY)
