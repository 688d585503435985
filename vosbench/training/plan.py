"""What a training will take, estimated from a few timed steps before it begins."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import numpy as np
import torch

from vosbench.inference.device import peak_memory_mb, reset_peak_memory
from vosbench.inference.propagator import Propagator, propagate
from vosbench.training.datamodule import ClipData
from vosbench.training.module import Engine
from vosbench.util.progress import duration
from vosbench.video.video import LabelMap

WARM, TIMED = 2, 5  # steps that run before those that are timed, and those
FRAMES = 5  # of a validation video that are timed, after its first

Trained = Callable[[str, int, Sequence[L.Callback]], L.Trainer]


class FourSegments:
    """Stands in for pseudo-labels, which take long to make: every frame has four segments."""

    def read(self, epoch: int, video: str, frame: str) -> LabelMap:
        return np.array([[1, 2], [3, 4]], np.uint8)


@dataclass
class StepTimes(L.Callback):
    """Seconds that each batch takes, those of waiting for its clips, and the peak memory in MB."""

    batches: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    memory: float = 0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        reset_peak_memory(module.device)
        self._end = time.perf_counter()

    def on_train_batch_start(self, *_: Any) -> None:
        self._waited = time.perf_counter() - self._end

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        now = time.perf_counter()
        self.waits.append(self._waited)
        self.batches.append(now - self._end)
        self._end = now

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.memory = peak_memory_mb(module.device)

    def seconds(self, parts: int) -> tuple[float, float]:
        """Of a step, which has `parts` batches, and of its waiting."""
        batches, waits = self.batches[WARM * parts :], self.waits[WARM * parts :]
        return parts * mean(batches), parts * mean(waits)


def plan(
    engine: Engine, data: ClipData, trained: Trained, *, steps: int, done: int, validated: int, makes_labels: bool
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
    validations = steps // validated - min(steps, done) // validated if data.validation else 0
    validating = validations * _seconds_of_validation(engine, data, trainer) if validations else 0.0
    left = max(0, steps - done)
    step, wait = timer.seconds(trainer.accumulate_grad_batches)
    gpu, processes = trainer.strategy.root_device.type == "cuda", trainer.world_size
    return {
        "parameters": _parameters(engine),
        "steps": f"{left:,}, from step {done:,}, on {processes} × {'GPU' if gpu else 'CPU'} in {trainer.precision}",
        **_amounts(data, left),
        "validation": f"{validations:,} times {len(data.validation):,} videos" if validations else "none",
        "memory": f"{timer.memory:,.0f} MB of {'each GPU' if gpu else 'each process'}, without data.workers",
        "step": f"{step:.3f} s, {100 * wait / step:.0f} % of it waiting for clips",
        "time": f"about {duration(left * step + validating)}, {duration(validating)} of it validation"
        + "; making pseudo-labels is not counted" * makes_labels,
    }


def _parameters(engine: Engine) -> str:
    parameters = list(engine.method.parameters())
    trained = sum(each.numel() for each in parameters if each.requires_grad)
    return f"{sum(each.numel() for each in parameters):,}, {trained:,} of them trained"


def _amounts(data: ClipData, steps: int) -> dict[str, str]:
    """Clips and frames of some steps. A clip of a still image reads one frame."""
    samples, epoch = steps * data.batch, max(1, data.clips.table.samples(0))
    _, frames = data.clips.table[0]
    read = len(set(frames)) * (1 + data.clips.paste)
    return {
        "samples": f"{samples:,}, {data.batch} a step; {samples / epoch:.1f} epochs of {epoch:,}",
        "frames read": f"{samples * read:,}, {read} a sample",
    }


def _seconds_of_validation(engine: Engine, data: ClipData, trainer: L.Trainer) -> float:
    """Estimated from the first frames of the first video. Processes share out the videos."""
    engine.to(trainer.strategy.root_device).eval()  # Lightning has left it on the CPU
    propagator: Propagator[Any, Any] = Propagator(engine.method, engine.memory(), engine.inference, engine.device)  # type: ignore[arg-type]
    with trainer.precision_plugin.forward_context():
        for _ in islice(propagate(propagator, data.validation[0]), FRAMES + 1):
            pass
    frames = sum(len(video.frame_names) for video in data.validation)
    processes = min(trainer.world_size, len(data.validation))
    return frames / processes * median([*propagator.seconds][1:] or propagator.seconds)
