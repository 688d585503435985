"""Local attention: each query cell attends to a square window of cells in every reference.

All references are searched around the query's own position, or around where a flow points from it. Cells outside of
the picture are zeros that compete with the others, unless they are masked. For references that are searched as a whole,
and windows that are disks, see `ops.matching`. Blocks of queries are batched: see `ops.windows`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.ops.windows import CHUNK, Blocks, Positions, cell_rows, take, window_mask


def local_readout(
    query: Float[Tensor, "b c h w"],
    keys: Sequence[Float[Tensor, "b c h w"]],
    values: Sequence[Float[Tensor, "b n h w"]],
    *,
    radius: int,
    scale: float,
    top_k: int | None = None,
    positions: Sequence[Positions] | None = None,
    mask_oob: bool = False,
    skip_uniform: bool = False,
    chunk: int = CHUNK,
) -> Float[Tensor, "b n h w"]:
    """Softmax-weighted sum of reference values over the windows of all references (MAMP eq. 1 and 2).

    The affinity of a query and a candidate is their dot product times `scale`. Candidates are the (2 radius + 1)²
    cells around the query's own position in each reference.

    radius        in cells
    top_k         candidates with the highest affinity, over all references together, that take part; None: all
    positions     for each reference, the cell (row-major index, h·w for "outside") that lies at each query position:
                  see `align.gather_positions`. Features and values are read through it. None: the cell at the same
                  position. Needs b = 1.
    mask_oob      leave candidates outside of a reference out of the softmax; otherwise they have affinity 0 and value
                  0
    skip_uniform  skip the search where all candidates have the same value, since this is the result
    chunk         affinities held at a time (at least those of one block)
    """
    b, _, h, w = query.shape
    if positions is not None and b != 1:
        raise ValueError("positions need a batch of one")
    blocks = Blocks(h, w, radius)
    queries = blocks.cut(query)
    sources = _sources(blocks, keys, values, positions)
    active, result = _undecided(sources, blocks, mask_oob) if skip_uniform else (None, None)
    indices = torch.arange(len(queries), device=query.device) if active is None else active
    read = _read_all if top_k is None else partial(_read_top, top_k=min(top_k, len(keys) * blocks.window))
    parts = [
        read(queries[part], part, sources, blocks, scale, mask_oob)
        for part in indices.split(_step(chunk, blocks, len(keys)))
    ]
    return blocks.join(torch.cat(parts) if result is None else result.index_copy(0, indices, torch.cat(parts)), b)


def local_matches(
    query: Float[Tensor, "1 c h w"],
    keys: Sequence[Float[Tensor, "1 c h w"]],
    cell: tuple[int, int],
    *,
    radius: int,
    scale: float,
    top_k: int | None = None,
    positions: Sequence[Positions] | None = None,
    mask_oob: bool = False,
) -> list[tuple[Bool[Tensor, "h w"], Float[Tensor, "h w"]]]:
    """What `local_readout` attends to for one query cell (row, column): for each reference, candidates and weights.

    The readout of that cell is the sum of all values by these weights. They add up to 1 together with the weight of
    candidates outside of the references, which have no cell and value 0.
    """
    blocks = Blocks(query.shape[2], query.shape[3], radius)
    (row, down), (column, right) = (divmod(place, blocks.side) for place in cell)
    block = torch.tensor([row * blocks.columns + column], device=query.device)
    place = down * blocks.side + right  # within the block
    sources = _sources(blocks, keys, None, positions)
    queries = blocks.cut(query)[block] * scale
    outside = _never(queries) if mask_oob else None
    affinities = torch.cat([_affinities(queries, block, source, blocks, outside) for source in sources], 2)
    count = affinities.shape[2] if top_k is None else min(top_k, affinities.shape[2])
    best, which = affinities.topk(count, dim=2, sorted=False)
    weights = torch.zeros_like(affinities).scatter(2, which, best.softmax(2))[0, place].split(blocks.window)
    found = []
    for source, weight in zip(sources, weights, strict=True):
        cells = blocks.windows(blocks.rectangles(source.positions, block))[0, place]
        summed = weight.new_zeros(len(source.keys)).index_add(0, cells, weight)
        candidates = torch.zeros_like(summed, dtype=torch.bool).index_fill(0, cells, True)
        found.append((candidates[:-1].view(blocks.h, blocks.w), summed[:-1].view(blocks.h, blocks.w)))
    return found


def local_affinity(
    query: Float[Tensor, "b c h w"],
    key: Float[Tensor, "b c h w"],
    *,
    radius: int,
    outside: float = 0.0,
    chunk: int = CHUNK,
) -> Float[Tensor, "b k h w"]:
    """A cost volume: dot products of each query cell and the k = (2 radius + 1)² cells of its window, row-major.

    Channel (radius + v)·(2 radius + 1) + radius + u belongs to the cell u to the right and v below (MUNet eq. 1, for
    maps of unit norm).

    radius   in cells
    outside  the value for cells outside of the picture
    chunk    affinities held at a time (at least those of one block)
    """
    blocks = Blocks(query.shape[2], query.shape[3], radius)
    queries = blocks.cut(query)
    (source,) = _sources(blocks, [key], None, None)
    parts = [
        _affinities(queries[part], part, source, blocks, None if outside == 0 else outside)
        for part in torch.arange(len(queries), device=query.device).split(_step(chunk, blocks, 1))
    ]
    return blocks.join(torch.cat(parts), len(query))


def window_on_grid(window: Float[Tensor, " k"], cell: tuple[int, int], size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """One cell's slice of a cost volume, laid out on the grid of this (height, width); NaN outside of the window."""
    side = math.isqrt(len(window))
    radius, (row, column), (h, w) = side // 2, cell, size
    whole = window.new_full((h + 2 * radius, w + 2 * radius), torch.nan)
    whole[row : row + side, column : column + side] = window.view(side, side)
    return whole[radius : radius + h, radius : radius + w]


