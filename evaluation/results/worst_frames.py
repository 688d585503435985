"""The frames with the worst masks, each with its annotation, its prediction and its errors."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from vosbench.drawing import encoding, overlays
from vosbench.drawing.contact_sheet import contact_sheet
from vosbench.evaluation.metrics import mask_jaccard
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.predictions.label_maps import LabelMaps, read_as_scored
from vosbench.evaluation.results.picture_index import Picture
from vosbench.evaluation.scoring.evaluate import Scores
from vosbench.util.errors import UserError
from vosbench.util.files import replace_file
from vosbench.video.images import resize_image, resize_labels
from vosbench.video.video import Image, Video

QUALITY = 80  # of JPEG: a picture takes 40 to 90 kB
WIDTH = 1200  # pixels
CELL = 792  # width at which overlays are drawn: twice that of the cells
CONTEXT = 1.6  # a worst frame shows this many times the extent of its object,
LEAST = 0.3  # and at least this share of the frame
Mask = Bool[np.ndarray, "h w"]


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


def write_worst(video: Video, maps: LabelMaps | None, worst: ObjectFrame, place: int, folder: Path) -> Picture:
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
    panels = [_overlaid(image[box], labels[box], CELL) for labels in (annotation, prediction)]
    shown = _resized(image[box], CELL)
    masks = [resize_labels(mask[box].astype(np.uint8), *shown.shape[:2]) for mask in (truth, scored)]
    titles = [
        f"annotation: {worst.key.title}",
        f"prediction, frame {worst.frame}: {worst.scores}",
        "errors: red missed, orange false",
    ]
    sheet = contact_sheet([[*panels, overlays.error_map(masks[0], masks[1], shown)]], titles, width=WIDTH)
    file = f"worst/{place}-{worst.key}-{worst.frame}.jpg"
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    replace_file(folder / file, encoding.jpeg_bytes(sheet, QUALITY))
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
