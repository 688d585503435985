"""Annotations over time, for `vosbench check`: late, vanishing and missing objects, and empty masks."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

from vosbench.audit.findings import Note, Problem, VideoFacts
from vosbench.util.wording import some
from vosbench.video.palette import VOID
from vosbench.video.video import Video

MOST_OBJECTS = 20  # the limit of protocol davis-unsupervised, and what methods are designed for

Values = frozenset[int]  # of the pixels of one mask


def judge_numbers(stems: Iterable[str], facts: VideoFacts) -> None:
    """Checks that the frames' numbers give one order without gaps. `stems`: of all images of the video's folder."""
    stems = sorted(stems)
    numbered = Counter(re.sub(r"\d+", lambda digits: str(int(digits[0])), stem) for stem in stems)
    if twice := [stem for stem, count in numbered.items() if count > 1]:
        facts.add(Problem.SAME_NUMBER, f" {_some(twice)}")
    numbers = sorted({int(digits[-1]) for stem in stems if (digits := re.findall(r"\d+", stem))})
    steps = [after - before for before, after in pairwise(numbers)]
    if jumps := [number for number, step in zip(numbers, steps, strict=False) if step > min(steps)]:
        facts.add(Note.JUMPS, f" after {_some(jumps)}")


def judge_layout(video: Video, masks: Mapping[int, Values | None], facts: VideoFacts) -> None:
    """Checks which frames are annotated, and that the first is if objects must start there."""
    if 0 < facts.annotated < facts.frames:
        kind = Note.SPARSE if facts.annotated > 2 else Note.FEW
        facts.add(kind, f" {facts.annotated} of {facts.frames}")
    if masks and 0 not in masks and not video.late_objects:
        facts.add(Problem.NO_START, f"/{video.frame_names[0]} no mask")


def judge_objects(video: Video, masks: Mapping[int, Values], facts: VideoFacts) -> None:
    """Checks the objects over time. `masks`: by frame, the values of those that can be read."""
    shown = {index: _objects(video, index, values) for index, values in masks.items()}
    facts.objects = Values().union(*shown.values())
    values = Values().union(*masks.values())
    if values <= {0, VOID} and VOID in values:
        facts.add(Note.BINARY)
    elif void := [index for index in masks if VOID in masks[index] and not video.binary]:
        facts.add(Note.VOID, f" {len(void)} of {len(masks)}")
    if not facts.objects and masks and video.late_objects:
        facts.add(Problem.NO_START, " all masks empty")
    elif not video.late_objects and 0 in shown and not shown[0]:
        facts.add(Problem.NO_START, f"/{video.frame_names[0]} empty mask")
    if facts.objects:
        _judge_timeline(shown, facts)
    starts = video.starts or {}
    if lost := sorted(starts.keys() - facts.objects):
        facts.add(Note.NEVER_SHOWN, f" ids {_some(lost)}")
    for index in masks if starts else []:
        if ignored := sorted(masks[index] - shown[index] - {0, VOID}):
            facts.add(Note.UNLISTED, f"/{video.frame_names[index]} ids {_some(ignored)}")


def _judge_timeline(shown: Mapping[int, Values], facts: VideoFacts) -> None:
    """`shown`: ids by annotated frame."""
    objects = sorted(facts.objects)
    first, last = min(shown), max(shown)
    end = {id_: max(index for index in shown if id_ in shown[index]) for id_ in objects}
    if gaps := sorted(set(range(1, objects[-1])) - facts.objects):
        facts.add(Note.GAPS, f" no {_some(gaps)}")
    if late := [id_ for id_ in objects if id_ not in shown[first]]:
        facts.add(Note.LATE, f" ids {_some(late)}")
    if vanished := [id_ for id_ in objects if end[id_] < last]:
        facts.add(Note.VANISHING, f" ids {_some(vanished)}")
    if empty := [index for index in shown if not shown[index]]:
        facts.add(Note.EMPTY, f" {len(empty)} of {len(shown)}")
    if len(objects) > MOST_OBJECTS:
        facts.add(Note.MANY, f" {len(objects)}")


def _objects(video: Video, index: int, values: Values) -> Values:
    """The ids that pixel values of frame `index` stand for."""
    if video.binary:
        return Values({1}) if values - {0} else Values()
    starts = video.starts
    return Values(i for i in values - {0, VOID} if starts is None or starts.get(i, index + 1) <= index)


def _some(ids: Iterable[object]) -> str:
    return some(ids, separator=" ")
