"""Scores a folder of predicted label maps against a data set, sequence by sequence, in as many processes as wanted.

Workers import neither torch nor pandas and hold two frames at a time.
"""

import hashlib
import importlib
import logging
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np
from jaxtyping import Float64

from vosbench.evaluation.metrics import Curves
from vosbench.images import read_label_map
from vosbench.videos import Dataset, FolderVideo, LabelMap, Video

SHOWN = 30
log = logging.getLogger(__name__)


class ScoringProtocol(Protocol):
    """What a module of this folder offers to be named by `protocol=`; `davis.py` is the model."""

    def score(self, pairs: Iterable[tuple[LabelMap, LabelMap]], sequence: str) -> dict[int, Curves]: ...

    def summarise(self, curves: Curves) -> dict[str, float]: ...

    def aggregate(self, objects: Mapping[str, Mapping[str, float]]) -> dict[str, float]: ...


@dataclass(frozen=True)
class Scores:
    """The scores of one folder, as fractions.

    scores   of the whole set; objects: by "<sequence>_<id>"
    frames   J and F over time under "<sequence>_<id>/J" and "/F"
    stems    by object, the names of the frames that these arrays hold
    """

    scores: dict[str, float]
    objects: dict[str, dict[str, float]]
    frames: dict[str, Float64[np.ndarray, " t"]]
    stems: dict[str, list[str]]


@dataclass
class _Sequence:
    """What a worker returns: curves by object id, names of the annotated frames, and everything that is wrong."""

    name: str
    curves: dict[int, Curves] = field(default_factory=dict)
    stems: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    made_binary: bool = False


def protocol_named(name: str) -> ScoringProtocol:
    """The protocol's module: `davis-unsupervised` is davis_unsupervised.py. Raises ValueError listing what exists."""
    here = {path.stem for path in Path(__file__).parent.glob("*.py")}
    stem = name.replace("-", "_")
    if stem not in here or not _is_protocol(stem):
        known = ", ".join(sorted(stem.replace("_", "-") for stem in here if _is_protocol(stem)))
        raise ValueError(f"protocol={name} does not exist: choose from {known}")
    return cast(ScoringProtocol, importlib.import_module(f"vosbench.evaluation.{stem}"))


def _is_protocol(stem: str) -> bool:
    module = importlib.import_module(f"vosbench.evaluation.{stem}")
    return all(hasattr(module, function) for function in ("score", "summarise", "aggregate"))


def evaluate_folder(
    dataset: Dataset, predictions: Path, protocol: str | None = None, workers: int = 2, *, ignore_extra: bool = False
) -> Scores:
    """Scores `<predictions>/<sequence>/<frame>.png` for every annotated frame of the data set.

    protocol      name of a protocol; None: the data set's own
    workers       processes; 0 scores in this one
    ignore_extra  predictions of sequences and frames that the data set does not have are no error (it was restricted)

    Raises one ValueError that lists everything wrong with all sequences: missing or extra folders and frames, masks
    that are unreadable, RGB or of another size than the annotation, and ids that cannot be.
    RuntimeError when a worker dies.
    """
    name = protocol or dataset.protocol
    rules = protocol_named(name)
    if not predictions.is_dir():
        raise ValueError(
            f"predictions folder {predictions} does not exist: give the folder that holds <sequence>/*.png"
        )
    problems = [] if ignore_extra else _extra_folders(dataset.videos, predictions)
    results = {result.name: result for result in _scored(dataset.videos, predictions, name, workers, ignore_extra)}
    ordered = [results[video.name] for video in dataset.videos]
    problems += [problem for result in ordered for problem in result.problems]
    if problems:
        raise ValueError(_listing(problems, predictions))
    if any(result.made_binary for result in ordered):
        log.warning("%s has one object: any nonzero pixel of the predictions was read as object 1", dataset.name)
    return _collect(ordered, rules)


def hash_predictions(dataset: Dataset, predictions: Path) -> str:
    """sha256 over name, size and content of every predicted PNG of the data set's sequences."""
    videos = sorted(video.name for video in dataset.videos)
    return _hash_files((f"{name}/{path.name}", path) for name in videos for path in sorted(_masks(predictions / name)))


def hash_annotations(dataset: Dataset) -> str:
    """sha256 over the annotations of the data set's frames: their files, or their pixels when they are not in files."""
    digest = hashlib.sha256()
    for video in sorted(dataset.videos, key=lambda video: video.name):
        digest.update(f"{video.name} {len(video.frame_names)}\n".encode())
        if isinstance(video, FolderVideo):
            kept = [stem for stem in video.frame_names if stem in video.annotations]
            digest.update(_hash_files((stem, video.annotations[stem]) for stem in kept).encode())
        else:
            for index, stem in enumerate(video.frame_names):
                if (annotation := video.annotation(index)) is not None:
                    digest.update(f"{stem} {annotation.shape}\n".encode() + annotation.tobytes())
    return digest.hexdigest()


