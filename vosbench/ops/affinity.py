"""Local attention: each query cell looks at a square window of cells in every reference.

Queries are handled in blocks. All windows of a block lie in one rectangle, so a block against its rectangle is one
matrix product; neither an unfold copy of the features nor anything of size (HW)² exists, and memory is bounded by
`chunk`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

BLOCK = 8  # side of a block of queries, in cells: at radius 12 its rectangle holds 1.6 times the cells of one window
CHUNK = 1 << 23  # affinities held at a time (32 MiB in float32), whatever the radius and the number of references

Positions = Int[Tensor, "h w"]


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
    cells around the query's own position in each reference; with `top_k`, only the best `top_k` over the union of all
    references take part.

    positions     per reference, the cell (row-major index, h·w for "outside") that lies at each query position: see
                  `align.gather_positions`; features and values are read through it. Default: the identity. Needs b = 1.
    mask_oob      leave candidates outside of a reference out of the softmax; otherwise they have affinity 0 and value
                  0.
    skip_uniform  do not search where all candidates hold the same value (the result is that value).
    """
    b, _, h, w = query.shape
    if positions is not None and b != 1:
        raise ValueError("positions need a batch of one")
    grid = _Grid(h, w, radius)
    rows_q = _blocks(query, grid)
    sources = [
        _Source(
            keys=_rows(key),
            values=_rows(value),
            positions=grid.padded_positions(None if positions is None else positions[i], b, query.device),
        )
        for i, (key, value) in enumerate(zip(keys, values, strict=True))
    ]
    active, result = _undecided(sources, grid, mask_oob) if skip_uniform else (None, None)
    indices = torch.arange(len(rows_q), device=query.device) if active is None else active
    step = max(1, chunk // (BLOCK * BLOCK * len(keys) * grid.side**2))
    read = _read_all if top_k is None else partial(_read_top, top_k=min(top_k, len(keys) * grid.window))
    parts = [read(rows_q[part], part, sources, grid, scale, mask_oob) for part in indices.split(step)]
    return _unblocks(torch.cat(parts) if result is None else result.index_copy(0, indices, torch.cat(parts)), grid, b)


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
    """What `local_readout` chooses for one query cell (row, column): per reference, its candidates and their weights.

    The readout of that cell is the sum of all values by these weights. They sum to 1 with the weight of candidates
    outside of the references, which have no cell and value 0.
    """
    grid = _Grid(query.shape[2], query.shape[3], radius)
    row, column = cell
    block = torch.tensor([row // BLOCK * grid.columns + column // BLOCK], device=query.device)
    place = row % BLOCK * BLOCK + column % BLOCK  # within the block
    sources = [
        _Source(_rows(key), _rows(key[:, :0]), grid.padded_positions(which, 1, query.device))
        for key, which in zip(keys, [None] * len(keys) if positions is None else positions, strict=True)
    ]
    queries = _blocks(query, grid)[block] * scale
    outside = _never(queries) if mask_oob else None
    affinities = torch.cat([_affinities(queries, block, source, grid, outside) for source in sources], 2)
    count = affinities.shape[2] if top_k is None else min(top_k, affinities.shape[2])
    best, which = affinities.topk(count, dim=2, sorted=False)
    weights = torch.zeros_like(affinities).scatter(2, which, best.softmax(2))[0, place].split(grid.window)
    found = []
    for source, weight in zip(sources, weights, strict=True):
        cells = _windows(grid.rectangles(source.positions, block), grid)[0, place]
        summed = weight.new_zeros(len(source.keys)).index_add(0, cells, weight)
        looked_at = torch.zeros_like(summed, dtype=torch.bool).index_fill(0, cells, True)
        found.append((looked_at[:-1].view(grid.h, grid.w), summed[:-1].view(grid.h, grid.w)))
    return found


def local_affinity(
    query: Float[Tensor, "b c h w"],
    key: Float[Tensor, "b c h w"],
    *,
    radius: int,
    outside: float = 0.0,
    chunk: int = CHUNK,
) -> Float[Tensor, "b k h w"]:
    """Dot products of each query cell and the k = (2 radius + 1)² cells of its window, row-major: a cost volume.

    Channel (radius + v)·(2 radius + 1) + radius + u belongs to the cell u to the right and v below (MUNet eq. 1, for
    maps of unit norm). `outside`: what stands for cells outside of the picture.
    """
    b, _, h, w = query.shape
    grid = _Grid(h, w, radius)
    rows = _blocks(query, grid)
    keys = _rows(key)
    source = _Source(keys, keys[:, :0], grid.padded_positions(None, b, query.device))
    step = max(1, chunk // (BLOCK * BLOCK * grid.side**2))
    parts = [
        _affinities(rows[part], part, source, grid, None if outside == 0 else outside)
        for part in torch.arange(len(rows), device=query.device).split(step)
    ]
    return _unblocks(torch.cat(parts), grid, b)


def in_place(window: Float[Tensor, " k"], cell: tuple[int, int], size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """One cell's slice of a cost volume where it lies on a grid of this (height, width); NaN outside of the window."""
    side = math.isqrt(len(window))
    radius, (row, column), (h, w) = side // 2, cell, size
    whole = window.new_full((h + 2 * radius, w + 2 * radius), torch.nan)
    whole[row : row + side, column : column + side] = window.view(side, side)
    return whole[radius : radius + h, radius : radius + w]


@dataclass(frozen=True)
class _Grid:
    """Geometry of the blocks over an h×w grid: block (y, x) covers cells from (8y, 8x), its rectangle starts `radius`
    before."""

    h: int
    w: int
    radius: int

    @property
    def rows(self) -> int:
        return math.ceil(self.h / BLOCK)

    @property
    def columns(self) -> int:
        return math.ceil(self.w / BLOCK)

    @property
    def side(self) -> int:
        return BLOCK + 2 * self.radius

    def window_mask(self, like: Tensor) -> Float[Tensor, "q k"]:
        """For each query of a block and cell of its rectangle: 0 inside of the query's window, -inf elsewhere."""
        start = torch.arange(BLOCK, device=like.device)
        reach = torch.arange(self.side, device=like.device) - start.unsqueeze(1)
        near = (reach >= 0) & (reach < self.diameter)
        inside = near[:, None, :, None] & near[None, :, None, :]
        return torch.zeros_like(inside, dtype=like.dtype).masked_fill(~inside, -torch.inf).flatten(2).flatten(0, 1)

    @property
    def diameter(self) -> int:
        return 2 * self.radius + 1

    @property
    def window(self) -> int:
        return self.diameter**2

    def padded_positions(self, positions: Positions | None, b: int, device: torch.device) -> Int[Tensor, "b hp wp"]:
        """For each cell of the padded grid its row in `_rows`; cells outside of the picture name the zero row b·h·w."""
        h, w, r = self.h, self.w, self.radius
        if positions is None:
            positions = torch.arange(h * w, device=device).view(h, w)
        outside = b * h * w
        each = positions + torch.arange(b, device=device).view(-1, 1, 1) * (h * w)
        each = torch.where(positions == h * w, outside, each)
        right, bottom = self.columns * BLOCK - w + r, self.rows * BLOCK - h + r
        return nnf.pad(each, (r, right, r, bottom), value=outside)

    def rectangles(self, padded: Int[Tensor, "b hp wp"], blocks: Int[Tensor, " m"]) -> Int[Tensor, "m side side"]:
        """The part of a padded map that block number `blocks[i]` can see."""
        image, y, x = self.locate(blocks)
        return padded.unfold(1, self.side, BLOCK).unfold(2, self.side, BLOCK)[image, y, x]

    def locate(self, blocks: Int[Tensor, " m"]) -> tuple[Tensor, Tensor, Tensor]:
        image, place = blocks // (self.rows * self.columns), blocks % (self.rows * self.columns)
        return image, place // self.columns, place % self.columns


@dataclass(frozen=True)
class _Source:
    """One reference: key and value rows (the last row is zero: "outside"), and where each padded grid cell finds its
    row."""

    keys: Float[Tensor, "p c"]
    values: Float[Tensor, "p n"]
    positions: Int[Tensor, "b hp wp"]

    @property
    def outside(self) -> int:
        return len(self.keys) - 1

    def take(self, rows: Float[Tensor, "p c"], places: Int[Tensor, "m k"]) -> Float[Tensor, "m k c"]:
        return rows.index_select(0, places.flatten()).view(*places.shape, rows.shape[1])


def _rows(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "p c"]:
    return nnf.pad(maps.permute(0, 2, 3, 1).flatten(0, 2), (0, 0, 0, 1))


def _blocks(maps: Float[Tensor, "b c h w"], grid: _Grid) -> Float[Tensor, "m q c"]:
    """(blocks of all images, cells of a block, channels); cells beyond the picture are zero."""
    padded = nnf.pad(maps, (0, grid.columns * BLOCK - grid.w, 0, grid.rows * BLOCK - grid.h))
    tiles = padded.view(*maps.shape[:2], grid.rows, BLOCK, grid.columns, BLOCK)
    return tiles.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)


def _unblocks(tiles: Float[Tensor, "m q n"], grid: _Grid, b: int) -> Float[Tensor, "b n h w"]:
    maps = tiles.view(b, grid.rows, grid.columns, BLOCK, BLOCK, -1).permute(0, 5, 1, 3, 2, 4)
    return maps.flatten(4, 5).flatten(2, 3)[:, :, : grid.h, : grid.w]


def _windows(rectangles: Shaped[Tensor, "m *q side side"], grid: _Grid) -> Shaped[Tensor, "m q k"]:
    """(m, side, side) or (m, q, side, side) → each query's own window, (m, q, window), row-major: a strided view, then
    a copy."""
    m, d, side = len(rectangles), grid.diameter, grid.side
    rectangles = rectangles.contiguous()
    if rectangles.dim() == 3:
        strides = (side * side, side, 1, side, 1)
    else:
        per_query = side * side
        strides = (BLOCK * BLOCK * per_query, BLOCK * per_query + side, per_query + 1, side, 1)
    return rectangles.as_strided((m, BLOCK, BLOCK, d, d), strides).reshape(m, BLOCK * BLOCK, grid.window)


def _read_all(
    queries: Float[Tensor, "m q c"],
    blocks: Int[Tensor, " m"],
    sources: Sequence[_Source],
    grid: _Grid,
    scale: float,
    mask_oob: bool,
) -> Float[Tensor, "m q n"]:
    """Softmax over every candidate: over whole rectangles, with what lies outside of a query's own window masked."""
    rectangles = [grid.rectangles(source.positions, blocks).flatten(1) for source in sources]
    mask = grid.window_mask(queries).repeat(1, len(sources))
    if mask_oob:
        outside = [place == source.outside for place, source in zip(rectangles, sources, strict=True)]
        mask = mask + torch.zeros_like(queries[:, :1, :1]).masked_fill(torch.cat(outside, 1).unsqueeze(1), _never(mask))
    seen = torch.cat([source.take(source.keys, place) for source, place in zip(sources, rectangles, strict=True)], 1)
    weights = torch.baddbmm(mask, queries * scale, seen.mT).softmax(2)
    values = torch.cat(
        [source.take(source.values, place) for source, place in zip(sources, rectangles, strict=True)], 1
    )
    return weights @ values.to(weights.dtype)


def _read_top(
    queries: Float[Tensor, "m q c"],
    blocks: Int[Tensor, " m"],
    sources: Sequence[_Source],
    grid: _Grid,
    scale: float,
    mask_oob: bool,
    top_k: int,
) -> Float[Tensor, "m q n"]:
    """Softmax over the `top_k` best candidates of all references together; ties fall as torch.topk decides."""
    outside = _never(queries) if mask_oob else None
    affinities = [_affinities(queries * scale, blocks, source, grid, outside) for source in sources]
    best, which = torch.cat(affinities, 2).topk(top_k, dim=2, sorted=False)
    return _read_chosen(best.softmax(2), which, blocks, sources, grid)


def _affinities(
    queries: Float[Tensor, "m q c"], blocks: Int[Tensor, " m"], source: _Source, grid: _Grid, outside: float | None
) -> Float[Tensor, "m q k"]:
    """Of each query and the cells of its window in one reference, row-major. `outside`: None leaves 0 there."""
    rectangle = grid.rectangles(source.positions, blocks)
    affinity = queries @ source.take(source.keys, rectangle.flatten(1)).mT
    affinity = _windows(affinity.view(*affinity.shape[:2], grid.side, grid.side), grid)
    if outside is None:
        return affinity
    return affinity.masked_fill(_windows(rectangle, grid) == source.outside, outside)


def _never(affinities: Tensor) -> float:
    """The affinity of what must not be chosen: finite, so that a query with nothing else reads zeros and not NaN."""
    return torch.finfo(affinities.dtype).min


def _read_chosen(
    weights: Float[Tensor, "m q k"],
    which: Int[Tensor, "m q k"],
    blocks: Int[Tensor, " m"],
    sources: Sequence[_Source],
    grid: _Grid,
) -> Float[Tensor, "m q n"]:
    """Sum over chosen candidates, numbered reference by reference and row-major within a window."""
    image, y, x = (part.view(-1, 1, 1) for part in grid.locate(blocks))
    cell = torch.arange(BLOCK * BLOCK, device=which.device).view(1, -1, 1)
    reference, place = which // grid.window, which % grid.window
    row = y * BLOCK + cell // BLOCK + place // grid.diameter
    column = x * BLOCK + cell % BLOCK + place % grid.diameter
    positions = torch.stack([source.positions for source in sources])[reference, image, row, column]
    values = torch.stack([source.values for source in sources]).flatten(0, 1)
    chosen = values[reference * len(sources[0].values) + positions]
    return (weights.unsqueeze(2).to(chosen.dtype) @ chosen).squeeze(2)


def _undecided(
    sources: Sequence[_Source], grid: _Grid, mask_oob: bool
) -> tuple[Int[Tensor, " m"], Float[Tensor, "all q n"]]:
    """Blocks with a query whose candidates differ in value, and the answer for all other queries."""
    high, low = [], []
    for source in sources:
        maps = source.values[source.positions].permute(0, 3, 1, 2)
        outside = (source.positions == source.outside).unsqueeze(1) & mask_oob
        high.append(_pool(maps.masked_fill(outside, -torch.inf), grid.diameter))
        low.append(-_pool(-maps.masked_fill(outside, torch.inf), grid.diameter))
    highest, lowest = torch.stack(high).amax(0), torch.stack(low).amin(0)
    size = (slice(None), slice(None), slice(0, grid.h), slice(0, grid.w))
    open_cells: Bool[Tensor, "b 1 h w"] = (highest != lowest).any(1, keepdim=True)[size]
    open_blocks = _blocks(open_cells.float(), grid).amax((1, 2)) > 0
    return open_blocks.nonzero().squeeze(1), _blocks(highest[size], grid)


def _pool(maps: Float[Tensor, "b n hp wp"], size: int) -> Float[Tensor, "b n h w"]:
    """Maximum over a size×size window, one axis at a time."""
    return nnf.max_pool2d(nnf.max_pool2d(maps, (size, 1), 1), (1, size), 1)
