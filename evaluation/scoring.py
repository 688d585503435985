"""Scores predicted label maps against a data set, sequence by sequence, in as many processes as wanted.

Workers import neither torch nor pandas and hold two frames at a time.
"""

import importlib
import logging
import multiprocessing
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np
from jaxtyping import Shaped

from vosbench.errors import Problems
from vosbench.evaluation.label_maps import LabelMaps, Source, some
from vosbench.evaluation.metrics import Curves, Objects, Pair, ids_of
from vosbench.images import VOID
from vosbench.videos import Dataset, LabelMap, Video

OBJECTS = 20  # no video set has more in a video: higher values are grey levels
log = logging.getLogger(__name__)


class ScoringProtocol(Protocol):
    """What a module of this folder offers to be named by `protocol=`; `davis.py` is the model.

    It may also say ANY_SIZE (it resizes predictions itself) and UNOFFICIAL (why its numbers are not the official ones).
    """

    def score(self, pairs: Iterable[Pair], sequence: str) -> dict[int, Curves]: ...

    def summarise(self, curves: Curves) -> dict[str, float]: ...

    def aggregate(self, objects: Mapping[str, Mapping[str, float]]) -> dict[str, float]: ...


@dataclass(frozen=True)
class Scores:
    """The scores of one set of label maps, as fractions.

    scores   of the whole data set, the one that ranks first; objects: by "<sequence>_<id>"
    frames   over time under "<sequence>_<id>/J" and "/F", or what else the protocol measures; and under "/frame" the
             positions of these frames among the annotated frames of the sequence
    stems    by object, the names of these frames
    """

    scores: dict[str, float]
    objects: dict[str, dict[str, float]]
    frames: dict[str, Shaped[np.ndarray, " t"]]
    stems: dict[str, list[str]]


@dataclass
class _Sequence:
    """What a worker returns: curves by object id, names of the annotated frames, and everything that is wrong.

    `faults`: (frame, what is wrong with it); the frame is "" where it is the sequence.
    """

    name: str
    curves: dict[int, Curves] = field(default_factory=dict)
    stems: list[str] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    made_binary: bool = False

    def problems(self) -> list[str]:
        """One sentence for each kind of fault; frames that have the same one are gathered."""
        kinds: dict[str, list[tuple[str, str]]] = {}
        for frame, fault in self.faults:
            kinds.setdefault(fault.replace(frame, "*") if frame else fault, []).append((frame, fault))
        gathered = ((kind, [frame for frame, _ in found], found[0][1]) for kind, found in kinds.items())
        return [
            f"{self.name}: {fault if len(frames) == 1 else f'{kind} ({len(frames)} frames: {some(frames)})'}"
            for kind, frames, fault in gathered
        ]


def protocol_named(name: str) -> ScoringProtocol:
    """The protocol's module: `davis-unsupervised` is davis_unsupervised.py. Raises ValueError listing what exists."""
    here = {path.stem for path in Path(__file__).parent.glob("*.py")}
    stem = name.replace("-", "_")
    if stem not in here or not _is_protocol(stem):
        known = ", ".join(sorted(stem.replace("_", "-") for stem in here if _is_protocol(stem)))
        raise ValueError(f"protocol={name} does not exist: choose from {known}")
    return cast(ScoringProtocol, importlib.import_module(f"vosbench.evaluation.{stem}"))


def described(protocol: str) -> str:
    """The name of a protocol as tables print it: with what keeps its numbers from being official, if anything does."""
    known = (Path(__file__).parent / f"{protocol.replace('-', '_')}.py").is_file()
    reason = getattr(protocol_named(protocol), "UNOFFICIAL", None) if known else None
    return f"{protocol} (unofficial: {reason})" if reason else protocol


def _is_protocol(stem: str) -> bool:
    module = importlib.import_module(f"vosbench.evaluation.{stem}")
    return all(hasattr(module, function) for function in ("score", "summarise", "aggregate"))


def evaluate(
    dataset: Dataset, source: Source, protocol: str | None = None, workers: int = 2, *, ignore_extra: bool = False
) -> Scores:
    """Scores the label maps of every annotated frame of the data set.

    protocol      name of a protocol; None: the data set's own
    workers       processes; 0 scores in this one
    ignore_extra  predictions of sequences and frames that the data set does not have are no error (it was restricted)

    Raises Problems that list everything wrong with all sequences: missing or extra sequences and frames, masks that are
    unreadable, RGB or of another size than the annotation, and ids that cannot be. RuntimeError when a worker dies.
    """
    name = protocol or dataset.protocol
    rules = protocol_named(name)
    videos = dataset.videos
    maps = {video.name: found for video in videos if (found := source.sequence(video.name)) is not None}
    problems = [] if ignore_extra else source.problems([video.name for video in videos])
    if missing := [video.name for video in videos if video.name not in maps]:
        problems.append(f"{len(missing)} sequence(s) without predictions: {some(missing)}")
    jobs = [_Job(video, maps[video.name], name, ignore_extra) for video in videos if video.name in maps]
    results = {result.name: result for result in _scored(jobs, workers)}
    ordered = [results[video.name] for video in videos if video.name in maps]
    problems += [problem for result in ordered for problem in result.problems()]
    if problems:
        raise Problems(f"{len(problems)} problem(s) with {source.path}; nothing was scored", problems)
    if any(result.made_binary for result in ordered):
        log.warning("%s has one object: any nonzero pixel of the predictions was read as object 1", dataset.name)
    scores = _collect(ordered, {video.name: video.seen for video in dataset.videos}, rules)
    if all(np.all(values == 1) for name, values in scores.frames.items() if name.endswith(("/J", "/F"))):
        log.warning("every J and every F is exactly 1: are these predictions the annotations themselves?")
    return scores


