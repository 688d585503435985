"""Matching that is global for some references and restricted to cells near the query's own for the others.

Queries are handled in blocks of neighbours. What a block can see in a restricted reference lies in one rectangle, so a
block against all references is one matrix product; nothing of size NHW × HW exists, and memory is bounded by `chunk`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 8  # side of a block of queries, in cells: in a disk of radius 12 its rectangle holds twice the disk's cells
CHUNK = 1 << 23  # numbers held at a time (32 MiB in float32), whatever the number of references

Window = Literal["square", "disk"]


@dataclass(frozen=True)
class Matches:
    """The candidates that each query chose: their weights, which sum to 1, and where they are.

    size        of the grid; queries are its cells, row-major
    references  index in the sequence of keys
    cells       row-major index in that reference
    """

    size: tuple[int, int]
    weights: Float[Tensor, "q k"]
    references: Int[Tensor, "q k"]
    cells: Int[Tensor, "q k"]


def readout(
    query: Float[Tensor, "1 c h w"],
    keys: Sequence[Float[Tensor, "1 c h w"]],
    values: Sequence[Float[Tensor, "1 n h w"]],
    *,
    unrestricted: Sequence[bool],
    radius: float = 12,
    temperature: float = 0.05,
    top_k: int | None = 10,
    window: Window = "disk",
    chunk: int = CHUNK,
) -> Float[Tensor, "1 n h w"]:
    """What references hold where they look like the query: Aᵀ·values (mask embedding, equations 6 to 8).

    A is the softmax of cosine / `temperature` over the `top_k` best candidates of all references together, or over all
    candidates (None: as in training). Everything is computed in float32, under autocast too, and is differentiable.

    query, keys   of unit norm along c
    unrestricted  per reference: all its cells are candidates, not only those near the query's own
    radius        in cells. disk: candidates are nearer than this; square: at most this far along each axis. Cells
                  outside of the picture do not exist.
    top_k         all candidates where there are fewer
    chunk         affinities, or numbers read, that are held at a time (at least those of one query)

    To read several values with one search, use `match` and `read`. Raises ValueError for a radius that leaves no
    candidate, and for a `top_k` or temperature that is not positive.
    """
    if top_k is not None:
        matches = match(
            query,
            keys,
            unrestricted=unrestricted,
            radius=radius,
            temperature=temperature,
            top_k=top_k,
            window=window,
            chunk=chunk,
        )
        return read(matches, values, chunk=chunk)
    with torch.autocast(query.device.type, enabled=False):
        search = _Search.prepare(query, keys, unrestricted, radius, temperature, window, chunk)
        rows = torch.cat([values[i][0].flatten(1).T.float() for i in search.order])
        parts = [affinity.softmax(1) @ rows[candidates] for affinity, candidates in search.affinities()]
        return _maps(torch.cat(parts)[search.undo()], search.size)


def match(
    query: Float[Tensor, "1 c h w"],
    keys: Sequence[Float[Tensor, "1 c h w"]],
    *,
    unrestricted: Sequence[bool],
    radius: float = 12,
    temperature: float = 0.05,
    top_k: int = 10,
    window: Window = "disk",
    chunk: int = CHUNK,
) -> Matches:
    """The `top_k` best candidates of every query; arguments as in `readout`. Ties fall as torch.topk decides."""
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    with torch.autocast(query.device.type, enabled=False):
        search = _Search.prepare(query, keys, unrestricted, radius, temperature, window, chunk)
        weights, chosen = [], []
        for affinity, candidates in search.affinities():
            best, which = affinity.topk(min(top_k, len(candidates)), dim=1, sorted=False)
            weights.append(best.softmax(1))
            chosen.append(candidates[which])
        undo = search.undo()
        rows = _stack(chosen)[undo]
        references = torch.tensor(search.order, device=rows.device)[rows // search.cells]
        return Matches(search.size, _stack(weights)[undo], references, rows % search.cells)


def read(
    matches: Matches, values: Sequence[Float[Tensor, "1 n h w"]], *, chunk: int = CHUNK
) -> Float[Tensor, "1 n h w"]:
    """Each query's weighted sum of what the references hold where it matched, in float32. Values are gathered where
    they lie, never stacked: they may have hundreds of channels."""
    q, k = matches.weights.shape
    n = values[0].shape[1]
    if matches.references.max() >= len(values):
        raise ValueError(f"values of {len(values)} references, but matches in more")
    step = max(1, chunk // (k * n))
    with torch.autocast(matches.weights.device.type, enabled=False):
        parts = [
            _read(matches.weights[i : i + step], matches.references[i : i + step], matches.cells[i : i + step], values)
            for i in range(0, q, step)
        ]
    return _maps(torch.cat(parts), matches.size)


def _read(
    weights: Float[Tensor, "q k"],
    references: Int[Tensor, "q k"],
    cells: Int[Tensor, "q k"],
    values: Sequence[Float[Tensor, "1 n h w"]],
) -> Float[Tensor, "q n"]:
    chosen = weights.new_empty(*weights.shape, values[0].shape[1])
    for i, value in enumerate(values):
        here = references == i
        chosen[here] = value[0].flatten(1).T[cells[here]].float()
    return (weights.unsqueeze(1) @ chosen).squeeze(1)


@dataclass(frozen=True)
class _Search:
    """Queries (divided by the temperature) and keys, channels last. References are ordered: `far` unrestricted ones
    first; a candidate's row is its place in that order times the number of cells, plus its cell."""

    queries: Float[Tensor, "h w c"]
    keys: Float[Tensor, "r h w c"]
    far: int
    order: list[int]
    radius: float
    window: Window
    chunk: int

    @classmethod
    def prepare(
        cls,
        query: Float[Tensor, "1 c h w"],
        keys: Sequence[Float[Tensor, "1 c h w"]],
        unrestricted: Sequence[bool],
        radius: float,
        temperature: float,
        window: Window,
        chunk: int,
    ) -> "_Search":
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        if len(unrestricted) != len(keys):
            raise ValueError(f"`unrestricted` speaks of {len(unrestricted)} references, there are {len(keys)}")
        order = sorted(range(len(keys)), key=lambda i: not unrestricted[i])
        rows = torch.stack([keys[i][0].permute(1, 2, 0).float() for i in order])
        queries = query[0].permute(1, 2, 0).float() / temperature
        search = cls(queries, rows, sum(unrestricted), order, radius, window, chunk)
        if search.reach < 0:
            raise ValueError(f"a {window} of radius {radius} holds no cell: the radius must be larger")
        return search

    @property
    def size(self) -> tuple[int, int]:
        h, w, _ = self.queries.shape
        return h, w

    @property
    def cells(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def reach(self) -> int:
        """How many cells a restricted candidate may be away along an axis."""
        return math.ceil(self.radius) - 1 if self.window == "disk" else math.floor(self.radius)

    def affinities(self) -> Iterator[tuple[Float[Tensor, "q k"], Int[Tensor, " k"]]]:
        """For each block of queries: the logits of its candidates, -inf beyond a query's own window, and their rows."""
        far, near = self.keys[: self.far].flatten(0, 2), self.keys[self.far :]
        places = torch.arange(self.cells, device=far.device).view(self.size)
        starts = self.cells * torch.arange(len(near), device=far.device).view(-1, 1) + len(far)
        everywhere = torch.arange(len(far), device=far.device)
        for y, x in self._blocks():
            queries = self.queries[y, x].flatten(0, 1)
            affinity, rows = queries @ far.T, everywhere
            if len(near):
                around = self._around(y, self.size[0]), self._around(x, self.size[1])
                seen = near[:, around[0], around[1]].flatten(0, 2)
                mask = self._mask(places[y, x].flatten(), places[around].flatten()).repeat(1, len(near))
                affinity = torch.cat((affinity, torch.addmm(mask, queries, seen.T)), 1)
                rows = torch.cat((everywhere, (starts + places[around].flatten()).flatten()))
            yield affinity, rows

    def undo(self) -> Int[Tensor, " q"]:
        """Where, in the blocks one after the other, each cell of the grid is."""
        places = torch.arange(self.cells, device=self.keys.device).view(self.size)
        return torch.cat([places[block].flatten() for block in self._blocks()]).argsort()

    def _blocks(self) -> list[tuple[slice, slice]]:
        """The grid in squares as large as `chunk` allows; beyond BLOCK, rectangles hold too much that is masked."""
        h, w = self.size
        near = len(self.keys) - self.far
        side = min(BLOCK, max(h, w)) if near else max(h, w)

        def held(side: int) -> int:
            rectangle = min(h, side + 2 * self.reach) * min(w, side + 2 * self.reach)
            return min(h, side) * min(w, side) * (self.far * self.cells + near * rectangle)

        while side > 1 and held(side) > self.chunk:
            side -= 1
        return [
            (slice(y, min(y + side, h)), slice(x, min(x + side, w)))
            for y in range(0, h, side)
            for x in range(0, w, side)
        ]

    def _around(self, block: slice, length: int) -> slice:
        """The cells along an axis that a block can see."""
        return slice(max(0, block.start - self.reach), min(length, block.stop + self.reach))

    def _mask(self, queries: Int[Tensor, " q"], cells: Int[Tensor, " k"]) -> Float[Tensor, "q k"]:
        """0 where a cell lies in the query's window, -inf elsewhere."""
        w = self.size[1]
        y = (queries // w).unsqueeze(1) - cells // w
        x = (queries % w).unsqueeze(1) - cells % w
        near = y**2 + x**2 < self.radius**2 if self.window == "disk" else torch.maximum(y.abs(), x.abs()) <= self.radius
        return torch.zeros_like(near, dtype=torch.float32).masked_fill(~near, -torch.inf)


def _stack(parts: list[Tensor]) -> Tensor:
    """Blocks one after the other; one with fewer candidates than others (at the border) is filled with weight and row
    0."""
    k = max(part.shape[1] for part in parts)
    return torch.cat([nnf.pad(part, (0, k - part.shape[1])) for part in parts])


def _maps(rows: Float[Tensor, "q n"], size: tuple[int, int]) -> Float[Tensor, "1 n h w"]:
    return rows.T.reshape(1, -1, *size)
