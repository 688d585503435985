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
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.ops.best import searchable
from vosbench.ops.local_search import choose
from vosbench.ops.sources import Source, read_through, uniform_windows
from vosbench.ops.windows import CHUNK, Blocks, Positions, take, window_mask

MIDDLE = 4  # cells around a query; candidates in this part of its window may prove that zeros are not chosen


@dataclass(frozen=True)
class _Reading:
    """Arguments of `local_readout`."""

    scale: float
    mask_oob: bool
    top_k: int | None
    chunk: int

    def candidates(self, sources: Sequence[Source], blocks: Blocks) -> int:
        """How many candidates of a query take part."""
        every = len(sources) * blocks.window
        return every if self.top_k is None else min(self.top_k, every)


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
    sources = read_through(blocks, keys, values, positions)
    how = _Reading(scale, mask_oob, None if top_k is None else min(top_k, len(keys) * blocks.window), chunk)
    if not skip_uniform:
        return _read(query, sources, blocks, how, None)
    same, value, touching = uniform_windows(sources, blocks)
    if not mask_oob:
        known = ~touching | (value == 0).all(1)
        if top_k is not None:
            known |= _zeros_are_never_chosen(query, sources, same & ~known, blocks, how, top_k)
        same &= known
    return torch.where(same.unsqueeze(1), value, _read(query, sources, blocks, how, ~same))


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
    sources = read_through(blocks, keys, None, positions)
    how = _Reading(scale, mask_oob, top_k, CHUNK)
    weighted = (_chosen if searchable(query, *keys) else _chosen_in_block)(query, sources, blocks, cell, how)
    found = []
    for source, (weights, rows) in zip(sources, weighted, strict=True):
        summed = weights.new_zeros(len(source.keys)).index_add(0, rows, weights)
        window = source.positions[0, cell[0] : cell[0] + blocks.diameter, cell[1] : cell[1] + blocks.diameter]
        candidates = torch.zeros_like(summed, dtype=torch.bool).index_fill(0, window.flatten(), True)
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
    (source,) = read_through(blocks, [key], None, None)
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


def _chosen(
    query: Float[Tensor, "1 c h w"], sources: Sequence[Source], blocks: Blocks, cell: tuple[int, int], how: _Reading
) -> list[tuple[Float[Tensor, " k"], Int[Tensor, " k"]]]:
    """For each reference, weights of one query and the rows that have them."""
    wanted = torch.zeros(blocks.h, blocks.w, dtype=torch.bool)
    wanted[cell] = True
    count = how.candidates(sources, blocks)
    chosen = choose(query[0] * how.scale, 0, sources, blocks, how.mask_oob, count, wanted, how.chunk)
    each = [chosen.of(i) for i in range(len(sources))]
    return [(weights[wanted.flatten()][0], rows[wanted.flatten()][0]) for weights, rows in each]


def _chosen_in_block(
    query: Float[Tensor, "1 c h w"], sources: Sequence[Source], blocks: Blocks, cell: tuple[int, int], how: _Reading
) -> list[tuple[Float[Tensor, " k"], Int[Tensor, " k"]]]:
    """As `_chosen`, by what else `local_readout` does. 0 for those that are not chosen."""
    (row, down), (column, right) = (divmod(place, blocks.side) for place in cell)
    block = torch.tensor([row * blocks.columns + column], device=query.device)
    place = down * blocks.side + right  # within the block
    queries = blocks.cut(query)[block] * how.scale
    outside = _never(queries) if how.mask_oob else None
    affinities = torch.cat([_affinities(queries, block, source, blocks, outside) for source in sources], 2)
    best, which = affinities.topk(how.candidates(sources, blocks), dim=2, sorted=False)
    weights = torch.zeros_like(affinities).scatter(2, which, best.softmax(2))[0, place].split(blocks.window)
    rows = [blocks.windows(blocks.rectangles(source.positions, block))[0, place] for source in sources]
    return list(zip(weights, rows, strict=True))


def _read(
    query: Float[Tensor, "b c h w"],
    sources: Sequence[Source],
    blocks: Blocks,
    how: _Reading,
    wanted: Bool[Tensor, "b h w"] | None,
) -> Float[Tensor, "b n h w"]:
    """Queries that are not wanted may get anything."""
    tensors = [each for source in sources for each in (source.keys, source.values)]
    if how.top_k is None or not searchable(query, *tensors):
        return _read_blocks(query, sources, blocks, how, wanted)
    read = []
    for i, image in enumerate(query * how.scale):
        needed = None if wanted is None else wanted[i]
        chosen = choose(image, i, sources, blocks, how.mask_oob, how.top_k, needed, how.chunk)
        read.append(chosen.read([source.values for source in sources], how.chunk).T.unflatten(1, image.shape[1:]))
    return torch.stack(read)


def _read_blocks(
    query: Float[Tensor, "b c h w"],
    sources: Sequence[Source],
    blocks: Blocks,
    how: _Reading,
    wanted: Bool[Tensor, "b h w"] | None,
) -> Float[Tensor, "b n h w"]:
    """In batches of blocks; zeros in blocks without a wanted query."""
    queries = blocks.cut(query)
    every = torch.arange(len(queries), device=query.device)
    if wanted is not None:
        every = _holding(wanted, blocks)
    read = _read_all if how.top_k is None else partial(_read_top, top_k=how.top_k)
    parts = [
        read(queries[part], part, sources, blocks, how.scale, how.mask_oob)
        for part in every.split(_step(how.chunk, blocks, len(sources)))
    ]
    found = torch.cat(parts)
    return blocks.join(found.new_zeros(len(queries), *found.shape[1:]).index_copy(0, every, found), len(query))


def _holding(cells: Bool[Tensor, "b h w"], blocks: Blocks) -> Int[Tensor, " m"]:
    """The blocks that hold any of these cells."""
    return (blocks.cut(cells.unsqueeze(1).float()).amax((1, 2)) > 0).nonzero().squeeze(1)


def _zeros_are_never_chosen(
    query: Float[Tensor, "b c h w"],
    sources: Sequence[Source],
    wanted: Bool[Tensor, "b h w"],
    blocks: Blocks,
    how: _Reading,
    top_k: int,
) -> Bool[Tensor, "b h w"]:
    """Whether `top_k` candidates near the middle of the window have positive affinities, and so the best ones, too.

    Cells outside of the picture, with affinity 0, are then not among these. True only for wanted queries.
    """
    middle = Blocks(blocks.h, blocks.w, min(blocks.reach, MIDDLE))
    queries, part = middle.cut(query), _holding(wanted, middle)
    positive = queries.new_zeros(queries.shape[:2])
    for source in sources:
        near = source.narrowed(blocks.reach - middle.reach)
        positive[part] += (_affinities(queries[part] * how.scale, part, near, middle, None) > 0).sum(2)
    return (middle.join(positive.unsqueeze(2), len(query))[:, 0] >= top_k) & wanted


def _step(chunk: int, blocks: Blocks, references: int) -> int:
    """How many blocks are handled at a time."""
    return max(1, chunk // (blocks.side**2 * references * blocks.span**2))


def _read_all(
    queries: Float[Tensor, "m q c"],
    part: Int[Tensor, " m"],
    sources: Sequence[Source],
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
    sources: Sequence[Source],
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
    queries: Float[Tensor, "m q c"], part: Int[Tensor, " m"], source: Source, blocks: Blocks, outside: float | None
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
    sources: Sequence[Source],
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
