"""Annotated and predicted joints of a sequence, frame by frame."""

from collections.abc import Iterator

import numpy as np

from vosbench.evaluation.predictions.joints import JointPositions
from vosbench.video.video import Joints, Video

JointPair = tuple[Joints, Joints]  # annotation and prediction of one frame


def joint_pairs(
    video: Video, predicted: JointPositions, stems: list[str], faults: list[tuple[str, str]]
) -> Iterator[JointPair]:
    """The joints of each annotated frame. Missing and unusable ones count as lost, so that checking continues.

    stems   gets the names of these frames
    faults  gets (frame, what is wrong with it)
    """
    for index, stem in enumerate(video.frame_names):
        truth = video.joints(index) if video.is_listed(stem) else None
        if truth is None:
            continue
        stems.append(stem)
        found = predicted.frames.get(stem)
        if found is not None and found.shape != truth.shape:
            faults.append((stem, f"{stem} has {len(found)} joints, its annotation {len(truth)}"))
            found = None
        yield truth, np.full(truth.shape, np.nan) if found is None else found
