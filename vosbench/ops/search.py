"""The best candidates in windows around each query's own place, on the CPU and without gradients: see `ops.best`.

A block of queries meets the references in bands of rows, and a band only those queries whose windows reach it. The
references lie side by side in a band, so that this is one product, and a cell's candidates are one group. Memory for
affinities is used again by the next block, since fresh memory costs as much time as a product.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from vosbench.ops.best import Best
from vosbench.ops.top_k import Numbers, Ties, top_of_groups
from vosbench.ops.windows import Area, Window, inside, window_reach

ROWS, COLUMNS = 32, 8  # of a block of queries, at most
VECTOR = 32  # maxima are fast over a multiple of this many columns
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
        memory = _Memory(
            _bands(self.keys, tall, self.lead),
            None if self.outside is None else _bands(self.outside, tall, self.lead),
            *(self.queries.new_zeros(n) for n in self._held(rows, columns, tall)),
        )
        blocks = [_Block(self, own, tall, memory) for own in _areas(h, w, rows, columns, tall, wanted)]
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


@dataclass(frozen=True)
class _Memory:
    """What blocks share: bands, and memory for affinities, as rows of candidates × queries, and their maxima."""

    bands: Sequence[Float[Tensor, "n c"]]
    outside: Sequence[Bool[Tensor, " n"]] | None
    affinity: Float[Tensor, " held"]
    highest: Float[Tensor, " maxima"]


@dataclass(frozen=True)
class _Block:
    """The search for one block of queries, which is filled up to whole bands.

    Its rectangle are all bands and columns that windows reach, in the grid or not; a place in it is row-major.

    In memory, what a query does not reach is left as it was.
    """

    search: WindowSearch
    own: Area
    tall: int
    memory: _Memory

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of queries."""
        rows = self.own[0].stop - self.own[0].start
        return -(-rows // self.tall) * self.tall, self.own[1].stop - self.own[1].start

    @cached_property
    def rectangle(self) -> tuple[int, int]:
        """Bands and columns."""
        return -(-(self.size[0] + 2 * self.search.reach) // self.tall), self.size[1] + 2 * self.search.reach

    @cached_property
    def corner(self) -> tuple[int, int]:
        """The row and column of the keys' grid where the rectangle starts: negative outside of the grid."""
        shift = self.search.margin - self.search.reach
        return self.own[0].start + shift, self.own[1].start + shift

    @cached_property
    def seen(self) -> Area:
        """The part of the rectangle, in bands and columns, that is in the grid."""
        first = (self.corner[0] + self.search.lead) // self.tall
        down = slice(max(0, -first), min(self.rectangle[0], len(self.memory.bands) - first))
        left = max(0, -self.corner[1])
        return down, slice(left, min(self.rectangle[1], self.search.size[1] - self.corner[1]))

    def best(self, top_k: int, ties: Ties) -> tuple[Float[Tensor, "q k"], Int[Tensor, "q k"]]:
        affinity, highest = self._products()
        return top_of_groups(affinity, self._windows(highest), self._numbers(), self.search.references, top_k, ties)

    @cached_property
    def window(self) -> tuple[int, int]:
        """What a query sees of the rectangle: bands, and places in a band."""
        return -(-2 * self.search.reach // self.tall) + 1, (2 * self.search.reach + 1) * self.tall

    def _numbers(self) -> Numbers:
        """For each place of the rectangle, its group of affinities and its cell; outside of the grid, those of a place
        nearby."""
        (down, across), (bands, wide), (h, w) = self.seen, self.rectangle, self.search.size
        (high, within), device = self.window, self.memory.affinity.device
        band, column, row = (torch.arange(n, device=device) for n in (bands, wide, self.tall))
        band, column = band.view(-1, 1, 1), column.view(-1, 1).clamp(across.start, across.stop - 1)
        cell = (band * self.tall + row + self.corner[0]).clamp(0, h - 1) * w + column + self.corner[1]
        seen = band.clamp(down.start, down.stop - 1) - down.start
        group = (seen * (across.stop - across.start) + column - across.start) * self.tall + row
        own, across_own = (torch.arange(n, device=device) for n in self.size)
        corner = (own // self.tall * wide).unsqueeze(1) + across_own
        step = torch.arange(high, device=device).unsqueeze(1) * (wide * self.tall) + torch.arange(within, device=device)
        return Numbers(step.flatten(), corner.view(-1, 1) * self.tall, group.flatten(), cell.flatten())

    def _products(self) -> tuple[Float[Tensor, "n q"], Float[Tensor, "bands q places"]]:
        """Affinities of the bands and columns in the grid, and the maximum over references for each cell of the
        rectangle: -inf outside of the grid."""
        (rows, columns), (down, across) = self.size, self.seen
        own = self.search.queries[self.own].flatten(0, 1)
        queries = nnf.pad(own, (0, 0, 0, rows * columns - len(own)))
        cells = (across.stop - across.start) * self.tall
        affinity = self.memory.affinity[: (down.stop - down.start) * cells * self.search.references * len(queries)]
        affinity = affinity.view(down.stop - down.start, -1, len(queries))
        highest = self._rectangle()
        inner = highest[down].narrow(2, across.start * self.tall, cells)
        for band, held, maxima in zip(range(down.start, down.stop), affinity, inner, strict=True):
            start, stop = max(0, band * self.tall - 2 * self.search.reach), min(rows, (band + 1) * self.tall)
            part = (1, start * columns, (stop - start) * columns)
            self._multiply(band, queries.narrow(0, *part[1:]), held.narrow(*part))
            start, stop = start // self.step * self.step, min(rows, -(-stop // self.step) * self.step)
            part = (1, start * columns, (stop - start) * columns)
            best = held.narrow(*part).view(cells, self.search.references, part[2]).amax(1)
            maxima.narrow(0, *part[1:]).copy_(best.T)
        self._clear_margin(highest)
        return affinity.flatten(0, 1), highest

    @cached_property
    def step(self) -> int:
        """Rows of queries whose maxima are fast."""
        return max(1, VECTOR // self.size[1])

    @cached_property
    def keys(self) -> tuple[int, int, int]:
        """The first band, and the candidates in a band that are in the rectangle: the first, and how many."""
        cell, across = self.tall * self.search.references, self.seen[1]
        first = (self.corner[0] + self.search.lead) // self.tall
        return first, (self.corner[1] + across.start) * cell, (across.stop - across.start) * cell

    def _multiply(self, band: int, queries: Float[Tensor, "q c"], out: Float[Tensor, "n q"]) -> None:
        """Affinities of the cells of a band in the grid."""
        first, *part = self.keys
        torch.mm(self.memory.bands[first + band].narrow(0, *part), queries.T, out=out)
        if self.memory.outside is not None:
            never = self.memory.outside[first + band].narrow(0, *part).unsqueeze(1)
            out.masked_fill_(never, torch.finfo(out.dtype).min)

    def _rectangle(self) -> Float[Tensor, "bands q places"]:
        """Memory for maxima: -inf outside of the grid, by whole bands."""
        shape = (self.rectangle[0], self.size[0] * self.size[1], self.rectangle[1] * self.tall)
        highest = self.memory.highest[: math.prod(shape)].view(shape)
        down, across = self.seen
        if (down.stop - down.start, across.stop - across.start) != self.rectangle:
            highest.fill_(-torch.inf)
        return highest

    def _clear_margin(self, highest: Float[Tensor, "bands q places"]) -> None:
        """-inf for rows outside of the grid in bands that also have others."""
        down, above, below = self.seen[0], -self.corner[0], self.search.size[0] - self.corner[0]
        rows = highest.unflatten(2, (-1, self.tall))
        if down.start * self.tall < above:
            rows[down.start, ..., : above % self.tall] = -torch.inf
        if down.stop * self.tall > below:
            rows[down.stop - 1, ..., below % self.tall :] = -torch.inf

    def _windows(self, highest: Float[Tensor, "bands q places"]) -> Float[Tensor, "q g"]:
        """What each query sees of the rectangle, with -inf for cells outside of its window."""
        tall, (rows, columns), (high, within) = self.tall, self.size, self.window
        _, queries, places = highest.shape
        band = queries * places
        strides = (band + tall * columns * places, columns * places, places + tall, band, 1)
        windows = highest.as_strided((rows // tall, tall, columns, high, within), strides).contiguous()
        windows += self._mask().unsqueeze(1)
        return windows.flatten(3).flatten(0, 2)

    def _mask(self) -> Float[Tensor, "tall bands places"]:
        """For a query in each row of a band: 0 in its window and -inf elsewhere."""
        search, tall, device = self.search, self.tall, self.memory.affinity.device
        row = torch.arange(tall, device=device)
        y = torch.arange(self.window[0], device=device).view(-1, 1, 1) * tall + row - row.view(-1, 1, 1, 1)
        x = torch.arange(2 * search.reach + 1, device=device).unsqueeze(1)
        near = inside(y - search.reach, x - search.reach, search.radius, search.window)
        return torch.zeros_like(near, dtype=self.memory.affinity.dtype).masked_fill(~near, -torch.inf).flatten(2)
