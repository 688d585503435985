"""The best candidates in windows around each query's own place, on the CPU and without gradients: see `ops.best`.

A block of queries meets the references in bands of rows, and a band only those queries whose windows reach it. The
references lie side by side in a band, so that this is one product, and a cell's candidates are one group. Memory for
affinities is used again by the next block, since fresh memory costs as much time as a product.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vosbench.ops.best import Best
from vosbench.ops.search_block import Block, Shared
from vosbench.ops.top_k import Ties
from vosbench.ops.windows import Area, Window, window_reach

ROWS, COLUMNS = 32, 8  # of a block of queries, at most
LEAST, MOST, FULL = 2, 8, 20  # rows of a band: at least, at most, and times the references


@dataclass(frozen=True)
class WindowSearch:
    """Each query's candidates are the cells of the window around its own place, in each of r references.

    keys     in the results, a key's row is its cell, row-major, times r plus its reference
    chunk    affinities held at a time (at least those of one query)
    margin   the grid of the keys has this many rows and columns more on each side than that of the queries
    outside  candidates to be taken only where there are no others, and with the lowest finite affinity
    """

    queries: Float[Tensor, "h w c"]
    keys: Sequence[Float[Tensor, "kh kw c"]]
    radius: float
    window: Window
    chunk: int
    margin: int = 0
    outside: Sequence[Bool[Tensor, "kh kw"]] | None = None

    @cached_property
    def reach(self) -> int:
        """How far windows extend, as far as there are keys."""
        return min(window_reach(self.radius, self.window), max(self.size) - 1)

    @cached_property
    def references(self) -> int:
        return len(self.keys)

    @cached_property
    def tall(self) -> int:
        """Rows of a band: few where there are many references, so that products are neither small nor wasteful."""
        tall = max(LEAST, min(MOST, FULL // self.references))
        while tall > 1 and max(self._held(tall, 1, tall)) > self.chunk:
            tall -= 1
        return tall

    @cached_property
    def lead(self) -> int:
        """Rows above the keys' grid, so that windows of a block start with a band."""
        return (self.reach - self.margin) % self.tall

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the keys' grid."""
        return self.keys[0].shape[0], self.keys[0].shape[1]

    def best(self, top_k: int, ties: Ties, wanted: Bool[Tensor, "h w"] | None = None) -> Best:
        """The best candidates of all queries, row-major. `wanted`: others may get none, with affinity -inf."""
        h, w, _ = self.queries.shape
        tall, (rows, columns) = self.tall, self._sides()
        affinity, highest = (self.queries.new_zeros(n) for n in self._held(rows, columns, tall))
        shared = Shared(
            self.queries,
            _bands(self.keys, tall, self.lead),
            None if self.outside is None else _bands(self.outside, tall, self.lead),
            affinity,
            highest,
            references=self.references,
            size=self.size,
            margin=self.margin,
            tall=tall,
            lead=self.lead,
            radius=self.radius,
            window=self.window,
            reach=self.reach,
        )
        blocks = [Block(shared, own) for own in _areas(h, w, rows, columns, tall, wanted)]
        found = [block.best(top_k, ties) for block in blocks]
        k = max((each.shape[1] for each, _ in found), default=0)
        affinities = self.queries.new_full((h, w, k), -torch.inf)
        where = torch.zeros(h, w, k, dtype=torch.long, device=affinities.device)
        for block, (values, places) in zip(blocks, found, strict=True):
            size = affinities[block.own].shape[:2]
            affinities[block.own][..., : values.shape[1]] = values[: size.numel()].unflatten(0, size)
            where[block.own][..., : values.shape[1]] = places[: size.numel()].unflatten(0, size)
        return Best(affinities.flatten(0, 1), where.flatten(0, 1))

    def _sides(self) -> tuple[int, int]:
        """Rows, in whole bands, and columns of a block."""
        tall = self.tall
        rows, columns = _even(self.queries.shape[0], ROWS, tall), _even(self.queries.shape[1], COLUMNS)
        while max(self._held(rows, columns, tall)) > self.chunk and (rows > tall or columns > 1):
            wide = columns >= rows or rows == tall
            rows, columns = (rows, columns - 1) if wide and columns > 1 else (rows - tall, columns)
        return rows, columns

    def _held(self, rows: int, columns: int, tall: int) -> tuple[int, int]:
        """Affinities of a block, and maxima for its rectangle."""
        high, wide = -(-(rows + 2 * self.reach) // tall), columns + 2 * self.reach
        seen = min(-(-self.size[0] // tall) + 1, high) * tall * min(self.size[1], wide)
        return seen * self.references * rows * columns, high * tall * wide * rows * columns


def _bands(maps: Sequence[Shaped[Tensor, "kh kw *c"]], tall: int, lead: int) -> list[Tensor]:
    """Bands of `tall` rows, after `lead` rows of zeros. A band has columns, in these rows, in these references."""
    bands = []
    for y in range(-lead, len(maps[0]), tall):
        band = torch.stack([each[max(0, y) : y + tall].transpose(0, 1) for each in maps], 2)
        above, below = max(0, -y), max(0, y + tall - len(maps[0]))
        parts = [band.new_zeros(len(band), n, *band.shape[2:]) for n in (above, below)]
        bands.append((torch.cat((parts[0], band, parts[1]), 1) if above + below else band).flatten(0, 2))
    return bands


def _even(side: int, most: int, unit: int = 1) -> int:
    """The size of parts of nearly the same size, each at most `most` and a multiple of `unit`."""
    part = -(-side // -(-side // most))
    return -(-part // unit) * unit


def _areas(h: int, w: int, rows: int, columns: int, tall: int, wanted: Bool[Tensor, "h w"] | None) -> Iterator[Area]:
    """Blocks of at most this size that hold all wanted cells. They start at a multiple of `tall` rows."""
    for y in range(0, h, rows):
        for x in range(0, w, columns):
            across, down = slice(x, min(w, x + columns)), slice(y, min(h, y + rows))
            if wanted is None:
                yield down, across
                continue
            needed = wanted[down, across].any(1).nonzero().flatten().tolist()
            if needed:
                yield slice(y + needed[0] // tall * tall, y + needed[-1] + 1), across
