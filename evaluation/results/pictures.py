"""Pictures beside a record, for the report: overlays over time, and the frames with the worst masks.

They are made when a folder is scored, because the report uses only records and the files beside them.
"""

import json
import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from vosbench.drawing import encoding, overlays
from vosbench.drawing.contact_sheet import contact_sheet
from vosbench.evaluation.metrics import mask_jaccard
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.predictions.label_maps import LabelMaps, Source, read_as_scored
from vosbench.evaluation.results.schema import cleaned
from vosbench.evaluation.scoring.evaluate import Scores
from vosbench.util.errors import UserError
from vosbench.util.files import replace_file
from vosbench.util.plain import misfits
from vosbench.util.reading import read_json
from vosbench.video.images import read_image, resize_image, resize_labels
from vosbench.video.video import Dataset, Image, LabelMap, Video

QUALITY = 80  # of JPEG: a strip takes 40 to 90 kB
MOMENTS = (0.02, 0.25, 0.5, 0.75, 1.0)  # frames of a sheet, as fractions of the predicted frames
INDEX = "pictures.json"
WIDTH = 1200  # pixels, of every picture
SHEET_CELL, WORST_CELL = 472, 792  # widths at which overlays are drawn: twice those of the cells
CONTEXT = 1.6  # a worst frame shows this many times the extent of its object,
LEAST = 0.3  # and at least this share of the frame
Kind = Literal["sheet", "truth", "worst"]
Mask = Bool[np.ndarray, "h w"]
FIELDS = {"kind": Kind, "file": str, "sequence": str, "caption": str}  # of an entry of the index
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """One picture of a folder, as its index lists it.

    kind  sheet (the predictions of a sequence over time), truth (its annotations at the same moments), or worst
    file  relative to the folder
    """

    kind: Kind
    file: str
    sequence: str
    caption: str


@dataclass(frozen=True)
class ObjectFrame:
    """An object in one frame.

    values        the protocol's measures there, by name: J and F, as fractions
    mean          of all these values over all frames of the object
    best_frame    the frame of its highest overlap with the annotation, `best_overlap`
    """

    key: ObjectKey
    frame: str
    values: dict[str, float]
    mean: float
    best_frame: str
    best_overlap: float

    @property
    def rank(self) -> tuple[float, float, ObjectKey]:
        """The sort key, worst first; ties are ordered by the object's mean."""
        return sum(self.values.values()) / len(self.values), self.mean, self.key

    @property
    def scores(self) -> str:
        return ", ".join(f"{name} {100 * value:.1f}" for name, value in self.values.items())

    @property
    def caption(self) -> str:
        return f"{self.key.title}, frame {self.frame}: {self.scores}"


def write_pictures(dataset: Dataset, source: Source, scores: Scores, folder: Path, count: int) -> None:
    """Writes `sheets/` and `worst/` with an index into `folder`, replacing those of an earlier scoring.

    count  number of sequences with a sheet, and of worst frames (at most one per sequence); 0: writes none.
           Sequences are spread evenly over the sorted names, so they are the same for every method

    Worst frames need a protocol with drawable measures over time. A sequence that cannot be drawn only causes a
    warning: scoring never fails because of a picture.
    """
    (folder / INDEX).unlink(missing_ok=True)  # first, because the index lists only complete pictures
    for name in ("sheets", "worst"):
        shutil.rmtree(folder / name, ignore_errors=True)
    if count < 1:
        return
    videos = {video.name: video for video in sorted(dataset.videos, key=lambda video: video.name)}
    pictures: list[Picture] = []
    for name in _evenly(list(videos), count):
        try:
            pictures += _write_sheets(videos[name], source.sequence(name), folder)
        except UserError as error:
            log.warning("no sheet of %s: %s", name, error)
    for place, worst in enumerate(worst_frames(scores)[:count], 1):
        try:
            video = videos[worst.key.sequence]
            pictures.append(_write_worst(video, source.sequence(video.name), worst, place, folder))
        except UserError as error:
            log.warning("no picture of the worst frame of %s: %s", worst.key.sequence, error)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / INDEX, (json.dumps([asdict(picture) for picture in pictures], indent=1) + "\n").encode())


