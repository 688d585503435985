"""J and F of one pair of binary masks, exactly as the official DAVIS scorer counts them.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016. Everything is
counted inside the bounding box of both masks, which changes no number and makes small objects cheap.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

Mask = Bool[np.ndarray, "h w"]


class Curves(NamedTuple):
    """One object over time.

    frames    positions of its scored frames among the annotated frames of the sequence (0 = the first)
    measures  one value a scored frame under each name: J and F, in [0, 1], or what else a protocol counts
    """

    frames: Int64[np.ndarray, " t"]
    measures: dict[str, Float64[np.ndarray, " t"]]


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


def jaccard(annotation: Mask, prediction: Mask) -> float:
    """J: intersection over union, in [0, 1]; 1 when both masks are empty."""
    union = np.count_nonzero(annotation | prediction)
    return float(np.count_nonzero(annotation & prediction) / union) if union else 1.0


def boundary_f(annotation: Mask, prediction: Mask, radius: int) -> float:
    """F: harmonic mean of boundary precision and recall within `radius` pixels, in [0, 1].

    1 when neither mask has a boundary, 0 when only one has: a mask that fills the frame has none.
    """
    true, predicted = boundary_map(annotation), boundary_map(prediction)
    count_true, count_predicted = np.count_nonzero(true), np.count_nonzero(predicted)
    if not count_true or not count_predicted:
        return float(count_true == count_predicted)
    precision = np.count_nonzero(predicted & _dilate(true, radius)) / count_predicted
    recall = np.count_nonzero(true & _dilate(predicted, radius)) / count_true
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def jaccard_and_f(annotation: Mask, prediction: Mask) -> tuple[float, float]:
    """(J, F) of one object in one frame. The tolerance follows the size of the whole frame."""
    radius = tolerance(*annotation.shape)
    left, top, width, height = cv2.boundingRect((annotation | prediction).view(np.uint8))
    if not width:
        return 1.0, 1.0
    # One row and column more than the box: a boundary pixel lies at most one above or left of its mask, and beyond the
    # box both masks are empty, so that the crop's last row and column follow the frame's rule. Dilations are only read
    # at boundary pixels, hence inside the crop too.
    box = slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1)
    annotation, prediction = annotation[box], prediction[box]
    return jaccard(annotation, prediction), boundary_f(annotation, prediction, radius)


def _dilate(mask: Mask, radius: int) -> Mask:
    return np.asarray(cv2.dilate(mask.view(np.uint8), _disk(radius))).view(np.bool_)


@lru_cache
def _disk(radius: int) -> UInt8[np.ndarray, "d d"]:
    """x² + y² ≤ radius²."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= radius * radius, np.uint8)
