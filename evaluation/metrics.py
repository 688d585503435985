"""J and F of one object in one frame, exactly as the official DAVIS scorer counts them.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016. Each object
is cut out of its frame once, with its boundary and the area around it. Everything is then counted in the overlap of two
cut-outs, which gives the same numbers and makes small objects cheap.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int64

from vosbench.util.errors import UserError
from vosbench.video.video import LabelMap

Mask = Bool[np.ndarray, "h w"]


class Curves(NamedTuple):
    """One object over time.

    frames    positions of its scored frames among the annotated frames of the sequence (0 = the first)
    measures  by name, one value per scored frame: J and F in [0, 1], or other measures of a protocol
    """

    frames: Int64[np.ndarray, " t"]
    measures: dict[str, Float64[np.ndarray, " t"]]


@dataclass(frozen=True)
class Region:
    """One object, cut out of its frame with a margin as wide as the tolerance (less at the frame's border).

    top, left  position of the cut-out in the frame
    mask       the object; boundary: of `boundary_map`; near: the pixels within the tolerance of the boundary
    area       pixels of the mask; length: pixels of the boundary
    """

    top: int
    left: int
    mask: Mask
    boundary: Mask
    near: Mask
    area: int
    length: int


class Objects:
    """The objects of one label map as regions, each cut out when first asked for.

    size  (height, width) of the frame
    ids   ids of the objects present, void included
    read  returns the label map itself
    cut   returns the region of a present id
    """

    def __init__(
        self, size: tuple[int, int], ids: frozenset[int], read: Callable[[], LabelMap], cut: Callable[[int], Region]
    ) -> None:
        self.size, self.ids, self._read, self._cut = size, ids, read, cut

    @classmethod
    def of(cls, labels: LabelMap) -> "Objects":
        radius = tolerance(*labels.shape)
        return cls(labels.shape, ids_of(labels), lambda: labels, lambda id_: cut_out(labels == id_, radius))

    @cached_property
    def labels(self) -> LabelMap:
        return self._read()

    def __getitem__(self, id_: int) -> Region:
        """The region of an object; an empty region if the object is absent."""
        return self._cut(id_) if id_ in self.ids else EMPTY


Pair = tuple[Objects, Objects]  # annotation and prediction of one frame


def check_sizes(annotation: Objects, prediction: Objects, sequence: str) -> None:
    """Raises UserError naming the sequence if a prediction does not have its annotation's size."""
    if annotation.size != prediction.size:
        raise UserError(f"{sequence}: a prediction is {prediction.size}, its annotation {annotation.size}")


def ids_of(labels: LabelMap) -> frozenset[int]:
    """The ids in a label map except 0, the background."""
    largest = int(labels.max(initial=0))
    if largest <= 1:
        return frozenset(range(1, largest + 1))
    left, top, width, height = cv2.boundingRect(labels)  # most of a frame is background
    objects = labels[top : top + height, left : left + width]
    if largest > 32:  # one pass over all pixels; below, a comparison for each id is several times faster
        return frozenset(np.flatnonzero(np.bincount(objects.ravel())).tolist()) - {0}
    return frozenset(id_ for id_ in range(1, largest + 1) if (objects == id_).any())


def tolerance(height: int, width: int) -> int:
    """Radius in pixels within which boundaries match: 0.8 % of the image diagonal, rounded up (8 at 480×854)."""
    return math.ceil(0.008 * math.hypot(height, width))


def boundary_map(mask: Mask) -> Mask:
    """Pixels that differ from their right, lower or lower-right neighbour.

    The last row compares only rightwards, the last column only downwards: the bottom-right corner is never boundary.
    """
    boundary = np.zeros_like(mask)
    boundary[:, :-1] = mask[:, :-1] != mask[:, 1:]
    boundary[:-1] |= mask[:-1] != mask[1:]
    boundary[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return boundary


def cut_out(mask: Mask, radius: int) -> Region:
    """The region of a whole frame's mask, for a tolerance of `radius` (at least 1) pixels."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return EMPTY
    # A boundary lies at most one pixel above or left of its mask, hence the wider margin there. If the margin does
    # not reach the frame's border, the cut-out's last row and column are empty like those behind them: the boundary in
    # the cut-out is the frame's.
    above, before = max(top - radius - 1, 0), max(left - radius - 1, 0)
    mask = mask[above : top + height + radius, before : left + width + radius]
    boundary = boundary_map(mask)
    near = dilate(boundary, radius)
    return Region(above, before, mask, boundary, near, int(np.count_nonzero(mask)), int(np.count_nonzero(boundary)))


def dilate(boundary: Mask, radius: int) -> Mask:
    """The pixels at most `radius` from one of the boundary.

    The disk is a stack of rows that get wider towards its middle. So the boundary is widened step by step, and each
    width is added as far above and below as the disk has rows of that width. This is less work than a dilation with
    the whole disk (half at 480p, a quarter at 1080p) or a distance transform.
    """
    wide, reach, height = boundary.view(np.uint8), 0, len(boundary)
    near = np.zeros_like(wide)
    for row in range(radius, -1, -1):
        step = math.isqrt(radius**2 - row**2) - reach
        if step:
            wide = np.asarray(cv2.dilate(wide, np.ones((1, 2 * step + 1), np.uint8)))
            reach += step
        if row < height:
            near[row:] |= wide[: height - row]
            near[: height - row] |= wide[row:]
    return near.view(np.bool_)


def jaccard(annotation: Region, prediction: Region) -> float:
    """J: intersection over union, in [0, 1]; 1 if both masks are empty."""
    here, there = _overlap(annotation, prediction)
    intersection = int(np.count_nonzero(annotation.mask[here] & prediction.mask[there]))
    return _iou(intersection, annotation.area + prediction.area - intersection)


def mask_jaccard(one: Mask, other: Mask) -> float:
    """J of two whole masks of the same size."""
    return _iou(int(np.count_nonzero(one & other)), int(np.count_nonzero(one | other)))


def _iou(intersection: int, union: int) -> float:
    return intersection / union if union else 1.0


def boundary_f(annotation: Region, prediction: Region) -> float:
    """F: harmonic mean of boundary precision and recall within the tolerance, in [0, 1].

    1 if neither mask has a boundary, 0 if only one has. A mask that fills the frame has none.
    """
    if not annotation.length or not prediction.length:
        return float(annotation.length == prediction.length)
    here, there = _overlap(annotation, prediction)
    precision = np.count_nonzero(prediction.boundary[there] & annotation.near[here]) / prediction.length
    recall = np.count_nonzero(annotation.boundary[here] & prediction.near[there]) / annotation.length
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def jaccard_and_f(annotation: Region, prediction: Region) -> tuple[float, float]:
    """(J, F) of one object in one frame."""
    return jaccard(annotation, prediction), boundary_f(annotation, prediction)


Slices = tuple[slice, slice]


def _overlap(a: Region, b: Region) -> tuple[Slices, Slices]:
    """The overlap of two cut-outs, as slices of each; empty slices if they do not overlap."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    bottom = max(top, min(a.top + a.mask.shape[0], b.top + b.mask.shape[0]))
    right = max(left, min(a.left + a.mask.shape[1], b.left + b.mask.shape[1]))
    here, there = (
        (slice(top - region.top, bottom - region.top), slice(left - region.left, right - region.left))
        for region in (a, b)
    )
    return here, there


_NOTHING = np.zeros((0, 0), np.bool_)
EMPTY = Region(0, 0, _NOTHING, _NOTHING, _NOTHING, 0, 0)