def read_pictures(folder: Path) -> list[Picture]:
    """The pictures that write_pictures left in `folder`; missing and broken ones are left out, and those elsewhere: an
    index may be of somebody else, and what it names is shown."""
    index = folder / INDEX
    if not index.exists():
        return []
    try:
        listed = read_json(index, "", "score again with overwrite=true, or remove it")
    except UserError as error:
        log.warning("no pictures: %s", error)
        return []
    if not isinstance(listed, list) or any(misfits(each, FIELDS) for each in listed if isinstance(each, dict)):
        log.warning("no pictures: %s is no list of pictures", index)
        return []
    entries = [each for each in listed if isinstance(each, dict) and each.keys() == FIELDS.keys()]
    pictures = [Picture(**{**cleaned(each), "file": each["file"]}) for each in entries]
    return [picture for picture in pictures if _is_inside(folder, picture.file) and _is_whole(folder / picture.file)]


def _is_inside(folder: Path, file: str) -> bool:
    """Whether a file lies in the folder, with all links followed. That it does not is said."""
    try:
        inside = (folder / file).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # links in a circle, or no name that a file could have
        inside = False
    if not inside:
        log.warning("%s names a picture outside of its folder, which is left out: %s", folder / INDEX, file)
    return inside


def worst_frames(scores: Scores) -> list[ObjectFrame]:
    """For each sequence, the object and frame with the lowest mean of the protocol's curves, worst first. If frames
    tie, the earliest is taken."""
    found: dict[str, ObjectFrame] = {}
    for key, stems in scores.stems.items():
        curves = {name: scores.curves[key].measures[name] for name in scores.protocol.over_time}
        if not curves or not stems:
            continue
        overlap, total = curves[scores.protocol.over_time[0]], np.sum(list(curves.values()), axis=0)
        place, best = int(np.argmin(total)), int(np.argmax(overlap))
        worst = ObjectFrame(
            key=key,
            frame=stems[place],
            values={name: float(values[place]) for name, values in curves.items()},
            mean=float(total.mean() / len(curves)),
            best_frame=stems[best],
            best_overlap=float(overlap[best]),
        )
        found[key.sequence] = min(found.get(key.sequence, worst), worst, key=lambda each: each.rank)
    return sorted(found.values(), key=lambda each: each.rank)


def _evenly(names: Sequence[str], count: int) -> list[str]:
    return [names[round(place)] for place in np.linspace(0, len(names) - 1, min(count, len(names)))]


def _write_sheets(video: Video, maps: LabelMaps | None, folder: Path) -> list[Picture]:
    """Writes two strips of overlays: predictions, and annotations of the same frames."""
    predicted = [] if maps is None else [i for i, stem in enumerate(video.frame_names) if stem in maps.names]
    if maps is None or not predicted:
        return []
    # Rounded up, because the mask of frame 0 was given.
    chosen = [predicted[math.ceil(moment * (len(predicted) - 1))] for moment in MOMENTS]
    titles = [f"frame {video.frame_names[index]}" for index in chosen]
    frames = [video.frame(index) for index in chosen]
    rows: dict[Kind, list[LabelMap | None]] = {
        "sheet": [read_as_scored(maps, video, video.frame_names[index]) for index in chosen],
        "truth": [video.annotation(index) for index in chosen],
    }
    pictures = []
    for kind, row in rows.items():
        file = f"sheets/{video.name}{'' if kind == 'sheet' else '-truth'}.jpg"
        cells = [_overlaid(frame, labels, SHEET_CELL) for frame, labels in zip(frames, row, strict=True)]
        _write_jpeg(folder / file, contact_sheet([cells], titles, width=WIDTH))
        pictures.append(Picture(kind, file, video.name, ", ".join(titles)))
    return pictures


