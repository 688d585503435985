"""The LightningModule: sums and logs a method's losses, sets up its optimizer, and scores it on validation videos."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from vosbench.contract import Clip
from vosbench.drawing.overlays import Picture, overlay
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.protocols.protocol import Protocol
from vosbench.inference.device import device_name
from vosbench.inference.memory import Memory
from vosbench.inference.propagator import Propagator, propagate
from vosbench.inference.resizing import Resizing
from vosbench.ops.processes import share_buffers
from vosbench.runs.trainings import thinned
from vosbench.training.checkpointing import MetricsFile
from vosbench.training.loggers import others, show
from vosbench.training.validation import means, of_all_processes, score_video
from vosbench.util.errors import UserError
from vosbench.video.video import LabelMap, Video

PAST = ("recipe", "earlier", "earlier_hours")  # what a resumed training cannot tell of itself
EXAMPLES = 4  # validation videos of which loggers get a picture


class Engine(L.LightningModule):
    """Trains any module with `loss(clip)`, and validates it if it is a `Method`.

    optimizer  maps named parameters to a torch optimizer
    schedule   maps the number of samples seen so far to a multiplier of the learning rate
    batch      samples per step, over all processes
    memory     makes a new memory for each validation video
    protocol   scores the validation videos; None if there are none
    metadata   what checkpoints say about themselves
    """

    def __init__(
        self,
        method: nn.Module,
        optimizer: Callable[[Iterable[tuple[str, nn.Parameter]]], torch.optim.Optimizer],
        schedule: Callable[[int], float],
        batch: int,
        memory: Callable[[], Memory[Any]],
        inference: Resizing,
        protocol: Protocol | None,
        seed: int,
        metadata: dict[str, Any],
    ) -> None:
        super().__init__()
        self.method = method
        self.optimizer, self.schedule, self.batch = optimizer, schedule, batch
        self.memory, self.inference, self.protocol = memory, inference, protocol
        self.seed, self.metadata = seed, metadata
        self._scored: dict[ObjectKey, dict[str, float]] = {}
        self._examples: dict[str, Picture] = {}
        self._hours: float | None = 0.0  # of earlier runs of this training; None: unknown
        self._began = time.monotonic()

    def on_train_start(self) -> None:
        self._began = time.monotonic()

    def on_train_batch_start(self, *_: Any) -> None:
        """Mends Lightning's count of steps for loggers, which is one too high after going on from the end of a
        training."""
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.global_step

    def training_step(self, clip: Clip, _: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            # Seeded by the step: what all clips share is drawn alike in all processes, and in a resumed run.
            torch.manual_seed(self.seed * 1_000_003 + self.global_step)
            terms = self.method.loss(clip)  # type: ignore[operator]
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            raise UserError(
                f"the loss is {total.item()} at step {self.global_step}: lower optimizer.lr or train in 32-true"
            )
        named = {f"train/{name}": term.detach() for name, term in terms.items()}
        self.log_dict(named, batch_size=len(clip.videos), sync_dist=True)
        self.log("loss", total.detach(), prog_bar=True, batch_size=len(clip.videos), sync_dist=True)
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"])
        return total

    def on_validation_start(self) -> None:
        share_buffers(self.method)  # those of the checkpoint, which the first process writes

    def validation_step(self, video: Video, _: int) -> None:
        """Scores the objects of one video; the scores of all videos are averaged at the end."""
        assert self.protocol is not None  # otherwise there would be no videos
        propagator: Propagator[Any, Any] = Propagator(self.method, self.memory(), self.inference, self.device)  # type: ignore[arg-type]
        maps = propagate(propagator, video)
        if others(self.loggers) and len(self._examples) < EXAMPLES:
            maps = self._watched(video, maps)
        self._scored |= score_video(video, maps, self.protocol)

    def _watched(self, video: Video, maps: Iterable[LabelMap]) -> Iterator[LabelMap]:
        """The label maps unchanged. Keeps a picture of the last."""
        for labels in maps:
            yield labels
        self._examples[video.name] = overlay(video.frame(len(video.frame_names) - 1), labels)

    def on_validation_epoch_end(self) -> None:
        """Logs `val/<measure>` as the protocol averages it over all objects of all videos, such as val/J&F, val/J and
        val/F."""
        assert self.protocol is not None
        scores = means(of_all_processes(self._scored), self.protocol)
        self._scored = {}
        for name, picture in self._examples.items():
            show(self.loggers, f"val/{name}", picture, self.global_step - 1)
        self._examples = {}
        values = {f"val/{name}": torch.tensor(score) for name, score in scores.items()}
        self.log_dict(values, sync_dist=True, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(self.method.named_parameters())
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule(step * self.batch))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores what only the first run knows, the origin of the initial weights, and adds to the list of
        commits."""
        stored = checkpoint["vosbench"]
        self.metadata |= {key: stored[key] for key in ("training_data", "supervision") if key in stored}
        self.metadata["commits"] = list(dict.fromkeys([*stored.get("commits", []), *self.metadata["commits"]]))
        self.metadata["processes"] = stored.get("processes", [])
        earlier = stored.get("training") or {}
        self.metadata["training"] |= {key: earlier[key] for key in PAST if key in earlier}
        self._hours = earlier.get("hours")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The numbers of processes count because each has batch norm statistics of its own, unless they are
        synchronised."""
        numbers = {*self.metadata.get("processes", []), self.trainer.world_size}
        checkpoint["vosbench"] = {**self.metadata, "processes": sorted(numbers), "training": self._training()}

    def _training(self) -> dict[str, Any]:
        """What records say of the training: how it was asked for, and what it took so far."""
        hours = None if self._hours is None else self._hours + (time.monotonic() - self._began) / 3600
        name, count = device_name(self.device), self.trainer.world_size
        losses = [point for logger in self.loggers if isinstance(logger, MetricsFile) for point in logger.losses()]
        took = {
            "losses": thinned(losses),
            "steps": self.global_step,
            "max_steps": self.trainer.max_steps,
            "hours": hours,
            "device": name if count == 1 else f"{count} × {name}",
        }
        return {**self.metadata["training"], **took}
