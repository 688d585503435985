"""The view that maps are drawn on: the query and the frames before it, whole or an enlarged crop of each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Shaped
from PIL import Image as Pillow

from vosbench.drawing.overlays import Picture
from vosbench.inference.frame import Frame
from vosbench.video.images import nearest
from vosbench.video.video import Image

MARGIN = 1.4  # the crop is this many times as large as what must be visible
SMALLEST = 0.1  # smallest share of the width shown; closer in, only pixels are visible


@dataclass(frozen=True)
class Canvas:
    """Pictures of one size, and the positions of cells and pixels on them.

    frame  the query as the method sees it
    past   the picture of a frame, by how many frames before the query it lies; 0: the query itself
    part   left, top, width and height of what is shown, in pixels of the original pictures
    size   height and width at which it is shown
    """

    frame: Frame
    past: Callable[[int], Image]
    part: tuple[int, int, int, int]
    size: tuple[int, int]

    @classmethod
    def whole(cls, frame: Frame, past: Callable[[int], Image]) -> "Canvas":
        """A view of whole frames."""
        height, width = frame.original
        return cls(frame, past, (0, 0, width, height), (height, width))

    def around(self, maps: Iterable[Bool[np.ndarray, "_ _"]], pixel: tuple[int, int], width: int) -> "Canvas":
        """The crop that shows all these cells and the pixel (x, y) with a margin, at the frames' aspect ratio.

        width   at which the crop is shown, in pixels
        """
        shown = np.zeros(self.frame.original, bool)
        shown[pixel[1], pixel[0]] = True
        for cells in maps:
            shown |= placed(cells, self.frame)
        ys, xs = np.nonzero(shown)
        start, end = np.array([xs.min(), ys.min()]), np.array([xs.max(), ys.max()]) + 1
        whole = np.array([shown.shape[1], shown.shape[0]])
        share = min(1, max(SMALLEST, MARGIN * float(((end - start) / whole).max())))
        part = np.maximum(1, np.rint(share * whole).astype(int))
        left, top = np.clip((start + end - part) // 2, 0, whole - part).tolist()
        w, h = part.tolist()
        return replace(self, part=(left, top, w, h), size=(round(width * h / w), width))

    def picture(self, back: int = 0) -> Picture:
        """The frame `back` before the query."""
        left, top, width, height = self.part
        box, size = (left, top, left + width, top + height), (self.size[1], self.size[0])
        return np.asarray(Pillow.fromarray(self.past(back)).resize(size, Pillow.Resampling.BICUBIC, box))

    def place(self, cells: Shaped[np.ndarray, "h w *c"]) -> Shaped[np.ndarray, "h2 w2 *c"]:
        """A map of the method's, sampled for the view: each pixel takes the cell whose centre is nearest."""
        left, top, width, height = self.part
        rows, columns = top + nearest(height, self.size[0]), left + nearest(width, self.size[1])
        part: Shaped[np.ndarray, "h2 w2 *c"] = placed(cells, self.frame)[rows[:, None], columns]
        return part

    def point(self, x: float, y: float) -> tuple[float, float]:
        """The position in the view of a point of the original frames. Pixel centres are at whole numbers."""
        left, top, width, height = self.part
        return (x + 0.5 - left) * self.size[1] / width - 0.5, (y + 0.5 - top) * self.size[0] / height - 0.5

    def seen(self, pixel: tuple[int, int]) -> tuple[int, int]:
        """The position of an original pixel (x, y) in the frame as the method sees it."""
        height, width = self.frame.pixels.shape[2:]
        rows, columns = self.frame.cells((height, width))
        return int(columns[pixel[0]]), int(rows[pixel[1]])

    def centre(self, row: int, column: int, grid: tuple[int, int]) -> tuple[float, float] | None:
        """The centre of the area that `place` gives to a cell of a grid; None if it is empty."""
        rows, columns = (np.flatnonzero(at == of) for at, of in zip(self.frame.cells(grid), (row, column), strict=True))
        return self.point(columns.mean(), rows.mean()) if len(rows) and len(columns) else None


def placed(cells: Shaped[np.ndarray, "h w *c"], frame: Frame) -> Shaped[np.ndarray, "h2 w2 *c"]:
    """A method's map, sampled at the original size: each pixel takes the cell whose centre is nearest."""
    rows, columns = frame.cells((cells.shape[0], cells.shape[1]))
    whole: Shaped[np.ndarray, "h2 w2 *c"] = cells[rows[:, None], columns]
    return whole