def _write_worst(video: Video, maps: LabelMaps | None, worst: ObjectFrame, place: int, folder: Path) -> Picture:
    """Writes annotation, prediction and error map around the object."""
    index = video.frame_names.index(worst.frame)
    annotation = video.annotation(index)
    if maps is None or annotation is None:
        raise UserError(f"frame {worst.frame} has no {'prediction' if maps is None else 'annotation'} any more")
    prediction = resize_labels(read_as_scored(maps, video, video.frame_names[index]), *annotation.shape)
    image = resize_image(video.frame(index), *annotation.shape)
    truth = annotation == worst.key.id
    scored = prediction == _scored_label(video, maps, worst)
    box = _around(truth | scored)
    panels = [_overlaid(image[box], labels[box], WORST_CELL) for labels in (annotation, prediction)]
    shown = _resized(image[box], WORST_CELL)
    masks = [resize_labels(mask[box].astype(np.uint8), *shown.shape[:2]) for mask in (truth, scored)]
    titles = [
        f"annotation: {worst.key.title}",
        f"prediction, frame {worst.frame}: {worst.scores}",
        "errors: red missed, orange false",
    ]
    sheet = contact_sheet([[*panels, overlays.error_map(masks[0], masks[1], shown)]], titles, width=WIDTH)
    file = f"worst/{place}-{worst.key}-{worst.frame}.jpg"
    _write_jpeg(folder / file, sheet)
    return Picture("worst", file, worst.key.sequence, worst.caption)


def _scored_label(video: Video, maps: LabelMaps, worst: ObjectFrame) -> int:
    """The predicted label that is scored as the object: its own id, or another if the protocol matches ids.

    It is the label whose overlap in the object's best frame equals the one scored; in the worst frame no label may
    overlap the object.
    """
    index = video.frame_names.index(worst.best_frame)
    annotation, prediction = video.annotation(index), read_as_scored(maps, video, video.frame_names[index])
    if annotation is None or annotation.shape != prediction.shape:
        return worst.key.id
    truth = annotation == worst.key.id
    labels: list[int] = [worst.key.id, *np.unique(prediction[prediction > 0]).tolist()]
    return min(labels, key=lambda label: abs(mask_jaccard(truth, prediction == label) - worst.best_overlap))


def _around(mask: Mask) -> tuple[slice, slice]:
    """The part of the frame around a mask, at the frame's aspect ratio; the whole frame for an empty mask."""
    places = [np.flatnonzero(mask.any(axis)) for axis in (1, 0)]
    if not len(places[0]):
        return slice(None), slice(None)
    extents = [CONTEXT * (place[-1] + 1 - place[0]) / size for place, size in zip(places, mask.shape, strict=True)]
    share = min(1.0, max(LEAST, *extents))
    rows, columns = (_window(place, round(share * size), size) for place, size in zip(places, mask.shape, strict=True))
    return rows, columns


def _window(places: Int64[np.ndarray, " n"], length: int, size: int) -> slice:
    """A window of `length` out of `size` pixels, centred on the given positions as far as the border allows."""
    start = int(np.clip((places[0] + places[-1] + 1 - length) // 2, 0, size - length))
    return slice(start, start + length)


def _overlaid(image: Image, labels: UInt8[np.ndarray, "_ _"] | None, width: int) -> overlays.Picture:
    """An overlay `width` pixels wide, drawn at its final size so that contours stay sharp."""
    image = _resized(image, width)
    return image if labels is None else overlays.overlay(image, resize_labels(labels, *image.shape[:2]))


def _resized(image: Image, width: int) -> overlays.Picture:
    return resize_image(image, max(1, round(image.shape[0] * width / image.shape[1])), width)


def _write_jpeg(path: Path, image: overlays.Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, encoding.jpeg_bytes(image, QUALITY))


def _is_whole(path: Path) -> bool:
    """Whether an image can be read to the end."""
    try:
        read_image(path)
    except UserError:
        return False
    return True
