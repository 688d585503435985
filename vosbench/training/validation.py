"""Validation during training: scores videos by their data set's protocol, and checks beforehand that this works."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import distributed

from vosbench.evaluation.metrics import EMPTY, Objects, Pair, ids_of
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.protocols.protocol import Measure, Protocol
from vosbench.evaluation.scoring.evaluate import summaries
from vosbench.util.errors import Problems, UserError
from vosbench.video.video import LabelMap, Video

Scores = Mapping[ObjectKey, Mapping[str, float]]


def score_video(video: Video, maps: Iterable[LabelMap], protocol: Protocol) -> dict[ObjectKey, dict[str, float]]:
    """The scores of each object of a video from the predicted label maps of all its frames.

    Only the data set's frames to evaluate are scored. Under a protocol without late objects, predictions of such
    objects become background, because the protocol would refuse them.
    """
    pairs = ((Objects.of(truth), Objects.of(labels)) for truth, labels in _scored(video, maps, protocol))
    return summaries(protocol, video.name, protocol.score(pairs, video.name), video.seen)


def check_videos(videos: Sequence[Video], protocol: Protocol) -> None:
    """Raises Problems that list the videos which cannot be scored under the protocol, and why.

    Every annotation is read once. The protocol scores empty regions of these annotations against empty predictions of
    all objects given so far, the only ids that a method can predict.
    """
    found = []
    for video in videos:
        try:
            protocol.score(_rehearsal(video, protocol), video.name)
        except UserError as error:
            found.append(str(error))
    if found:
        head = f"data.validation: {len(found)} video(s) cannot be scored under protocol {protocol.name}"
        remedy = "leave them out with data.validation.exclude, or set data.validation=null"
        raise Problems(f"{head}; {remedy}", found)


def means(objects: Scores, protocol: Protocol) -> dict[str, float]:
    """The logged scores by label: the protocol's monitored measure and its parts (J&F, J and F)."""
    measure = protocol.monitored
    if not measure.parts:
        return {measure.label: protocol.aggregate(objects)[measure.name]}
    parts = {part: float(np.mean([scores[part] for scores in objects.values()])) for part in measure.parts}
    return {**{Measure(part).label: mean for part, mean in parts.items()}, measure.label: measure.of(parts)}


def of_all_processes(objects: Scores) -> Scores:
    """The scores of all processes of this training; a video scored by several counts once."""
    if not distributed.is_initialized():
        return objects
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, objects)
    merged = {key: scores for found in gathered for key, scores in found.items()}
    return {key: merged[key] for key in sorted(merged)}  # the same order everywhere, so that sums are equal


def _scored(video: Video, maps: Iterable[LabelMap], protocol: Protocol) -> Iterator[tuple[LabelMap, LabelMap]]:
    """Annotation and prediction of each frame that counts."""
    known: frozenset[int] | None = None
    for index, (name, labels) in enumerate(zip(video.frame_names, maps, strict=True)):
        truth = video.annotation(index) if video.is_listed(name) else None
        if truth is None:
            continue
        known = ids_of(truth) if known is None else known
        yield truth, labels if protocol.late_objects else np.where(np.isin(labels, list(known)), labels, 0)


def _rehearsal(video: Video, protocol: Protocol) -> Iterator[Pair]:
    """Pairs of annotations and predictions with the right ids and empty regions; predictions have all given objects."""
    known: frozenset[int] | None = None
    given = frozenset[int]()
    for index, name in enumerate(video.frame_names):
        if (start := video.given(index)) is not None:
            given |= ids_of(start)
        truth = video.annotation(index) if video.is_listed(name) else None
        if truth is None:
            continue
        known = ids_of(truth) if known is None else known
        predicted = given if protocol.late_objects else given & known
        yield _uncut(truth, ids_of(truth)), _uncut(truth, predicted)


def _uncut(labels: LabelMap, ids: frozenset[int]) -> Objects:
    return Objects(labels.shape, ids, lambda: labels, lambda _: EMPTY)
