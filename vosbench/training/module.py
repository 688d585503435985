"""The one LightningModule: sums and logs a method's losses, steps its optimizer, scores it on validation videos."""

from collections.abc import Callable, Iterable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from vosbench.contract import Clip
from vosbench.evaluation.metrics import Objects
from vosbench.evaluation.protocols import davis
from vosbench.inference.memory import Memory
from vosbench.inference.propagator import Propagator, propagate
from vosbench.inference.resizing import Resizing
from vosbench.util.errors import UserError
from vosbench.video.video import Video


class Engine(L.LightningModule):
    """Trains anything with `loss(clip)`; validates it when it is a `Method`.

    optimizer  from parameters with their names to a torch optimizer
    schedule   from samples seen so far to a multiplier of the learning rate
    batch      samples in a step, over all processes
    memory     a fresh memory per validation video
    """

    def __init__(
        self,
        method: nn.Module,
        optimizer: Callable[[Iterable[tuple[str, nn.Parameter]]], torch.optim.Optimizer],
        schedule: Callable[[int], float],
        batch: int,
        memory: Callable[[], Memory[Any]],
        inference: Resizing,
        seed: int,
        metadata: dict[str, Any],
    ) -> None:
        super().__init__()
        self.method = method
        self.optimizer, self.schedule, self.batch = optimizer, schedule, batch
        self.memory, self.inference, self.seed, self.metadata = memory, inference, seed, metadata

    def training_step(self, clip: Clip, _: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            # Seeded by the step: all processes draw alike, and a resumed run draws what the killed one would have.
            torch.manual_seed(self.seed * 1_000_003 + self.global_step)
            terms = self.method.loss(clip)  # type: ignore[operator]
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            raise UserError(
                f"the loss is {total.item()} at step {self.global_step}: lower optimizer.lr or train in 32-true"
            )
        self.log_dict({f"train/{name}": term.detach() for name, term in terms.items()}, batch_size=len(clip.videos))
        self.log("loss", total.detach(), prog_bar=True, batch_size=len(clip.videos))
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"])
        return total

    def validation_step(self, video: Video, _: int) -> None:
        """J and F of one video, weighted by its objects: the epoch's value is the mean over all objects, as in
        `davis`."""
        propagator: Propagator[Any, Any] = Propagator(self.method, self.memory(), self.inference, self.device)  # type: ignore[arg-type]
        maps = enumerate(propagate(propagator, video))
        known = ((truth, labels) for i, labels in maps if (truth := video.annotation(i)) is not None)
        pairs = ((Objects.of(truth), Objects.of(labels)) for truth, labels in known)
        curves = davis.score(pairs, video.name).values()
        j, f = (torch.tensor([curve.measures[name].mean() for curve in curves]).mean() for name in ("J", "F"))
        means = {"val/J": j, "val/F": f, "val/J&F": (j + f) / 2}
        self.log_dict(means, sync_dist=True, batch_size=len(curves), prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(self.method.named_parameters())
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule(step * self.batch))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What the training began with is known to its first run alone."""
        stored = checkpoint["vosbench"]
        self.metadata |= {key: stored[key] for key in ("initial", "training_data") if key in stored}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["vosbench"] = self.metadata