@dataclass(frozen=True)
class _Job:
    """One sequence to score."""

    video: Video
    maps: LabelMaps
    protocol: str
    ignore_extra: bool


def _scored(jobs: Sequence[_Job], workers: int) -> Iterator[_Sequence]:
    """Results as they come, the longest sequence first, under a progress bar."""
    from rich.progress import track

    longest_first = sorted(jobs, key=lambda job: -len(job.video.frame_names))
    if workers == 0:
        with _one_thread():
            yield from track(map(_score_video, longest_first), "scoring", total=len(jobs))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_start_worker) as pool:
        futures = [pool.submit(_score_video, job) for job in longest_first]
        try:
            for future in track(as_completed(futures), "scoring", total=len(jobs)):
                yield future.result()
        except BrokenProcessPool as error:
            raise RuntimeError("a scoring process died, perhaps for lack of memory: try fewer workers") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """One OpenCV thread a process: masks are small. An interrupt is for the process that waits for this one."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _score_video(job: _Job) -> _Sequence:
    """One sequence, in a worker. Problems are collected, never raised, so that all can be shown at once."""
    video, maps, result = job.video, job.maps, _Sequence(job.video.name)
    result.faults += [("", problem) for problem in maps.problems]
    if extra := sorted(set(maps.names) - set(video.frame_names)) if not job.ignore_extra else []:
        result.faults.append(("", f"{len(extra)} frame(s) that the video does not have: {some(extra)}"))
    rules = protocol_named(job.protocol)
    try:
        any_size = getattr(rules, "ANY_SIZE", False)
        result.curves = rules.score(_pairs(video, maps, any_size, result), video.name)
    except ValueError as error:
        result.faults.append(("", str(error).removeprefix(f"{video.name}: ")))
    if missing := [stem for stem in result.stems if stem not in maps.names]:
        result.faults.append(("", f"{len(missing)} annotated frame(s) without prediction: {some(missing)}"))
    return result


def _pairs(video: Video, maps: LabelMaps, any_size: bool, result: _Sequence) -> Iterator[Pair]:
    """Annotation and prediction of each annotated frame. What cannot be used is noted and empty: checking goes on."""
    for index, stem in enumerate(video.frame_names):
        try:
            annotation = video.annotation(index) if video.is_listed(stem) else None
        except ValueError as error:
            result.faults.append((stem, str(error)))
            continue
        if annotation is None:
            continue
        result.stems.append(stem)
        prediction = _prediction(video, maps, stem, result) if stem in maps.names else None
        if prediction is not None and prediction.shape != annotation.shape and not any_size:
            found, wanted = ("×".join(map(str, labels.shape)) for labels in (prediction, annotation))
            result.faults.append((stem, f"{stem} is {found} (rows×columns), its annotation {wanted}: never resized"))
            prediction = None
        yield Objects.of(annotation), np.zeros_like(annotation) if prediction is None else prediction


def _prediction(video: Video, maps: LabelMaps, stem: str, result: _Sequence) -> LabelMap | None:
    try:
        prediction = maps.read(stem)
        return _binary(prediction, stem, result) if getattr(video, "binary", False) else prediction
    except ValueError as error:
        result.faults.append((stem, str(error)))
        return None


def _binary(prediction: LabelMap, stem: str, result: _Sequence) -> LabelMap:
    """Any nonzero pixel as object 1. Raises ValueError for grey levels, which would count as object too."""
    ids = ids_of(prediction)
    if len(ids) > 1 and any(OBJECTS < id_ < VOID for id_ in ids):
        raise ValueError(f"{stem} has {len(ids)} grey levels, as an antialiased or soft mask has: threshold it")
    result.made_binary |= max(ids, default=0) > 1
    return (prediction > 0).view(np.uint8)


def _collect(results: Iterable[_Sequence], seen: Mapping[str, Mapping[int, bool]], rules: ScoringProtocol) -> Scores:
    scores = Scores({}, {}, {}, {})
    for result in results:
        for id_, curves in result.curves.items():
            key = f"{result.name}_{id_}"
            known = {"seen": float(seen[result.name][id_])} if id_ in seen[result.name] else {}
            scores.objects[key] = {**rules.summarise(curves), **known}
            scores.frames.update({f"{key}/{measure}": values for measure, values in curves.measures.items()})
            scores.frames[f"{key}/frame"] = curves.frames
            scores.stems[key] = [result.stems[position] for position in curves.frames]
    scores.scores.update(rules.aggregate(scores.objects))
    return scores
