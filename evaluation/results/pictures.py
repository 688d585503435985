"""Pictures beside a record, for the report: moments of videos, and the frames with the worst masks.

They are made when a folder is scored, because the report uses only records and the files beside them.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vosbench.evaluation.predictions.joints import JointFolder
from vosbench.evaluation.predictions.label_maps import Source
from vosbench.evaluation.results.moments import write_moments
from vosbench.evaluation.results.picture_index import INDEX, Facts, Picture, write_index
from vosbench.evaluation.results.worst_frames import worst_frames, write_worst
from vosbench.evaluation.scoring.evaluate import Scores
from vosbench.util.errors import UserError
from vosbench.video.video import Dataset, Video

log = logging.getLogger(__name__)
FOLDERS = ("moments", "worst", "sheets")  # sheets: strips of earlier versions


def write_pictures(dataset: Dataset, source: Source | JointFolder, scores: Scores, folder: Path, count: int) -> None:
    """Writes `moments/` and `worst/` with an index into `folder`, replacing those of an earlier scoring.

    count  number of sequences with moments, and of worst frames (at most one per sequence); 0: writes none.
           Sequences are spread evenly over the sorted names, so they are the same for every method

    Worst frames need a protocol with drawable measures over time. A sequence that cannot be drawn only causes a
    warning: scoring never fails because of a picture. Joints are not drawn: the index is empty.
    """
    (folder / INDEX).unlink(missing_ok=True)  # first, because the index lists only complete pictures
    for name in FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    if count < 1:
        return
    videos = {video.name: video for video in sorted(dataset.videos, key=lambda video: video.name)}
    pictures: list[Picture] = []
    if not isinstance(source, JointFolder):
        pictures = _moments(videos, source, folder, count) + _worst(videos, source, scores, folder, count)
    write_index(folder, pictures, _facts(dataset, scores))


def _moments(videos: Mapping[str, Video], source: Source, folder: Path, count: int) -> list[Picture]:
    pictures: list[Picture] = []
    for name in _evenly(list(videos), count):
        try:
            pictures += write_moments(videos[name], source.sequence(name), folder)
        except UserError as error:
            log.warning("no overlays of %s: %s", name, error)
    return pictures


def _worst(videos: Mapping[str, Video], source: Source, scores: Scores, folder: Path, count: int) -> list[Picture]:
    pictures = []
    for place, worst in enumerate(worst_frames(scores)[:count], 1):
        try:
            video = videos[worst.key.sequence]
            pictures.append(write_worst(video, source.sequence(video.name), worst, place, folder))
        except UserError as error:
            log.warning("no picture of the worst frame of %s: %s", worst.key.sequence, error)
    return pictures


def _facts(dataset: Dataset, scores: Scores) -> dict[str, Facts]:
    """Attributes and scored frames of all videos; a user's own data set may know no attributes."""
    attributes: Mapping[str, Sequence[str]] = getattr(dataset, "attributes", {})
    frames: dict[str, dict[str, int]] = {}
    for key, stems in scores.stems.items():
        positions = map(int, scores.curves[key].frames)
        frames.setdefault(key.sequence, {}).update(zip(stems, positions, strict=True))
    names = sorted({video.name for video in dataset.videos} & {*attributes, *frames})
    return {name: Facts(list(attributes.get(name, ())), frames.get(name, {})) for name in names}


def _evenly(names: Sequence[str], count: int) -> list[str]:
    return [names[round(place)] for place in np.linspace(0, len(names) - 1, min(count, len(names)))]
