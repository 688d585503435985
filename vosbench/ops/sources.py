"""References as rows of keys and values, which the cells of a padded grid point to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.ops.windows import Blocks, Positions, cell_rows


@dataclass(frozen=True)
class Source:
    """One reference: rows of keys and values (the last is zero: "outside"), and the row of each cell of the padded
    grid."""

    keys: Float[Tensor, "p c"]
    values: Float[Tensor, "p n"]
    positions: Int[Tensor, "b hp wp"]

    @property
    def outside(self) -> int:
        return len(self.keys) - 1

    def narrowed(self, cells: int) -> "Source":
        """Its padded grid without this many cells on each side."""
        part = slice(cells, -cells or None)
        return replace(self, positions=self.positions[:, part, part])


def read_through(
    blocks: Blocks,
    keys: Sequence[Float[Tensor, "b c h w"]],
    values: Sequence[Float[Tensor, "b n h w"]] | None,
    positions: Sequence[Positions] | None,
) -> list[Source]:
    """`values`: None where only affinities are wanted."""
    values = [key[:, :0] for key in keys] if values is None else values
    each: Sequence[Positions | None] = [None] * len(keys) if positions is None else positions
    return [
        Source(cell_rows(key), cell_rows(value), blocks.padded_positions(which, len(key), key.device))
        for key, value, which in zip(keys, values, each, strict=True)
    ]


def uniform_windows(
    sources: Sequence[Source], blocks: Blocks
) -> tuple[Bool[Tensor, "b h w"], Float[Tensor, "b n h w"], Bool[Tensor, "b h w"]]:
    """Which queries have the same value in all candidates that lie in a reference, what it is, and whose windows also
    have cells outside of one."""
    outside = [(source.positions == source.outside).unsqueeze(1) for source in sources]
    maps = [source.values[source.positions].permute(0, 3, 1, 2) for source in sources]
    pairs = list(zip(maps, outside, strict=True))
    high = torch.stack([each.masked_fill(out, -torch.inf) for each, out in pairs]).amax(0)
    low = torch.stack([each.masked_fill(out, torch.inf) for each, out in pairs]).amin(0)
    touching = torch.stack(outside).any(0).to(high.dtype)
    pooled = [_pool(each, blocks.diameter)[..., : blocks.h, : blocks.w] for each in (high, -low, touching)]
    return (pooled[0] == -pooled[1]).all(1), pooled[0], pooled[2][:, 0] > 0


def _pool(maps: Float[Tensor, "b n hp wp"], size: int) -> Float[Tensor, "b n h w"]:
    """Maximum over a size×size window, one axis at a time."""
    return _running_maximum(_running_maximum(maps, size, 2), size, 3)


def _running_maximum(maps: Float[Tensor, "b n hp wp"], size: int, dim: int) -> Float[Tensor, "b n h w"]:
    """By maxima over 2, 4, 8... cells, the last of which overlap."""
    width = 1
    while width < size:
        step = min(width, size - width)
        n = maps.shape[dim] - step
        maps = torch.maximum(maps.narrow(dim, 0, n), maps.narrow(dim, step, n))
        width += step
    return maps
