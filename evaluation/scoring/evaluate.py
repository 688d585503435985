"""Scores predicted label maps against a data set, sequence by sequence, in as many processes as wanted.

Workers import neither torch nor pandas and hold two frames at a time.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped

from vosbench.evaluation.predictions.label_maps import Source
from vosbench.evaluation.protocols.protocol import ScoringProtocol, protocol_named
from vosbench.evaluation.scoring import sequence
from vosbench.evaluation.scoring.sequence import ExtraFrames, Job, Result
from vosbench.util.errors import Problems, UserError
from vosbench.util.wording import some
from vosbench.util.workers import shared_out
from vosbench.video.video import Dataset

log = logging.getLogger(__name__)


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


def evaluate(
    dataset: Dataset,
    source: Source,
    protocol: str | None = None,
    workers: int = 2,
    *,
    ignore_extra: bool = False,
    cache: Path | None = None,
) -> Scores:
    """Scores the label maps of every annotated frame of the data set.

    protocol      name of a protocol; None: the data set's own
    workers       processes; 0 scores in this one
    cache         folder that keeps the annotated objects cut out, for scoring more results against them
    ignore_extra  predictions of sequences and frames that the data set does not have are no error (it was restricted)

    Raises Problems that list everything wrong with all sequences: missing or extra sequences and frames, masks that are
    unreadable, RGB or of another size than the annotation, and ids that cannot be; ValueError for a data set without
    annotations. BrokenProcessPool when a worker dies.
    """
    name, videos = protocol or dataset.protocol, dataset.videos
    rules = protocol_named(name)
    maps = {video.name: found for video in videos if (found := source.sequence(video.name)) is not None}
    problems = [] if ignore_extra and maps else source.problems([video.name for video in videos])
    if missing := [video.name for video in videos if video.name not in maps]:
        problems.append(f"{len(missing)} sequence(s) without predictions: {some(missing)}")
    extra: ExtraFrames = "left out" if dataset.frames == "annotated" else "wrong"
    jobs = [
        Job(video, maps[video.name], name, "ignored" if ignore_extra else extra, cache)
        for video in videos
        if video.name in maps
    ]
    results = {result.name: result for result in _scored(jobs, workers)}
    ordered = [results[job.video.name] for job in jobs]
    if jobs and not any(result.stems for result in ordered):
        raise UserError(f"{dataset.name} {dataset.split} has no annotations: there is nothing to score against")
    problems += [problem for result in ordered for problem in result.problems()]
    if problems:
        where = f"{source.path} or the annotations of {dataset.name} {dataset.split}"
        raise Problems(f"{len(problems)} problem(s) with {where}; nothing was scored", problems)
    scores = _collect(ordered, {video.name: video.seen for video in videos}, rules)
    _notice(dataset, ordered, scores)
    return scores


def _notice(dataset: Dataset, results: Sequence[Result], scores: Scores) -> None:
    """Says what was made of the predictions, and what looks odd."""
    if any(result.made_binary for result in results):
        log.warning("%s has one object: any nonzero pixel of the predictions was read as object 1", dataset.name)
    if left_out := sum(result.left_out for result in results):
        log.info("%d predicted frames that are not annotated were left out", left_out)
    measured = [values for name, values in scores.frames.items() if name.endswith(("/J", "/F"))]
    if measured and all(np.all(values == 1) for values in measured):
        log.warning("every J and every F is exactly 1: are these predictions the annotations themselves?")


def _scored(jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Results as they come, the longest sequence first, under a progress bar."""
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


def _collect(results: Iterable[Result], seen: Mapping[str, Mapping[int, bool]], rules: ScoringProtocol) -> Scores:
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
