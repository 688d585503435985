"""What DINO does beside its loss: the teacher follows the student, and the last layer waits."""

import math
from typing import Any

import lightning as L
import torch

from vosbench.methods.mask_embedding.dino import Dino
from vosbench.training.module import Engine
from vosbench.util.errors import UserError


class Ema(L.Callback):
    """Moves the teacher after each step: teacher ← m · teacher + (1 − m) · student, all parameters.

    momentum: m of the first step, from where it rises by half a cosine towards 1 at `trainer.max_steps`.
    """

    def __init__(self, momentum: float = 0.996) -> None:
        if not 0 <= momentum <= 1:
            raise UserError(f"callbacks: momentum={momentum} of the teacher: give 0 to 1")
        self.momentum = momentum

    def at(self, step: int, steps: int) -> float:
        """m after a step, counted from 0, of `steps`."""
        return 1 - (1 - self.momentum) * (1 + math.cos(math.pi * step / steps)) / 2

    def on_train_batch_end(self, trainer: L.Trainer, engine: L.LightningModule, *_: Any) -> None:
        follow(_dino(engine), self.at(trainer.global_step - 1, trainer.max_steps))


@torch.no_grad()
def follow(dino: Dino, momentum: float) -> None:
    """Moves the teacher's parameters once. The statistics of its batch normalisation are its own."""
    for slow, fast in zip(dino.teacher.parameters(), dino.student.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)


class FrozenLastLayer(L.Callback):
    """Leaves the prototypes as they are in the first `steps` (in DINO an epoch), while features are still noise."""

    def __init__(self, steps: int) -> None:
        if steps < 0:
            raise UserError(f"callbacks: steps={steps} of the frozen last layer: give 0 or more")
        self.steps = steps

    def on_before_optimizer_step(
        self, trainer: L.Trainer, engine: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if trainer.global_step < self.steps:
            # Without a gradient, neither momentum nor weight decay changes it, and clipping ignores it.
            _dino(engine).student.last.weight.grad = None


def _dino(engine: L.LightningModule) -> Dino:
    method = engine.method if isinstance(engine, Engine) else engine
    if not isinstance(method, Dino):
        raise UserError(f"callbacks: {type(method).__name__} has no teacher: these callbacks are for Dino only")
    return method
