"""Local attention in batches of blocks, on any device and with gradients: see `ops.affinity` and `ops.windows`."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.ops.sources import Source
from vosbench.ops.windows import Blocks, take, window_mask


@dataclass(frozen=True)
class Reading:
    """Arguments of `local_readout`."""

    scale: float
    mask_oob: bool
    top_k: int | None
    chunk: int

    def candidates(self, sources: Sequence[Source], blocks: Blocks) -> int:
        """How many candidates of a query take part."""
        every = len(sources) * blocks.window
        return every if self.top_k is None else min(self.top_k, every)


def read_blocks(
    query: Float[Tensor, "b c h w"],
    sources: Sequence[Source],
    blocks: Blocks,
    how: Reading,
    wanted: Bool[Tensor, "b h w"] | None,
) -> Float[Tensor, "b n h w"]:
    """What `local_readout` reads; zeros in blocks without a wanted query."""
    queries = blocks.cut(query)
    every = torch.arange(len(queries), device=query.device)
    if wanted is not None:
        every = holding(wanted, blocks)
    read = _read_all if how.top_k is None else _read_top
    parts = every.split(step(how.chunk, blocks, len(sources)))
    found = torch.cat([read(queries[part] * how.scale, part, sources, blocks, how) for part in parts])
    return blocks.join(found.new_zeros(len(queries), *found.shape[1:]).index_copy(0, every, found), len(query))


def holding(cells: Bool[Tensor, "b h w"], blocks: Blocks) -> Int[Tensor, " m"]:
    """The blocks that hold any of these cells."""
    return (blocks.cut(cells.unsqueeze(1).float()).amax((1, 2)) > 0).nonzero().squeeze(1)


def step(chunk: int, blocks: Blocks, references: int) -> int:
    """How many blocks are handled at a time."""
    return max(1, chunk // (blocks.side**2 * references * blocks.span**2))


def _read_all(
    queries: Float[Tensor, "m q c"], part: Int[Tensor, " m"], sources: Sequence[Source], blocks: Blocks, how: Reading
) -> Float[Tensor, "m q n"]:
    """Softmax over every candidate: over whole rectangles, masked outside of each query's own window."""
    rectangles = [blocks.rectangles(source.positions, part).flatten(1) for source in sources]
    mask = _mask(blocks, queries.device).to(queries.dtype).repeat(1, len(sources))
    if how.mask_oob:
        outside = [place == source.outside for place, source in zip(rectangles, sources, strict=True)]
        mask = mask + torch.zeros_like(queries[:, :1, :1]).masked_fill(torch.cat(outside, 1).unsqueeze(1), never(mask))
    keys = torch.cat([take(source.keys, place) for source, place in zip(sources, rectangles, strict=True)], 1)
    weights = torch.baddbmm(mask, queries, keys.mT).softmax(2)
    values = torch.cat([take(source.values, place) for source, place in zip(sources, rectangles, strict=True)], 1)
    return weights @ values.to(weights.dtype)


def _mask(blocks: Blocks, device: torch.device) -> Float[Tensor, "q k"]:
    """The same for all blocks: 0 inside of the query's window, -inf in the rest of the rectangle."""
    cells = torch.arange(blocks.span**2, device=device).view(blocks.span, blocks.span)
    own = slice(blocks.reach, blocks.reach + blocks.side)
    return window_mask(cells[own, own].flatten(), cells.flatten(), blocks.span, blocks.reach)


def _read_top(
    queries: Float[Tensor, "m q c"], part: Int[Tensor, " m"], sources: Sequence[Source], blocks: Blocks, how: Reading
) -> Float[Tensor, "m q n"]:
    """Softmax over the `top_k` best candidates of all references together; torch.topk breaks ties."""
    outside = never(queries) if how.mask_oob else None
    affinities = [affinities_of(queries, part, source, blocks, outside) for source in sources]
    best, which = torch.cat(affinities, 2).topk(how.candidates(sources, blocks), dim=2, sorted=False)
    return _read_chosen(best.softmax(2), which, part, sources, blocks)


def affinities_of(
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


def never(affinities: Tensor) -> float:
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
