"""Scores predicted label maps against a data set, sequence by sequence, in any number of processes.

Workers do not import torch and hold two frames at a time.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vosbench.evaluation.metrics import Curves, Objects
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.predictions.joints import JointFolder
from vosbench.evaluation.predictions.label_maps import Source
from vosbench.evaluation.protocols.protocol import Protocol, all_protocols, protocol_named
from vosbench.evaluation.scoring import sequence
from vosbench.evaluation.scoring.sequence import ExtraFrames, Job, Result
from vosbench.util.errors import Problems, UserError, one_or_all
from vosbench.util.wording import some
from vosbench.util.workers import shared_out
from vosbench.video.leftovers import tell_palettes
from vosbench.video.video import Dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """The scores of one set of label maps, as fractions.

    scores    of the whole data set, in the protocol's order; objects: the scores of each object
    curves    the protocol's measures over time, by object; stems: the names of the frames scored
    """

    protocol: Protocol
    scores: dict[str, float]
    objects: dict[ObjectKey, dict[str, float]]
    curves: dict[ObjectKey, Curves]
    stems: dict[ObjectKey, list[str]]


def evaluate(
    dataset: Dataset,
    source: Source | JointFolder,
    protocol: Protocol | None = None,
    workers: int = 2,
    *,
    ignore_extra: bool = False,
    cache: Path | None = None,
) -> Scores:
    """Scores the label maps, or the joints, of every annotated frame of the data set.

    protocol      None: the data set's own
    workers       processes; 0 scores in this one
    cache         folder of cached annotation regions, which speeds up scoring many results
    ignore_extra  accept predictions of sequences and frames that the data set does not have (it was restricted)

    Raises Problems that list everything wrong with all sequences: missing or extra sequences and frames, masks that are
    unreadable, RGB or of another size than the annotation, and impossible ids. Raises UserError for a data set without
    annotations, and BrokenProcessPool if a worker dies.
    """
    protocol, videos = protocol or protocol_named(dataset.protocol), dataset.videos
    maps = {video.name: found for video in videos if (found := source.sequence(video.name)) is not None}
    problems = [] if ignore_extra and maps else source.problems([video.name for video in videos])
    if missing := [video.name for video in videos if video.name not in maps]:
        problems.append(f"{len(missing)} sequence(s) without predictions: {some(missing)}")
    extra: ExtraFrames = "left out" if dataset.frames == "annotated" else "wrong"
    jobs = [
        Job(video, maps[video.name], protocol, "ignored" if ignore_extra else extra, cache)
        for video in videos
        if video.name in maps
    ]
    results = {result.name: result for result in _scored(jobs, workers)}
    ordered = [results[job.video.name] for job in jobs]
    if jobs and not any(result.stems or any(frame for frame, _ in result.faults) for result in ordered):
        raise UserError(f"{dataset.name} {dataset.split} has no annotations: there is nothing to score against")
    problems += [problem for result in ordered for problem in result.problems()]
    if problems:
        where = f"{source.path} or the annotations of {dataset.name} {dataset.split}"
        raise Problems(f"{len(problems)} problem(s) with {where}; nothing was scored", problems)
    scores = _collect(ordered, {video.name: video.seen for video in videos}, protocol)
    _notice(dataset, ordered, scores)
    return scores


def check_compares(dataset: Dataset, protocol: Protocol) -> None:
    """Raises UserError for a protocol of label maps on a data set of joints, and the other way round."""
    has = "joints" if any(video.joints(0) is not None for video in dataset.videos[:1]) else "label maps"
    if has != protocol.compares:
        others = ", ".join(each.name for each in all_protocols() if each.compares == has)
        raise UserError(
            f"protocol {protocol.name} scores {protocol.compares}, and {dataset.name} has {has}: "
            f"choose protocol= from {others}"
        )


def check_lengths(dataset: Dataset, protocol: Protocol) -> None:
    """Raises UserError naming all videos with too few annotated frames to be scored, before any is predicted."""
    found = []
    for video in dataset.videos:
        listed = [index for index, name in enumerate(video.frame_names) if video.is_listed(name)]
        listed = [index for index in listed if video.mask_file(index) is not None] or listed
        if len(listed) >= protocol.fewest_frames:
            continue
        annotated = [Objects.of(labels) for index in listed if (labels := video.annotation(index)) is not None]
        try:
            protocol.score(((objects, objects) for objects in annotated), video.name)
        except UserError as error:
            found.append(str(error))
    if found:
        raise one_or_all(f"{len(found)} videos of {dataset.name} {dataset.split} cannot be scored", found)


def _notice(dataset: Dataset, results: Sequence[Result], scores: Scores) -> None:
    """Logs how predictions were interpreted, and what looks odd."""
    if any(result.made_binary for result in results):
        log.warning("%s has one object: any nonzero pixel of the predictions was read as object 1", dataset.name)
    tell_palettes([found for result in results for found in result.palettes])
    if left_out := sum(result.left_out for result in results):
        log.info("%d predicted frames that are not annotated were left out", left_out)
    over_time = scores.protocol.over_time
    measured = [curves.measures[name] for curves in scores.curves.values() for name in over_time]
    if measured and all(np.all(values == 1) for values in measured):
        every = " and ".join(f"every {name}" for name in over_time)
        log.warning("%s is exactly 1: are these predictions the annotations themselves?", every)


def _scored(jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Results as they arrive, longest sequence first, with a progress bar."""
    from rich.progress import track

    longest_first = sorted(jobs, key=lambda job: -len(job.video.frame_names))
    with _one_thread():
        results = shared_out(sequence.score, longest_first, workers, prepare=sequence.use_one_thread)
        yield from track(results, "scoring", total=len(jobs))


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _collect(results: Iterable[Result], seen: Mapping[str, Mapping[int, bool]], protocol: Protocol) -> Scores:
    scores = Scores(protocol, {}, {}, {}, {})
    for result in results:
        scores.objects.update(summaries(protocol, result.name, result.curves, seen[result.name]))
        for id_, curves in result.curves.items():
            key = ObjectKey(result.name, id_)
            scores.curves[key] = curves
            scores.stems[key] = [result.stems[position] for position in curves.frames]
    scores.scores.update(protocol.aggregate(scores.objects))
    return scores


def summaries(
    protocol: Protocol, sequence: str, curves: Mapping[int, Curves], seen: Mapping[int, bool]
) -> dict[ObjectKey, dict[str, float]]:
    """The scores of each object of a sequence, with `seen` (1 or 0: category in the training set) where known."""
    return {
        ObjectKey(sequence, id_): {
            **protocol.summarise(values),
            **({"seen": float(seen[id_])} if id_ in seen else {}),
        }
        for id_, values in curves.items()
    }