@dataclass(frozen=True)
class _Source:
    """One reference: rows of keys and values (the last is zero: "outside"), and the row of each cell of the padded
    grid."""

    keys: Float[Tensor, "p c"]
    values: Float[Tensor, "p n"]
    positions: Int[Tensor, "b hp wp"]

    @property
    def outside(self) -> int:
        return len(self.keys) - 1


def _sources(
    blocks: Blocks,
    keys: Sequence[Float[Tensor, "b c h w"]],
    values: Sequence[Float[Tensor, "b n h w"]] | None,
    positions: Sequence[Positions] | None,
) -> list[_Source]:
    """`values`: None where only affinities are wanted."""
    values = [key[:, :0] for key in keys] if values is None else values
    each: Sequence[Positions | None] = [None] * len(keys) if positions is None else positions
    return [
        _Source(cell_rows(key), cell_rows(value), blocks.padded_positions(which, len(key), key.device))
        for key, value, which in zip(keys, values, each, strict=True)
    ]


def _step(chunk: int, blocks: Blocks, references: int) -> int:
    """How many blocks are handled at a time."""
    return max(1, chunk // (blocks.side**2 * references * blocks.span**2))


def _read_all(
    queries: Float[Tensor, "m q c"],
    part: Int[Tensor, " m"],
    sources: Sequence[_Source],
    blocks: Blocks,
    scale: float,
    mask_oob: bool,
) -> Float[Tensor, "m q n"]:
    """Softmax over every candidate: over whole rectangles, masked outside of each query's own window."""
    rectangles = [blocks.rectangles(source.positions, part).flatten(1) for source in sources]
    mask = _mask(blocks, queries.device).to(queries.dtype).repeat(1, len(sources))
    if mask_oob:
        outside = [place == source.outside for place, source in zip(rectangles, sources, strict=True)]
        mask = mask + torch.zeros_like(queries[:, :1, :1]).masked_fill(torch.cat(outside, 1).unsqueeze(1), _never(mask))
    keys = torch.cat([take(source.keys, place) for source, place in zip(sources, rectangles, strict=True)], 1)
    weights = torch.baddbmm(mask, queries * scale, keys.mT).softmax(2)
    values = torch.cat([take(source.values, place) for source, place in zip(sources, rectangles, strict=True)], 1)
    return weights @ values.to(weights.dtype)


def _mask(blocks: Blocks, device: torch.device) -> Float[Tensor, "q k"]:
    """The same for all blocks: 0 inside of the query's window, -inf in the rest of the rectangle."""
    cells = torch.arange(blocks.span**2, device=device).view(blocks.span, blocks.span)
    own = slice(blocks.reach, blocks.reach + blocks.side)
    return window_mask(cells[own, own].flatten(), cells.flatten(), blocks.span, blocks.reach)


def _read_top(
    queries: Float[Tensor, "m q c"],
    part: Int[Tensor, " m"],
    sources: Sequence[_Source],
    blocks: Blocks,
    scale: float,
    mask_oob: bool,
    top_k: int,
) -> Float[Tensor, "m q n"]:
    """Softmax over the `top_k` best candidates of all references together; torch.topk breaks ties."""
    outside = _never(queries) if mask_oob else None
    affinities = [_affinities(queries * scale, part, source, blocks, outside) for source in sources]
    best, which = torch.cat(affinities, 2).topk(top_k, dim=2, sorted=False)
    return _read_chosen(best.softmax(2), which, part, sources, blocks)


def _affinities(
    queries: Float[Tensor, "m q c"], part: Int[Tensor, " m"], source: _Source, blocks: Blocks, outside: float | None
) -> Float[Tensor, "m q k"]:
    """Affinities of each query and the cells of its window in one reference, row-major.

    part     the numbers of these blocks
    outside  the value for cells outside of the picture; None: the 0 that the zero row gives
    """
    rectangle = blocks.rectangles(source.positions, part)
    affinity = queries @ take(source.keys, rectangle.flatten(1)).mT
    affinity = blocks.windows(affinity.unflatten(2, (blocks.span, blocks.span)))
    if outside is None:
        return affinity
    return affinity.masked_fill(blocks.windows(rectangle) == source.outside, outside)


def _never(affinities: Tensor) -> float:
    """The affinity of what must not be chosen: finite, so that a query without candidates reads zeros and not NaN."""
    return torch.finfo(affinities.dtype).min


def _read_chosen(
    weights: Float[Tensor, "m q k"],
    which: Int[Tensor, "m q k"],
    part: Int[Tensor, " m"],
    sources: Sequence[_Source],
    blocks: Blocks,
) -> Float[Tensor, "m q n"]:
    """Sum over chosen candidates, numbered reference by reference and row-major within a window."""
    image, y, x = (each.view(-1, 1, 1) for each in blocks.locate(part))
    cell = torch.arange(blocks.side**2, device=which.device).view(1, -1, 1)
    reference, place = which // blocks.window, which % blocks.window
    row = y * blocks.side + cell // blocks.side + place // blocks.diameter
    column = x * blocks.side + cell % blocks.side + place % blocks.diameter
    positions = torch.stack([source.positions for source in sources])[reference, image, row, column]
    values = torch.stack([source.values for source in sources]).flatten(0, 1)
    chosen = values[reference * len(sources[0].values) + positions]
    return (weights.unsqueeze(2).to(chosen.dtype) @ chosen).squeeze(2)


def _undecided(
    sources: Sequence[_Source], blocks: Blocks, mask_oob: bool
) -> tuple[Int[Tensor, " m"], Float[Tensor, "all q n"]]:
    """The blocks with a query whose candidates differ in value, and the answer for all other queries."""
    high, low = [], []
    for source in sources:
        maps = source.values[source.positions].permute(0, 3, 1, 2)
        outside = (source.positions == source.outside).unsqueeze(1) & mask_oob
        high.append(_pool(maps.masked_fill(outside, -torch.inf), blocks.diameter))
        low.append(-_pool(-maps.masked_fill(outside, torch.inf), blocks.diameter))
    highest, lowest = torch.stack(high).amax(0), torch.stack(low).amin(0)
    size = (slice(None), slice(None), slice(0, blocks.h), slice(0, blocks.w))
    open_cells: Bool[Tensor, "b 1 h w"] = (highest != lowest).any(1, keepdim=True)[size]
    open_blocks = blocks.cut(open_cells.float()).amax((1, 2)) > 0
    return open_blocks.nonzero().squeeze(1), blocks.cut(highest[size])


def _pool(maps: Float[Tensor, "b n hp wp"], size: int) -> Float[Tensor, "b n h w"]:
    """Maximum over a size×size window, one axis at a time."""
    return nnf.max_pool2d(nnf.max_pool2d(maps, (size, 1), 1), (1, size), 1)
