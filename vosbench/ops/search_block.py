"""The search for the best candidates of one block of queries: see `ops.search`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.ops.top_k import Numbers, Ties, top_of_groups
from vosbench.ops.windows import Area, Window, inside

VECTOR = 32  # maxima are fast over a multiple of this many columns


@dataclass(frozen=True)
class Shared:
    """What the blocks of a search share.

    bands       of `tall` rows of the keys, after `lead` rows that are none: see `ops.search`
    outside     candidates that are to be taken only where there are no others
    affinity    memory, as rows of candidates × queries
    highest     memory for maxima
    references  keys of a cell
    size        rows and columns of the keys' grid, which has `margin` more on each side than that of the queries
    reach       how far windows extend, as far as there are keys
    """

    queries: Float[Tensor, "h w c"]
    bands: Sequence[Float[Tensor, "n c"]]
    outside: Sequence[Bool[Tensor, " n"]] | None
    affinity: Float[Tensor, " held"]
    highest: Float[Tensor, " maxima"]
    references: int
    size: tuple[int, int]
    margin: int
    tall: int
    lead: int
    radius: float
    window: Window
    reach: int


@dataclass(frozen=True)
class Block:
    """The search for one block of queries, which is filled up to whole bands.

    Its rectangle are all bands and columns that windows reach, in the grid or not; a place in it is row-major.

    In memory, what a query does not reach is left as it was.
    """

    shared: Shared
    own: Area

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of queries."""
        rows = self.own[0].stop - self.own[0].start
        return -(-rows // self.shared.tall) * self.shared.tall, self.own[1].stop - self.own[1].start

    @cached_property
    def rectangle(self) -> tuple[int, int]:
        """Bands and columns."""
        return -(-(self.size[0] + 2 * self.shared.reach) // self.shared.tall), self.size[1] + 2 * self.shared.reach

    @cached_property
    def corner(self) -> tuple[int, int]:
        """The row and column of the keys' grid where the rectangle starts: negative outside of the grid."""
        shift = self.shared.margin - self.shared.reach
        return self.own[0].start + shift, self.own[1].start + shift

    @cached_property
    def seen(self) -> Area:
        """The part of the rectangle, in bands and columns, that is in the grid."""
        first = (self.corner[0] + self.shared.lead) // self.shared.tall
        down = slice(max(0, -first), min(self.rectangle[0], len(self.shared.bands) - first))
        left = max(0, -self.corner[1])
        return down, slice(left, min(self.rectangle[1], self.shared.size[1] - self.corner[1]))

    def best(self, top_k: int, ties: Ties) -> tuple[Float[Tensor, "q k"], Int[Tensor, "q k"]]:
        affinity, highest = self._products()
        return top_of_groups(affinity, self._windows(highest), self._numbers(), self.shared.references, top_k, ties)

    @cached_property
    def window(self) -> tuple[int, int]:
        """What a query sees of the rectangle: bands, and places in a band."""
        return -(-2 * self.shared.reach // self.shared.tall) + 1, (2 * self.shared.reach + 1) * self.shared.tall

    def _numbers(self) -> Numbers:
        """For each place of the rectangle, its group of affinities and its cell; outside of the grid, those of a place
        nearby."""
        (down, across), (bands, wide), (h, w) = self.seen, self.rectangle, self.shared.size
        (high, within), device = self.window, self.shared.affinity.device
        band, column, row = (torch.arange(n, device=device) for n in (bands, wide, self.shared.tall))
        band, column = band.view(-1, 1, 1), column.view(-1, 1).clamp(across.start, across.stop - 1)
        cell = (band * self.shared.tall + row + self.corner[0]).clamp(0, h - 1) * w + column + self.corner[1]
        seen = band.clamp(down.start, down.stop - 1) - down.start
        group = (seen * (across.stop - across.start) + column - across.start) * self.shared.tall + row
        own, across_own = (torch.arange(n, device=device) for n in self.size)
        corner = (own // self.shared.tall * wide).unsqueeze(1) + across_own
        step = torch.arange(high, device=device).unsqueeze(1) * (wide * self.shared.tall) + torch.arange(
            within, device=device
        )
        return Numbers(step.flatten(), corner.view(-1, 1) * self.shared.tall, group.flatten(), cell.flatten())

    def _products(self) -> tuple[Float[Tensor, "n q"], Float[Tensor, "bands q places"]]:
        """Affinities of the bands and columns in the grid, and the maximum over references for each cell of the
        rectangle: -inf outside of the grid."""
        (rows, columns), (down, across) = self.size, self.seen
        own = self.shared.queries[self.own].flatten(0, 1)
        queries = nnf.pad(own, (0, 0, 0, rows * columns - len(own)))
        cells = (across.stop - across.start) * self.shared.tall
        affinity = self.shared.affinity[: (down.stop - down.start) * cells * self.shared.references * len(queries)]
        affinity = affinity.view(down.stop - down.start, -1, len(queries))
        highest = self._rectangle()
        inner = highest[down].narrow(2, across.start * self.shared.tall, cells)
        for band, held, maxima in zip(range(down.start, down.stop), affinity, inner, strict=True):
            start, stop = (
                max(0, band * self.shared.tall - 2 * self.shared.reach),
                min(rows, (band + 1) * self.shared.tall),
            )
            part = (1, start * columns, (stop - start) * columns)
            self._multiply(band, queries.narrow(0, *part[1:]), held.narrow(*part))
            start, stop = start // self.step * self.step, min(rows, -(-stop // self.step) * self.step)
            part = (1, start * columns, (stop - start) * columns)
            best = held.narrow(*part).view(cells, self.shared.references, part[2]).amax(1)
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
        cell, across = self.shared.tall * self.shared.references, self.seen[1]
        first = (self.corner[0] + self.shared.lead) // self.shared.tall
        return first, (self.corner[1] + across.start) * cell, (across.stop - across.start) * cell

    def _multiply(self, band: int, queries: Float[Tensor, "q c"], out: Float[Tensor, "n q"]) -> None:
        """Affinities of the cells of a band in the grid."""
        first, *part = self.keys
        torch.mm(self.shared.bands[first + band].narrow(0, *part), queries.T, out=out)
        if self.shared.outside is not None:
            never = self.shared.outside[first + band].narrow(0, *part).unsqueeze(1)
            out.masked_fill_(never, torch.finfo(out.dtype).min)

    def _rectangle(self) -> Float[Tensor, "bands q places"]:
        """Memory for maxima: -inf outside of the grid, by whole bands."""
        shape = (self.rectangle[0], self.size[0] * self.size[1], self.rectangle[1] * self.shared.tall)
        highest = self.shared.highest[: math.prod(shape)].view(shape)
        down, across = self.seen
        if (down.stop - down.start, across.stop - across.start) != self.rectangle:
            highest.fill_(-torch.inf)
        return highest

    def _clear_margin(self, highest: Float[Tensor, "bands q places"]) -> None:
        """-inf for rows outside of the grid in bands that also have others."""
        down, above, below = self.seen[0], -self.corner[0], self.shared.size[0] - self.corner[0]
        rows = highest.unflatten(2, (-1, self.shared.tall))
        if down.start * self.shared.tall < above:
            rows[down.start, ..., : above % self.shared.tall] = -torch.inf
        if down.stop * self.shared.tall > below:
            rows[down.stop - 1, ..., below % self.shared.tall :] = -torch.inf

    def _windows(self, highest: Float[Tensor, "bands q places"]) -> Float[Tensor, "q g"]:
        """What each query sees of the rectangle, with -inf for cells outside of its window."""
        tall, (rows, columns), (high, within) = self.shared.tall, self.size, self.window
        _, queries, places = highest.shape
        band = queries * places
        strides = (band + tall * columns * places, columns * places, places + tall, band, 1)
        windows = highest.as_strided((rows // tall, tall, columns, high, within), strides).contiguous()
        windows += self._mask().unsqueeze(1)
        return windows.flatten(3).flatten(0, 2)

    def _mask(self) -> Float[Tensor, "tall bands places"]:
        """For a query in each row of a band: 0 in its window and -inf elsewhere."""
        shared, tall, device = self.shared, self.shared.tall, self.shared.affinity.device
        row = torch.arange(tall, device=device)
        y = torch.arange(self.window[0], device=device).view(-1, 1, 1) * tall + row - row.view(-1, 1, 1, 1)
        x = torch.arange(2 * shared.reach + 1, device=device).unsqueeze(1)
        near = inside(y - shared.reach, x - shared.reach, shared.radius, shared.window)
        return torch.zeros_like(near, dtype=self.shared.affinity.dtype).masked_fill(~near, -torch.inf).flatten(2)
