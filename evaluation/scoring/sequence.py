"""Scoring one sequence: compares its label maps with the annotations, and collects everything wrong with them."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from vosbench.evaluation.metrics import Curves, Objects, Pair
from vosbench.evaluation.predictions.joints import JointPositions
from vosbench.evaluation.predictions.label_maps import LabelMaps
from vosbench.evaluation.protocols.protocol import Protocol
from vosbench.evaluation.scoring.joint_pairs import JointPair, joint_pairs
from vosbench.evaluation.scoring.region_cache import RegionCache
from vosbench.util.errors import UserError
from vosbench.util.wording import rows_columns, some
from vosbench.video.judgement import SHADES, is_grey
from vosbench.video.leftovers import palette_faults
from vosbench.video.video import Video

ExtraFrames = Literal["wrong", "left out", "ignored"]


@dataclass(frozen=True)
class Job:
    """One sequence to score. extra_frames: how to treat predictions for frames that the video does not have."""

    video: Video
    maps: LabelMaps | JointPositions
    protocol: Protocol
    extra_frames: ExtraFrames
    cache: Path | None


@dataclass
class Result:
    """A worker's result: curves by object id, names of the annotated frames, and all faults.

    faults    (frame, what is wrong with it); the frame is "" for a fault of the sequence
    palettes  masks whose palettes contradict their indices, and how
    """

    name: str
    curves: dict[int, Curves] = field(default_factory=dict)
    stems: list[str] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    palettes: list[tuple[Path, str]] = field(default_factory=list)
    made_binary: bool = False
    left_out: int = 0

    def problems(self) -> list[str]:
        """One sentence for each kind of fault, which lists all frames that have it."""
        kinds: dict[str, list[tuple[str, str]]] = {}
        for frame, fault in self.faults:
            kind = re.sub(rf"(?<!\w){re.escape(frame)}(?!\w)", "*", fault) if frame else fault
            kinds.setdefault(kind, []).append((frame, fault))
        gathered = ((kind, [frame for frame, _ in found], found[0][1]) for kind, found in kinds.items())
        return [
            f"{self.name}: {fault if len(frames) == 1 else f'{kind} ({len(frames)} frames: {some(frames)})'}"
            for kind, frames, fault in gathered
        ]


def use_one_thread() -> None:
    """Called in each worker process: masks are small, so OpenCV's threads cost more than they gain."""
    cv2.setNumThreads(1)


def score(job: Job) -> Result:
    """Scores one sequence in a worker. Problems are collected, not raised, so that all can be shown at once."""
    video, maps, result = job.video, job.maps, Result(job.video.name)
    result.faults += [("", problem) for problem in maps.problems]
    extra = sorted(set(maps.names) - set(video.frame_names))
    if extra and job.extra_frames == "wrong":
        result.faults.append(("", f"{len(extra)} frame(s) that the video does not have: {some(extra)}"))
    result.left_out = len(extra) if job.extra_frames == "left out" else 0
    with ExitStack() as stack:
        try:
            result.curves = job.protocol.score(_compared(job, stack, result), video.name)
        except UserError as error:
            result.faults.append(("", str(error).removeprefix(f"{video.name}: ")))
    if not isinstance(maps, JointPositions):
        result.palettes = palette_faults(_files(video, maps, result.stems))
    if missing := [stem for stem in result.stems if stem not in maps.names]:
        result.faults.append(("", f"{len(missing)} annotated frame(s) without prediction: {some(missing)}"))
    return result


def _compared(job: Job, stack: ExitStack, result: Result) -> Iterator[Pair] | Iterator[JointPair]:
    """The pairs that the protocol scores; names of frames and faults are noted."""
    if isinstance(job.maps, JointPositions):
        return joint_pairs(job.video, job.maps, result.stems, result.faults)
    annotated = _annotations(job.video, job.cache, stack)
    return _pairs(job.video, annotated, job.maps, job.protocol.any_size, result)


def _files(video: Video, maps: LabelMaps, stems: Sequence[str]) -> Iterator[Path]:
    """The masks of the scored frames that are image files: predictions and annotations."""
    scored = set(stems)
    for index, stem in enumerate(video.frame_names):
        if stem in scored:
            found = video.mask_file(index), maps.file(stem) if stem in maps.names else None
            yield from (path for path in found if path is not None)


def _annotations(video: Video, cache: Path | None, stack: ExitStack) -> Callable[[int], Objects | None]:
    """A function from a frame's index to its annotated objects."""
    if cache is not None:
        try:
            return stack.enter_context(RegionCache(cache, video)).objects
        except UserError:  # reported again below, where every frame is read
            pass

    def read(index: int) -> Objects | None:
        labels = video.annotation(index)
        return None if labels is None else Objects.of(labels)

    return read


def _pairs(
    video: Video, annotated: Callable[[int], Objects | None], maps: LabelMaps, any_size: bool, result: Result
) -> Iterator[Pair]:
    """Annotation and prediction of each annotated frame. Unusable ones are noted and count as empty, so that checking
    continues."""
    for index, stem in enumerate(video.frame_names):
        try:
            annotation = annotated(index) if video.is_listed(stem) else None
        except UserError as error:
            result.faults.append((stem, str(error)))
            continue
        if annotation is None:
            continue
        result.stems.append(stem)
        wanted = None if any_size else annotation.size
        prediction = _prediction(video, maps, stem, wanted, result) if stem in maps.names else None
        yield annotation, prediction or Objects.of(np.zeros(annotation.size, np.uint8))


def _prediction(
    video: Video, maps: LabelMaps, stem: str, wanted: tuple[int, int] | None, result: Result
) -> Objects | None:
    """The prediction for a frame, or None if it is unusable, which is noted. `wanted`: the size that it must have."""
    try:
        labels = None if _is_other(maps.size, wanted) else maps.read(stem)
    except UserError as error:
        result.faults.append((stem, str(error)))
        return None
    size = maps.size if labels is None else labels.shape
    if labels is None or _is_other(size, wanted):
        sizes = f"{rows_columns(size or ())} (rows×columns), its annotation {rows_columns(wanted or ())}"
        result.faults.append((stem, f"{stem} is {sizes}: save it at that size, as nothing is resized"))
        return None
    prediction = Objects.of(labels)
    if is_grey(prediction.ids, binary=video.binary):
        result.faults.append((stem, f"{stem} {SHADES.format(levels=len(prediction.ids))}"))
        return None
    if not video.binary:
        return prediction
    result.made_binary |= max(prediction.ids, default=0) > 1
    return Objects.of((labels > 0).view(np.uint8))


def _is_other(size: tuple[int, ...] | None, wanted: tuple[int, int] | None) -> bool:
    """Whether a size is known and not the one that is wanted."""
    return None not in (size, wanted) and size != wanted
