"""The geometry of local attention: blocks of queries, and the rectangle of cells that holds every window of a block.

A block against its rectangle is one matrix product, so neither an unfolded copy of the features nor anything of size
(HW)² is ever formed, and a bound on the affinities held at a time (`CHUNK`) bounds memory.

Rectangles extend beyond the picture, and there are two ways to treat the cells outside. Either they are zeros that
compete with the others: then all rectangles have one size, and blocks are batched (`Blocks.rectangles`, for
`ops.affinity`). Or they do not exist: then rectangles are clipped, and blocks are handled one by one (`Blocks.clipped`,
for `ops.matching`). `ops.search` has blocks of its own.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

BLOCK = 8  # side of a block, in cells: at radius 12 its rectangle has 1.6 times the cells of one window, 2.1 of a disk
CHUNK = 1 << 23  # affinities held at a time (32 MiB in float32), whatever the radius and the number of references

Positions = Int[Tensor, "h w"]
Window = Literal["square", "disk", "closed_disk"]
Area = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True)
class Blocks:
    """An h×w grid of queries in blocks of side×side, numbered row-major, image after image.

    The last blocks of a row or column may overhang the grid. `reach` is how far, in cells, a window extends from its
    query along each axis: the rectangle of a block starts `reach` cells above and to the left of it.
    """

    h: int
    w: int
    reach: int
    side: int = BLOCK

    @property
    def rows(self) -> int:
        return math.ceil(self.h / self.side)

    @property
    def columns(self) -> int:
        return math.ceil(self.w / self.side)

    @property
    def span(self) -> int:
        """The side of a rectangle, in cells."""
        return self.side + 2 * self.reach

    @property
    def diameter(self) -> int:
        """The side of a square window, in cells."""
        return 2 * self.reach + 1

    @property
    def window(self) -> int:
        """The number of cells in a square window."""
        return self.diameter**2

    def locate(self, blocks: Int[Tensor, " m"]) -> tuple[Tensor, Tensor, Tensor]:
        """The image, row and column of blocks, given their numbers."""
        image, place = blocks // (self.rows * self.columns), blocks % (self.rows * self.columns)
        return image, place // self.columns, place % self.columns

    def cut(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "m q c"]:
        """(blocks of all images, cells of a block, channels); cells beyond the grid are zero."""
        padded = nnf.pad(maps, (0, self.columns * self.side - self.w, 0, self.rows * self.side - self.h))
        tiles = padded.view(*maps.shape[:2], self.rows, self.side, self.columns, self.side)
        return tiles.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)

    def join(self, tiles: Float[Tensor, "m q n"], b: int) -> Float[Tensor, "b n h w"]:
        """The inverse of `cut`."""
        maps = tiles.view(b, self.rows, self.columns, self.side, self.side, -1).permute(0, 5, 1, 3, 2, 4)
        return maps.flatten(4, 5).flatten(2, 3)[:, :, : self.h, : self.w]

    def padded_positions(self, positions: Positions | None, b: int, device: torch.device) -> Int[Tensor, "b hp wp"]:
        """For each cell of the padded grid, its row in `cell_rows`, which is b·h·w outside of the picture.

        positions  the cell that lies at each place of the grid, h·w for "outside"; None: its own
        """
        h, w, r = self.h, self.w, self.reach
        if positions is None:
            positions = torch.arange(h * w, device=device).view(h, w)
        outside = b * h * w
        each = positions + torch.arange(b, device=device).view(-1, 1, 1) * (h * w)
        each = torch.where(positions == h * w, outside, each)
        right, bottom = self.columns * self.side - w + r, self.rows * self.side - h + r
        return nnf.pad(each, (r, right, r, bottom), value=outside)

    def rectangles(self, padded: Int[Tensor, "b hp wp"], blocks: Int[Tensor, " m"]) -> Int[Tensor, "m span span"]:
        """The part of a padded map that each of these blocks can see."""
        image, y, x = self.locate(blocks)
        return padded.unfold(1, self.span, self.side).unfold(2, self.span, self.side)[image, y, x]

    def clipped(self) -> Iterator[tuple[Area, Area]]:
        """For each block, its cells and those of its rectangle, without what lies outside of the grid."""
        for y in range(0, self.h, self.side):
            for x in range(0, self.w, self.side):
                yield self._area(y, x, 0), self._area(y, x, self.reach)

    def _area(self, y: int, x: int, margin: int) -> Area:
        rows = slice(max(0, y - margin), min(self.h, y + self.side + margin))
        return rows, slice(max(0, x - margin), min(self.w, x + self.side + margin))

    def windows(self, rectangles: Shaped[Tensor, "m *q span span"]) -> Shaped[Tensor, "m q k"]:
        """Each query's own square window, row-major, from a rectangle for the block or for each of its queries.

        A strided view, then a copy: of affinities or indices, never of features.
        """
        m, d, span = len(rectangles), self.diameter, self.span
        rectangles = rectangles.contiguous()
        if rectangles.dim() == 3:
            strides = (span * span, span, 1, span, 1)
        else:
            per_query = span * span
            strides = (self.side**2 * per_query, self.side * per_query + span, per_query + 1, span, 1)
        view = rectangles.as_strided((m, self.side, self.side, d, d), strides)
        return view.reshape(m, self.side**2, self.window)


def inside(y: Int[Tensor, "..."], x: Int[Tensor, "..."], radius: float, window: Window) -> Bool[Tensor, "..."]:
    """Whether a cell y rows and x columns away lies in the window.

    square: at most `radius` away along each axis; disk: nearer than `radius`; closed_disk: at most `radius` away.
    """
    if window == "square":
        return torch.maximum(y.abs(), x.abs()) <= radius
    return y**2 + x**2 < radius**2 if window == "disk" else y**2 + x**2 <= radius**2


def window_reach(radius: float, window: Window) -> int:
    """How many cells a window extends along an axis. Raises ValueError if it holds no cell."""
    reach = math.ceil(radius) - 1 if window == "disk" else math.floor(radius)
    if reach < 0:
        raise ValueError(f"a {window} of radius {radius} holds no cell: the radius must be larger")
    return reach


def window_mask(
    queries: Int[Tensor, " q"], cells: Int[Tensor, " k"], width: int, radius: float, window: Window = "square"
) -> Float[Tensor, "q k"]:
    """0 where a cell lies in a query's window and -inf elsewhere, in float32; both are row-major indices."""
    y = (queries // width).unsqueeze(1) - cells // width
    x = (queries % width).unsqueeze(1) - cells % width
    near = inside(y, x, radius, window)
    return torch.zeros_like(near, dtype=torch.float32).masked_fill(~near, -torch.inf)


def cell_rows(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "p c"]:
    """The channels of each cell, image after image, and a last row of zeros for "outside": p = b·h·w + 1."""
    return nnf.pad(maps.permute(0, 2, 3, 1).flatten(0, 2), (0, 0, 0, 1))


def take(rows: Float[Tensor, "p c"], places: Int[Tensor, "m k"]) -> Float[Tensor, "m k c"]:
    return rows.index_select(0, places.flatten()).view(*places.shape, rows.shape[1])
