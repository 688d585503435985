"""Label maps, errors, flow and scores as RGB images: pure functions from arrays to arrays."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from vosbench.video.palette import PALETTE, VOID

Image = UInt8[np.ndarray, "h w 3"]
Picture = UInt8[np.ndarray, "_ _ 3"]  # jaxtyping: any size, also different from other pictures'
LabelMap = UInt8[np.ndarray, "h w"]
COLOURS = np.array(PALETTE, np.uint8).reshape(256, 3)
TEXT, PAPER = (30, 30, 30), (255, 255, 255)
LINE, DOT = (215, 58, 73), (255, 225, 25)
HIT, MISSED, FALSE = (46, 160, 67), (215, 58, 73), (255, 171, 25)


def overlay(image: Image, labels: LabelMap, opacity: float = 0.5, boundary: bool = True) -> Image:
    """Objects tinted in their palette colours; background and void stay as they are. `boundary`: with a contour."""
    tint = np.where((labels == 0) | (labels == VOID), 0.0, opacity)[..., None]
    mixed = np.rint(image * (1 - tint) + COLOURS[labels] * tint).astype(np.uint8)
    if boundary:
        edge = contour(labels)
        mixed[edge] = COLOURS[labels[edge]]
    return np.asarray(mixed, np.uint8)


def contour(labels: LabelMap) -> Bool[np.ndarray, "h w"]:
    """Object pixels close to another label: a line that is wider in larger pictures."""
    import cv2

    width = max(1, round(min(labels.shape) / 240))
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    edge = cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
    return np.asarray(edge & (labels != 0) & (labels != VOID))


def error_map(annotation: LabelMap, prediction: LabelMap, image: Image | None = None) -> Image:
    """Correct object pixels in green, missed ones in red, false ones in orange. Another object's label counts as
    missed.

    The background is the picture in grey if given, otherwise white.
    """
    if image is None:
        out = np.full((*annotation.shape, 3), 245, np.uint8)
    else:
        grey = image.mean(2, keepdims=True)
        out = np.rint(np.repeat(60 + 0.6 * grey, 3, axis=2)).astype(np.uint8)
    truth = np.where(annotation == VOID, 0, annotation)
    out[(truth == prediction) & (truth != 0)] = HIT
    out[(truth != prediction) & (truth != 0)] = MISSED
    out[(truth == 0) & (prediction != 0)] = FALSE
    return out


def flow_colours(flow: Float[np.ndarray, "h w 2"], largest: float | None = None) -> Image:
    """Flow (x, y) on a colour wheel: hue is direction, saturation is length, white is rest, and grey is NaN.

    To the right is red, down yellow-green, left cyan, up violet. `largest`: the length drawn in full colour,
    in the flow's unit; default: the 99th percentile, so that one wrong vector does not make all others pale.
    """
    known = np.isfinite(flow).all(-1)
    x, y = np.where(known, flow[..., 0], 0.0), np.where(known, flow[..., 1], 0.0)
    length = np.hypot(x, y)
    if largest is None:
        largest = float(np.percentile(length[known], 99)) if known.any() else 1.0
    share = np.clip(length / max(largest, 1e-6), 0, 1)[..., None]
    # Three cosines a third of a turn apart: every direction has its own colour, without visible edges between them.
    angle = np.arctan2(y, x)[..., None] - np.array([0, 1, 2]) * 2 * np.pi / 3
    hue = np.clip(0.5 + 0.6 * np.cos(angle), 0, 1)
    colours = np.rint(255 * (1 - share * (1 - hue))).astype(np.uint8)
    return np.where(known[..., None], colours, np.uint8(150))


def heat_colours(values: Float[np.ndarray, "h w"], low: float, high: float) -> Image:
    """Numbers as colours (viridis): dark blue for `low` and below, green halfway, yellow for `high` and above, and grey
    for NaN."""
    import matplotlib

    share = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    colours = matplotlib.colormaps["viridis"](np.nan_to_num(share), bytes=True)[..., :3]
    return np.where(np.isfinite(values)[..., None], colours, np.uint8(150))


def heat_overlay(
    image: Image, values: Float[np.ndarray, "h w"], low: float, high: float, opacity: float = 0.6
) -> Image:
    """Numbers as heat colours over the picture in grey. Where they are NaN the picture stays unchanged, behind a
    line."""
    grey = image.mean(2, keepdims=True)
    mixed = np.rint(grey * (1 - opacity) + heat_colours(values, low, high) * opacity).astype(np.uint8)
    known = np.isfinite(values)
    return outlined(np.where(known[..., None], mixed, image), known)


def outlined(image: Image, where: Bool[np.ndarray, "h w"]) -> Image:
    """A red line around the outside of these pixels, but not around holes or along the picture's border."""
    import cv2

    filled = where.astype(np.uint8)
    borders, _ = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(filled, borders, -1, 1, cv2.FILLED)
    width = max(1, round(min(where.shape) / 160))
    line = (cv2.dilate(filled, np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0) & (filled == 0)
    return np.where(line[..., None], np.array(LINE, np.uint8), image)


def dotted(image: Image, points: Sequence[tuple[float, float]], radii: Sequence[float]) -> Image:
    """Yellow dots with a dark rim at these points (x, y), the largest first, so that none is fully hidden."""
    import cv2

    drawn = image.copy()
    for radius, (x, y) in sorted(zip(radii, points, strict=True), reverse=True):
        centre = (round(16 * x), round(16 * y))  # in sixteenths of a pixel: shift=4
        cv2.circle(drawn, centre, round(16 * radius), DOT, cv2.FILLED, cv2.LINE_AA, shift=4)
        cv2.circle(drawn, centre, round(16 * radius), TEXT, 1, cv2.LINE_AA, shift=4)
    return drawn


def crosshair(image: Image, point: tuple[float, float]) -> Image:
    """Four white strokes with a dark rim around this point (x, y), which itself stays visible."""
    import cv2

    drawn, size = image.copy(), max(9, round(min(image.shape[:2]) / 20))
    x, y = round(point[0]), round(point[1])
    for colour, width in ((TEXT, size // 10 + 3), (PAPER, size // 10 + 1)):
        for right, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            start, end = ((x + right * far, y + down * far) for far in (size // 2, size + size // 4))
            cv2.line(drawn, start, end, colour, width, cv2.LINE_AA)
    return drawn
