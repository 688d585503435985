"""Averages of a training's weights, which are often better than any of its steps."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EMAWeightAveraging

from vosbench.util.errors import UserError


class Average(EMAWeightAveraging):
    """Validates and saves an exponential moving average of the weights, average ← d · average + (1 − d) · weights after
    each step. The training itself goes on from the weights, which checkpoints hold, too.

    decay: d. The average is over about 1 / (1 − d) steps.

    Raises UserError for a decay that is no share.
    """

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"callbacks.average.decay={decay}: give 0 or more, and less than 1")
        super().__init__(decay=decay)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device  # where the weights will be once all callbacks are set up
        super().setup(trainer, pl_module, stage)

    def on_train_end(self, *_: Any) -> None:
        """Keeps the weights, so that last.ckpt does and more steps go on from them. Lightning puts the average in their
        place."""
