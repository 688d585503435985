"""Local attention: each query cell attends to a square window of cells in every reference.

All references are searched around the query's own position, or around where a flow points from it. Cells outside of
the picture are zeros that compete with the others, unless they are masked. For references that are searched as a whole,
and windows that are disks, see `ops.matching`. Blocks of queries are batched: see `ops.windows`.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.ops.best import searchable
from vosbench.ops.block_readout import Reading, affinities_of, holding, never, read_blocks, step
from vosbench.ops.local_search import choose
from vosbench.ops.sources import Source, read_through, uniform_windows
from vosbench.ops.windows import CHUNK, Blocks, Positions

MIDDLE = 4  # cells around a query; candidates in this part of its window may prove that zeros are not chosen


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
    how = Reading(scale, mask_oob, None if top_k is None else min(top_k, len(keys) * blocks.window), chunk)
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
    how = Reading(scale, mask_oob, top_k, CHUNK)
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
        affinities_of(queries[part], part, source, blocks, None if outside == 0 else outside)
        for part in torch.arange(len(queries), device=query.device).split(step(chunk, blocks, 1))
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
    query: Float[Tensor, "1 c h w"], sources: Sequence[Source], blocks: Blocks, cell: tuple[int, int], how: Reading
) -> list[tuple[Float[Tensor, " k"], Int[Tensor, " k"]]]:
    """For each reference, weights of one query and the rows that have them."""
    wanted = torch.zeros(blocks.h, blocks.w, dtype=torch.bool)
    wanted[cell] = True
    count = how.candidates(sources, blocks)
    chosen = choose(query[0] * how.scale, 0, sources, blocks, how.mask_oob, count, wanted, how.chunk)
    each = [chosen.of(i) for i in range(len(sources))]
    return [(weights[wanted.flatten()][0], rows[wanted.flatten()][0]) for weights, rows in each]


def _chosen_in_block(
    query: Float[Tensor, "1 c h w"], sources: Sequence[Source], blocks: Blocks, cell: tuple[int, int], how: Reading
) -> list[tuple[Float[Tensor, " k"], Int[Tensor, " k"]]]:
    """As `_chosen`, by what else `local_readout` does. 0 for those that are not chosen."""
    (row, down), (column, right) = (divmod(place, blocks.side) for place in cell)
    block = torch.tensor([row * blocks.columns + column], device=query.device)
    place = down * blocks.side + right  # within the block
    queries = blocks.cut(query)[block] * how.scale
    outside = never(queries) if how.mask_oob else None
    affinities = torch.cat([affinities_of(queries, block, source, blocks, outside) for source in sources], 2)
    best, which = affinities.topk(how.candidates(sources, blocks), dim=2, sorted=False)
    weights = torch.zeros_like(affinities).scatter(2, which, best.softmax(2))[0, place].split(blocks.window)
    rows = [blocks.windows(blocks.rectangles(source.positions, block))[0, place] for source in sources]
    return list(zip(weights, rows, strict=True))


def _read(
    query: Float[Tensor, "b c h w"],
    sources: Sequence[Source],
    blocks: Blocks,
    how: Reading,
    wanted: Bool[Tensor, "b h w"] | None,
) -> Float[Tensor, "b n h w"]:
    """Queries that are not wanted may get anything."""
    tensors = [each for source in sources for each in (source.keys, source.values)]
    if how.top_k is None or not searchable(query, *tensors):
        return read_blocks(query, sources, blocks, how, wanted)
    read = []
    for i, image in enumerate(query * how.scale):
        needed = None if wanted is None else wanted[i]
        chosen = choose(image, i, sources, blocks, how.mask_oob, how.top_k, needed, how.chunk)
        read.append(chosen.read([source.values for source in sources], how.chunk).T.unflatten(1, image.shape[1:]))
    return torch.stack(read)


def _zeros_are_never_chosen(
    query: Float[Tensor, "b c h w"],
    sources: Sequence[Source],
    wanted: Bool[Tensor, "b h w"],
    blocks: Blocks,
    how: Reading,
    top_k: int,
) -> Bool[Tensor, "b h w"]:
    """Whether `top_k` candidates near the middle of the window have positive affinities, and so the best ones, too.

    Cells outside of the picture, with affinity 0, are then not among these. True only for wanted queries.
    """
    middle = Blocks(blocks.h, blocks.w, min(blocks.reach, MIDDLE))
    queries, part = middle.cut(query), holding(wanted, middle)
    positive = queries.new_zeros(queries.shape[:2])
    for source in sources:
        near = source.narrowed(blocks.reach - middle.reach)
        positive[part] += (affinities_of(queries[part] * how.scale, part, near, middle, None) > 0).sum(2)
    return (middle.join(positive.unsqueeze(2), len(query))[:, 0] >= top_k) & wanted
