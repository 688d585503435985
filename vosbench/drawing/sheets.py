"""Contact sheets of a video: one row per frame drawn, with pictures of its results side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from vosbench.drawing.contact_sheet import contact_sheet
from vosbench.drawing.crop_view import Canvas
from vosbench.drawing.overlays import (
    Picture,
    crosshair,
    dotted,
    flow_colours,
    heat_colours,
    heat_overlay,
    outlined,
    overlay,
)
from vosbench.inference.visuals import Heat, Masks, Matches, Vectors, Visual
from vosbench.video.images import resize_labels
from vosbench.video.video import Video

CELL = 360  # width of a picture, in pixels
DOT = 0.05  # radius of the dot of weight 1, as a fraction of the picture's width
SEEN = 0.75  # radius of the smallest dot that is drawn, in pixels of twice the final size
Shown = tuple[str, Picture]  # caption and picture
Folders = Mapping[str, Path]  # folders of label maps, by caption


def sheet(video: Video, rows: Mapping[int, Sequence[Shown]]) -> Picture:
    """For each frame index: the frame, its annotation (if the video has any), and the pictures given."""
    truths = {index: video.annotation(index) for index in rows}
    known = any(truth is not None for truth in truths.values())
    whole: list[list[Shown]] = []
    for index, pictures in rows.items():
        image, truth = video.frame(index), truths[index]
        true = _blank(image) if truth is None else ("truth", overlay(image, resize_labels(truth, *image.shape[:2])))
        whole.append([(f"frame {video.frame_names[index]}", image), *([true] if known else []), *pictures])
    return side_by_side(whole)


def side_by_side(rows: Sequence[Sequence[Shown]]) -> Picture:
    """Rows of pictures on one sheet; shorter rows are filled up with white."""
    count = max(map(len, rows))
    filled = [[*row, *[_blank(row[0][1])] * (count - len(row))] for row in rows]
    captions = [[caption for caption, _ in row] for row in filled]
    width = count * (CELL + CELL // 50)
    return contact_sheet([[picture for _, picture in row] for row in filled], captions=captions, width=width)


def _blank(picture: Picture) -> Shown:
    return "", np.full_like(picture, 255)


def show(name: str, visual: Visual, canvas: Canvas, ids: Sequence[int]) -> Shown:
    """One of a method's intermediate maps as a picture. `ids`: object ids in the order of channels."""
    match visual:
        case Masks(scores):
            labels = np.array([0, *ids], np.uint8)[scores[0].argmax(0).cpu().numpy()]
            return name, overlay(canvas.picture(), canvas.place(labels))
        case Vectors(vectors):
            cells = vectors.float().permute(1, 2, 0).cpu().numpy()
            height, width = canvas.frame.cell_size((cells.shape[0], cells.shape[1]))
            flow = canvas.place(cells * np.array([width, height], np.float32))
            longest = float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), 99))
            return f"{name}: full colour at {longest:.1f} px", flow_colours(flow, longest)
        case Heat(values, low, high, back):
            heat = canvas.place(values.float().cpu().numpy())
            title = f"{name}: {low:.3g} (blue) to {high:.3g} (yellow)"
            return title, (
                heat_colours(heat, low, high) if back is None else heat_overlay(canvas.picture(back), heat, low, high)
            )
        case Matches(back, window, weights):
            shares = weights.float().cpu().numpy()
            picture = outlined(canvas.picture(back), canvas.place(window.cpu().numpy()))
            return f"{name}: {100 * shares.sum():.0f} % of the weight", _dots(picture, shares, canvas)


def _dots(picture: Picture, weights: Float[np.ndarray, "h w"], canvas: Canvas) -> Picture:
    """Draws dots with areas proportional to the weights, on one scale for all pictures. Dots too small to see are left
    out."""
    radii = DOT * canvas.size[1] * np.sqrt(weights)
    cells = [(int(row), int(column)) for row, column in np.argwhere(radii >= SEEN)]
    places = {cell: canvas.centre(*cell, weights.shape) for cell in cells}
    shown = {cell: place for cell, place in places.items() if place is not None}
    return dotted(picture, list(shown.values()), [float(radii[cell]) for cell in shown])


def match_rows(
    title: str, found: Sequence[Mapping[str, Visual]], canvas: Canvas, pixel: tuple[int, int], ids: Sequence[int]
) -> list[list[Shown]]:
    """A method's `matches` for a pixel (x, y): each row has the query, with the caption `title`, and the frames
    searched.

    All pictures show the same crop around the search areas, with a crosshair at the pixel.
    """
    searched = [_searched(visual) for row in found for visual in row.values()]
    part = canvas.around([cells for cells in searched if cells is not None], pixel, 2 * CELL)
    place = part.point(*pixel)
    rows = [
        [(title, part.picture()), *[show(name, visual, part, ids) for name, visual in row.items()]] for row in found
    ]
    return [[(caption, crosshair(picture, place)) for caption, picture in row] for row in rows]


def _searched(visual: Visual) -> Bool[np.ndarray, "h w"] | None:
    """The cells that must be visible; None if none must."""
    match visual:
        case Matches(_, window, _):
            return window.cpu().numpy()
        case Heat(values):
            return values.isfinite().cpu().numpy()
    return None


def evenly(values: Sequence[int], most: int) -> list[int]:
    """At most `most` of the values, evenly spread and including the last."""
    places = np.linspace(len(values) - 1, 0, min(most, len(values))).round().astype(int)
    return [values[place] for place in places[::-1]]


def chosen(indices: Sequence[int], most: int) -> list[int]:
    """The frames to draw: evenly spread, without the first, where the result is the given mask."""
    return evenly(indices[1:] or indices, most)
