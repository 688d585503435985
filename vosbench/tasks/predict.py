"""`vosbench predict`: label maps for a data set, or for any video and its first mask.

Repeating the command goes on where it stopped. Started several times at once (on several GPUs or machines that share
the run folder), each process takes the videos that no other works on.
"""

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
from vosbench.checkpoint import Checkpoint, facts, restore
from vosbench.datasets.video_folder import open_video
from vosbench.memory import Memory
from vosbench.method import Method
from vosbench.predictions import Prediction, PredictionFolder, hash_input, hash_of
from vosbench.propagate import Inference, Propagator, propagate
from vosbench.videos import LabelMap, Video
from vosbench.viz import overlay, write_video

log = logging.getLogger(__name__)

PEAK_RESET = Path("/proc/self/clear_refs")  # Linux: writing 5 there forgets the process's peak memory so far
AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keys of conf/predict.yaml, which explains them."""

    run: str
    method: dict[str, Any]
    memory: dict[str, Any]
    inference: dict[str, Any]
    checkpoint: str
    seed: int
    device: str
    precision: str
    overwrite: bool
    dataset: dict[str, Any]
    input: str | None
    mask: str | None
    output: str | None
    overlay: bool
    fps: float


def run(options: Options) -> None:
    """Writes `<output>/<sequence>/<frame>.png` of the listed frames; `output` is `<run>/predictions/<dataset>-<split>`
    when nothing else is said."""
    if (options.input is None) != (options.mask is None):
        raise ValueError(
            "input=<video or folder of frames> and mask=<PNG of its first frame> belong together: give both"
        )
    if options.input is not None:
        videos: Sequence[Video] = [open_video(options.input, options.mask)]
        default = Path(options.run, "predictions")
    else:
        dataset = instantiate(options.dataset)
        videos, default = dataset.videos, Path(options.run, "predictions", f"{dataset.name}-{dataset.split}")
    folder = PredictionFolder(Path(options.output or default))
    predictor = Predictor.load(
        method=options.method,
        memory=options.memory,
        inference=options.inference,
        checkpoint=options.checkpoint,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
    )
    others = predictor.predict(videos, folder, overwrite=options.overwrite)
    for name in others:
        log.info("%s is left to %s (%s)", name, (claim := folder.claim(name)).holder(), claim.path)
    log.info("label maps: %s", folder.root)
    if options.overlay:
        for video in videos:
            if video.name not in others:
                write_overlay(video, folder, options.fps)


def write_overlay(video: Video, folder: PredictionFolder, fps: float) -> None:
    """`<sequence>-overlay.mp4` beside the label maps: its listed frames with their objects coloured."""
    listed = [(i, name) for i, name in enumerate(video.frame_names) if video.is_listed(name)]
    frames = (overlay(video.frame(i), folder.label_map(video.name, name)) for i, name in listed)
    path = folder.root / f"{video.name}-overlay.mp4"
    write_video(path, frames, fps)
    log.info("overlay: %s", path)


@dataclass(frozen=True)
class Predictor:
    """A method with its weights, its memory policy and its device, ready for videos. `recipe` is a digest of what it
    is, `facts` what records say of it."""

    method: Method[Any, Any]
    memory: Callable[[], Memory[Any]]
    inference: Inference
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
        """From configuration. Raises ValueError for an unknown device or precision and for an unfit checkpoint."""
        if precision not in AUTOCAST:
            raise ValueError(f"precision={precision}: choose from {', '.join(AUTOCAST)}")
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
        raise ValueError(f"device={name} is not known: use auto, cpu, cuda or cuda:<number>")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={name}: torch sees {torch.cuda.device_count()} GPUs here; use another, or device=cpu")
    return device


def progress_bar() -> Progress:
    """Counts frames on one line, which is gone at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, transient=True)
