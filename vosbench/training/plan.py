"""What a training will take, estimated from a few timed steps before it begins."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import numpy as np

from vosbench.inference.device import peak_memory_mb, reset_peak_memory
from vosbench.inference.propagator import Propagator, propagate
from vosbench.training.datamodule import ClipData
from vosbench.training.module import Engine
from vosbench.util.progress import duration
from vosbench.video.video import LabelMap

WARM, TIMED = 2, 5  # steps that run before those that are timed, and those
FRAMES = 5  # of a validation video that are timed, after its first

log = logging.getLogger(__name__)


class FourSegments:
    """Stands in for pseudo-labels, which take long to make: every frame has four segments."""

    def read(self, epoch: int, video: str, frame: str) -> LabelMap:
        return np.array([[1, 2], [3, 4]], np.uint8)


@dataclass
class StepTimes(L.Callback):
    """Times the steps of a training, and how long each waits for its clips. Seconds."""

    steps: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        reset_peak_memory(module.device)
        self._end = time.perf_counter()

    def on_train_batch_start(self, *_: Any) -> None:
        self._waited = time.perf_counter() - self._end

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if module.device.type == "cuda":
            import torch

            torch.cuda.synchronize(module.device)
        self.waits.append(self._waited)
        self.steps.append(time.perf_counter() - self._end)
        self._end = time.perf_counter()


def plan(
    engine: Engine,
    data: ClipData,
    trained: Callable[[str, int, Sequence[L.Callback]], L.Trainer],
    *,
    steps: int,
    done: int,
    validated: int,
    makes_labels: bool,
) -> dict[str, str]:
    """What the training will take, by name, for people to read. Nothing is written into the run folder.

    trained       makes a trainer for a run folder, a number of steps and some callbacks
    steps, done   of the whole training, and those of them that an earlier run did
    validated     steps between validations
    makes_labels  whether the training makes pseudo-labels, which is not timed
    """
    if makes_labels:
        data.clips.pseudo_labels = FourSegments()  # type: ignore[assignment]
    timer = StepTimes()
    with TemporaryDirectory(prefix="vosbench-plan-") as folder:
        trainer = trained(folder, WARM + TIMED, [timer])
        trainer.fit(engine, datamodule=data)
    device = trainer.strategy.root_device
    parts = trainer.accumulate_grad_batches
    step, wait = (parts * median(times[WARM * parts :]) for times in (timer.steps, timer.waits))
    memory = peak_memory_mb(device)
    validations = (steps // validated) - (done // validated) if data.validation else 0
    frames = sum(len(video.frame_names) for video in data.validation)
    validating = validations * frames * _frame_seconds(engine, data) if validations else 0.0
    left, clip = steps - done, len(data.clips.table[0][1]) * (1 + data.clips.paste)
    samples, epoch = left * data.batch, data.clips.table.samples(0)
    parameters = list(engine.method.parameters())
    return {
        "parameters": f"{sum(p.numel() for p in parameters):,}, "
        f"{sum(p.numel() for p in parameters if p.requires_grad):,} of them trained",
        "steps": f"{left:,} from step {done:,}, on {trainer.world_size} × {device.type} in {trainer.precision}",
        "samples": f"{samples:,}, {data.batch} a step; {samples / epoch:.1f} epochs of {epoch:,}",
        "frames read": f"{samples * clip:,}, {clip} a sample",
        "validation": f"{validations} × {len(data.validation)} videos, {frames:,} frames",
        "memory": f"{memory:,.0f} MB of {'the GPU' if device.type == 'cuda' else 'the process'}, without workers",
        "step": f"{step:.3f} s, {100 * min(1.0, wait / step):.0f} % of it waiting for clips",
        "time": f"about {duration(left * step + validating)}, {duration(validating)} of it validation"
        + "; pseudo-labels not counted" * makes_labels,
    }


def _frame_seconds(engine: Engine, data: ClipData) -> float:
    """Seconds for a frame of validation, from the first video."""
    propagator: Propagator[Any, Any] = Propagator(
        engine.method.eval(),  # type: ignore[arg-type]
        engine.memory(),
        engine.inference,
        engine.device,
    )
    for _ in islice(propagate(propagator, data.validation[0]), FRAMES + 1):
        pass
    return median(propagator.seconds[1:] or propagator.seconds)
