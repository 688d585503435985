"""Objects that start late: `python measure_late.py <dataset> <method> [override …]` prints a Markdown row.

Object k of each video (from 0) is given in frame 5k, and again in frame 0. Both are scored on the same frames, after
5k: J&F in percent over the late objects, when given at first, and late under both readings of earlier frames.
"""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

import vosbench
from vosbench.cli import configuration
from vosbench.evaluation.metrics import Objects, jaccard_and_f
from vosbench.inference.propagator import Propagator
from vosbench.settings.making import made
from vosbench.video.video import LabelMap, Video

APART = 5  # frames between the starts of two objects


def main(dataset: str, method: str, *overrides: str) -> None:
    data = [word for word in overrides if word.startswith("dataset.")]
    config = configuration.resolve(configuration.compose("benchmark", [f"dataset={dataset}", *data]))
    videos = [video for video in made(config["dataset"], "dataset").videos if len(starts_of(video)) > 1]
    cells, found = [], list[float]()
    words = [word for word in overrides if word not in data]
    for apart, before in ((0, "unknown"), (APART, "unknown"), (APART, "background")):
        segmenter = vosbench.load(method, f"inference.before_start={before}", *words)
        found = [score for video in videos for score in scores(segmenter, video, apart)]
        cells.append(f"{100 * np.mean(found):.1f}")
    print(f"| {' '.join([method, *overrides])} | {len(found)} | {' | '.join(cells)} |")


def starts_of(video: Video, apart: int = APART) -> dict[int, int]:
    ids = np.unique(annotation(video, 0)).tolist()
    return {id_: apart * number for number, id_ in enumerate(each for each in ids if 0 < each < 255)}


def annotation(video: Video, index: int) -> LabelMap:
    labels = video.annotation(index)
    assert labels is not None
    return labels


def scores(segmenter: Propagator[Any, Any], video: Video, apart: int) -> list[float]:
    """J&F of each late object of a video: those that start after frame 0 if they are APART."""
    segmenter.reset()
    starts, found = starts_of(video, apart), dict[int, list[float]]()
    for index in range(len(video.frame_names)):
        labels = segmenter.step(video.frame(index), given(annotation(video, index), starts, index))
        truth, ours = Objects.of(annotation(video, index)), Objects.of(labels)
        for id_, start in starts_of(video).items():
            if 0 < start < index:
                found.setdefault(id_, []).append(float(np.mean(jaccard_and_f(truth[id_], ours[id_]))))
    return [float(np.mean(each)) for each in found.values()]


def given(labels: LabelMap, starts: Mapping[int, int], index: int) -> LabelMap | None:
    new = [id_ for id_, start in starts.items() if start == index]
    return np.where(np.isin(labels, new), labels, 0) if new else None


if __name__ == "__main__":
    main(*sys.argv[1:])
