"""A method with its weights, memory and device, and the videos that it segments."""

import logging
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vosbench import __version__
from vosbench.inference.memory import Memory
from vosbench.inference.prediction_folder import Prediction, PredictionFolder
from vosbench.inference.propagator import Propagator, propagate
from vosbench.inference.resizing import Resizing
from vosbench.method import Method
from vosbench.runs.identity import hash_input, hash_of
from vosbench.util.errors import UserError
from vosbench.video.video import LabelMap, Video
from vosbench.weights.loading import restore
from vosbench.weights.origin import Checkpoint, facts

log = logging.getLogger(__name__)

PEAK_RESET = Path("/proc/self/clear_refs")  # Linux: writing 5 there forgets the process's peak memory so far
AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class Predictor:
    """A method with its weights, its memory policy and its device, ready for videos. `recipe` is a digest of what it
    is, `facts` what records say of it."""

    method: Method[Any, Any]
    memory: Callable[[], Memory[Any]]
    inference: Resizing
    checkpoint: Checkpoint
    device: torch.device
    precision: str
    recipe: str
    facts: dict[str, Any]

    @classmethod
    def load(
        cls,
        *,
        method: dict[str, Any],
        memory: dict[str, Any],
        inference: dict[str, Any],
        checkpoint: str,
        seed: int,
        device: str,
        precision: str,
    ) -> "Predictor":
        """From configuration. Raises UserError for an unknown device or precision and for an unfit checkpoint."""
        if precision not in AUTOCAST:
            raise UserError(f"precision={precision}: choose from {', '.join(AUTOCAST)}")
        where = _device(device)
        torch.set_flush_denormal(True)  # CPUs are up to 39× slower on weights of a softmax that are almost zero
        torch.manual_seed(seed)
        network = instantiate(method, _convert_="all")
        found = restore(network, checkpoint, seed)
        return cls(
            method=network.to(where).eval(),
            memory=instantiate(memory, _partial_=True, _convert_="all"),
            inference=instantiate(inference),
            checkpoint=found,
            device=where,
            precision=precision,
            recipe=hash_of([method, memory, inference, precision]),
            facts=facts(network, method, found),
        )

    def hashes(self, video: Video) -> dict[str, str]:
        """What a prediction depends on, by part."""
        weights = self.checkpoint.sha256
        return {"method": self.recipe, "checkpoint": weights, "input": hash_input(video), "version": __version__}

    def predict(self, videos: Sequence[Video], folder: PredictionFolder, *, overwrite: bool) -> list[str]:
        """Segments the videos that are not done yet and that no other process works on, longest first.

        Returns the names of those that are left to other processes.
        """
        hashes = {video.name: self.hashes(video) for video in videos}
        todo = set(folder.check(hashes, overwrite=overwrite))
        ordered = sorted((v for v in videos if v.name in todo), key=lambda v: (-len(v.frame_names), v.name))
        if len(todo) < len(videos):
            log.info("%d of %d videos are done already", len(videos) - len(todo), len(videos))
        with progress_bar() as progress:
            task = progress.add_task("predict", total=sum(len(video.frame_names) for video in ordered))
            for video in ordered:
                with folder.claim(video.name) as mine:
                    if mine and folder.read(video.name) is None:
                        progress.update(task, description=video.name)
                        self._predict_one(video, hashes[video.name], folder, lambda: progress.advance(task))
        return [video.name for video in ordered if folder.read(video.name) is None]

    def _predict_one(
        self, video: Video, hashes: dict[str, str], folder: PredictionFolder, advance: Callable[[], None]
    ) -> None:
        propagator = Propagator(self.method, self.memory(), self.inference, self.device)
        self._reset_peak_memory()
        size = video.frame(0).shape[:2]

        def record() -> Prediction:
            latencies = [1000 * seconds for seconds in propagator.seconds[1:]]
            return Prediction(hashes, latencies, size, self._peak_memory_mb(), self.facts)

        def frames() -> Iterator[tuple[str, LabelMap]]:
            with self._autocast():
                for name, labels in zip(video.frame_names, propagate(propagator, video), strict=True):
                    if video.is_listed(name):
                        yield name, labels
                    advance()

        folder.save(video.name, frames(), record)

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = AUTOCAST[self.precision]
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def _reset_peak_memory(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif PEAK_RESET.exists():
            with suppress(OSError):  # some containers forbid it; the peak is then the process's
                PEAK_RESET.write_text("5")

    def _peak_memory_mb(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device={name} is not known: use auto, cpu, cuda or cuda:<number>")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}: torch sees {torch.cuda.device_count()} GPUs here; use another, or device=cpu")
    return device


def progress_bar() -> Progress:
    """Counts frames on one line, which is gone at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, transient=True)