def _hash_files(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in files:
        content = path.read_bytes()
        digest.update(f"{name} {len(content)} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def _scored(
    videos: Iterable[Video], predictions: Path, protocol: str, workers: int, ignore_extra: bool
) -> Iterator[_Sequence]:
    """Results as they come, the longest sequence first, under a progress bar."""
    from rich.progress import track

    longest_first = sorted(videos, key=lambda video: -len(video.frame_names))
    jobs = [(video, predictions / video.name, protocol, ignore_extra) for video in longest_first]
    if workers == 0:
        with _one_thread():
            yield from track((_score_video(*job) for job in jobs), "scoring", total=len(jobs))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        futures = [pool.submit(_score_video, *job) for job in jobs]
        try:
            for future in track(as_completed(futures), "scoring", total=len(jobs)):
                yield future.result()
        except BrokenProcessPool as error:
            raise RuntimeError("a scoring process died, perhaps for lack of memory: try fewer workers") from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Masks are small: OpenCV's threads cost more than they bring."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _score_video(video: Video, folder: Path, protocol: str, ignore_extra: bool) -> _Sequence:
    """One sequence, in a worker. Problems are collected, never raised, so that all can be shown at once."""
    result = _Sequence(video.name)
    if not folder.is_dir():
        result.problems.append(f"{video.name}: no folder {folder}")
        return result
    masks = {path.stem: path for path in _masks(folder)}
    if extra := sorted(set(masks) - set(video.frame_names)) if not ignore_extra else []:
        result.problems.append(f"{video.name}: {len(extra)} frame(s) that the video does not have: {_some(extra)}")
    try:
        result.curves = protocol_named(protocol).score(_pairs(video, masks, result), video.name)
    except ValueError as error:
        result.problems.append(str(error))
    if missing := [stem for stem in result.stems if stem not in masks]:
        result.problems.append(f"{video.name}: {len(missing)} annotated frame(s) without prediction: {_some(missing)}")
    return result


def _pairs(video: Video, masks: dict[str, Path], result: _Sequence) -> Iterator[tuple[LabelMap, LabelMap]]:
    """Label maps of each annotated frame. What cannot be used is noted and empty, so that checking goes on."""
    for index, stem in enumerate(video.frame_names):
        try:
            annotation = video.annotation(index)
        except ValueError as error:
            result.problems.append(f"{video.name}: {error}")
            continue
        if annotation is None:
            continue
        result.stems.append(stem)
        prediction = _prediction(masks[stem], annotation, video, result) if stem in masks else None
        yield annotation, np.zeros_like(annotation) if prediction is None else prediction


def _prediction(path: Path, annotation: LabelMap, video: Video, result: _Sequence) -> LabelMap | None:
    try:
        prediction = read_label_map(path)
    except ValueError as error:
        result.problems.append(f"{video.name}: {error}")
        return None
    if prediction.shape != annotation.shape:
        found, wanted = ("×".join(map(str, labels.shape)) for labels in (prediction, annotation))
        result.problems.append(
            f"{video.name}: {path} is {found} (rows×columns), its annotation {wanted}: never resized"
        )
        return None
    if getattr(video, "binary", False):
        result.made_binary |= bool(prediction.max() > 1)
        prediction = (prediction > 0).astype(np.uint8)
    return prediction


def _masks(folder: Path) -> list[Path]:
    return list(folder.glob("[!.]*.png"))


def _extra_folders(videos: Iterable[Video], predictions: Path) -> list[str]:
    known = {video.name for video in videos}
    folders = sorted(path for path in predictions.glob("[!.]*") if path.is_dir() and path.name not in known)
    return [f"{path.name}: a sequence that the data set does not have" for path in folders if _masks(path)]


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _listing(problems: list[str], predictions: Path) -> str:
    head = f"{len(problems)} problem(s) with the predictions in {predictions}; nothing was scored, correct these first:"
    rest = [f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return f"{head}\n  " + ";\n  ".join([*problems[:SHOWN], *rest])


def _collect(results: list[_Sequence], rules: ScoringProtocol) -> Scores:
    objects: dict[str, dict[str, float]] = {}
    frames: dict[str, Float64[np.ndarray, " t"]] = {}
    stems: dict[str, list[str]] = {}
    for result in results:
        for id_, curves in result.curves.items():
            key = f"{result.name}_{id_}"
            objects[key] = rules.summarise(curves)
            frames |= {f"{key}/{measure}": values for measure, values in curves.measures.items()}
            stems[key] = [result.stems[position] for position in curves.frames]
    return Scores(rules.aggregate(objects), objects, frames, stems)
