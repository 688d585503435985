"""Matching that is global in some references and local in the others: restricted to cells near the query's own.

Local windows are disks or squares, and cells outside of the picture do not exist. For local windows that extend beyond
the picture, or that follow a flow, see `ops.affinity`.

Queries are handled in blocks (see `ops.windows`): a block against all references is one matrix product, and nothing of
size NHW × HW is ever formed.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.ops.windows import BLOCK, CHUNK, Blocks, Window, window_mask

Ties = Literal["topk", "kept"]


@dataclass(frozen=True)
class Matches:
    """The best candidates of each query: their weights, which sum to 1, and where they are.

    size        (height, width) of the grid; queries are its cells, row-major
    references  indices in the sequence of keys
    cells       row-major indices in those references
    """

    size: tuple[int, int]
    weights: Float[Tensor, "q k"]
    references: Int[Tensor, "q k"]
    cells: Int[Tensor, "q k"]


def global_local_readout(
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
    """What the references hold where they resemble the query: Aᵀ·values (mask embedding, equations 6 to 8).

    A is the softmax of cosine / `temperature` over the `top_k` best candidates of all references together, or over all
    candidates (None: as in training). Everything is computed in float32, even under autocast, and is differentiable.

    query, keys   of unit norm along c
    unrestricted  for each reference, whether all of its cells are candidates, and not only those near the query's own
    radius        in cells. disk: candidates are nearer than this; square: at most this far along each axis. Cells
                  outside of the picture do not exist.
    top_k         where there are fewer candidates, all of them
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
    ties: Ties = "topk",
    chunk: int = CHUNK,
) -> Matches:
    """The `top_k` best candidates of every query; torch.topk breaks ties. See `global_local_readout` for arguments."""
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
    """Each query's weighted sum of the references' values where it matched, in float32.

    Values are gathered from each reference and never stacked, since they may have hundreds of channels.

    chunk  numbers read at a time (at least those of one query)
    """
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
    """Queries (divided by the temperature) and keys, channels last, and the blocks of queries.

    References are in the order `order`: the `far` unrestricted ones first. A candidate's row is its reference's place
    in that order times the number of cells, plus its cell.
    """

    queries: Float[Tensor, "h w c"]
    keys: Float[Tensor, "r h w c"]
    far: int
    order: list[int]
    blocks: Blocks
    radius: float
    window: Window

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
        far, reach = sum(unrestricted), _reach(radius, window)
        blocks = _blocks(query.shape[2], query.shape[3], reach, far, len(keys) - far, chunk)
        return cls(queries, rows, far, order, blocks, radius, window)

    @property
    def size(self) -> tuple[int, int]:
        return self.blocks.h, self.blocks.w

    @property
    def cells(self) -> int:
        return self.blocks.h * self.blocks.w

    def affinities(self) -> Iterator[tuple[Float[Tensor, "q k"], Int[Tensor, " k"]]]:
        """For each block of queries: the logits of its candidates, -inf beyond a query's own window, and their rows."""
        far, near = self.keys[: self.far].flatten(0, 2), self.keys[self.far :]
        places = self._places()
        starts = self.cells * torch.arange(len(near), device=far.device).view(-1, 1) + len(far)
        everywhere = torch.arange(len(far), device=far.device)
        for own, around in self.blocks.clipped():
            queries = self.queries[own].flatten(0, 1)
            affinity, rows = queries @ far.T, everywhere
            if len(near):
                cells = places[around].flatten()
                mask = window_mask(places[own].flatten(), cells, self.blocks.w, self.radius, self.window)
                seen = near[:, around[0], around[1]].flatten(0, 2)
                affinity = torch.cat((affinity, torch.addmm(mask.repeat(1, len(near)), queries, seen.T)), 1)
                rows = torch.cat((everywhere, (starts + cells).flatten()))
            yield affinity, rows

    def undo(self) -> Int[Tensor, " q"]:
        """Where each cell of the grid is in the results of all blocks, put one after the other."""
        places = self._places()
        return torch.cat([places[own].flatten() for own, _ in self.blocks.clipped()]).argsort()

    def _places(self) -> Int[Tensor, "h w"]:
        return torch.arange(self.cells, device=self.keys.device).view(self.size)


def _reach(radius: float, window: Window) -> int:
    """How many cells a restricted candidate may be away along an axis."""
    reach = math.ceil(radius) - 1 if window == "disk" else math.floor(radius)
    if reach < 0:
        raise ValueError(f"a {window} of radius {radius} holds no cell: the radius must be larger")
    return reach


def _blocks(h: int, w: int, reach: int, far: int, near: int, chunk: int) -> Blocks:
    """Blocks as large as `chunk` allows; with larger ones than BLOCK, too much of the rectangles would be masked.

    far, near  how many references are unrestricted and restricted
    """

    def held(side: int) -> int:
        rectangle = min(h, side + 2 * reach) * min(w, side + 2 * reach)
        return min(h, side) * min(w, side) * (far * h * w + near * rectangle)

    side = min(BLOCK, max(h, w)) if near else max(h, w)
    while side > 1 and held(side) > chunk:
        side -= 1
    return Blocks(h, w, reach, side)


def _stack(parts: list[Tensor]) -> Tensor:
    """Blocks one after the other; those with fewer candidates (at the border) are filled up with weight and row 0."""
    k = max(part.shape[1] for part in parts)
    return torch.cat([nnf.pad(part, (0, k - part.shape[1])) for part in parts])


def _maps(rows: Float[Tensor, "q n"], size: tuple[int, int]) -> Float[Tensor, "1 n h w"]:
    return rows.T.reshape(1, -1, *size)
