"""References as rows of keys and values, which the cells of a padded grid point to."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
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
    high, low, out = [], [], []
    for source in sources:
        maps = source.values[source.positions].permute(0, 3, 1, 2)
        outside = (source.positions == source.outside).unsqueeze(1)
        high.append(_pool(maps.masked_fill(outside, -torch.inf), blocks.diameter))
        low.append(-_pool(-maps.masked_fill(outside, torch.inf), blocks.diameter))
        out.append(_pool(outside.float(), blocks.diameter))
    size = (slice(None), slice(None), slice(0, blocks.h), slice(0, blocks.w))
    highest, lowest, touching = torch.stack(high).amax(0)[size], torch.stack(low).amin(0), torch.stack(out).amax(0)
    return (highest == lowest[size]).all(1), highest, touching[size][:, 0] > 0


def _pool(maps: Float[Tensor, "b n hp wp"], size: int) -> Float[Tensor, "b n h w"]:
    """Maximum over a size×size window, one axis at a time."""
    return nnf.max_pool2d(nnf.max_pool2d(maps, (size, 1), 1), (1, size), 1)
