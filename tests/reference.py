"""The plain vectorised local attention that `ops.affinity` is tested and measured against: it unfolds every window."""

from collections.abc import Sequence

import torch
import torch.nn.functional as nnf
from torch import Tensor


def unfold_readout(
    query: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    *,
    radius: int,
    scale: float,
    top_k: int | None = None,
    positions: Sequence[Tensor] | None = None,
    mask_oob: bool = False,
) -> Tensor:
    """What `vosbench.ops.affinity.local_readout` computes, one reference after the other; arguments as there."""
    if positions is not None:
        keys, values = _warp(keys, positions), _warp(values, positions)
    affinities = [scale * unfold_affinity(query, key, radius) for key in keys]
    if mask_oob:
        inside = [torch.ones_like(key[:, :1]) for key in keys]
        inside = inside if positions is None else _warp(inside, positions)
        pairs = zip(affinities, inside, strict=True)
        affinities = [a.masked_fill(_unfold(cells, radius)[:, 0] == 0, -torch.inf) for a, cells in pairs]
    weights = torch.cat(affinities, 1)  # b (references · window) (h · w)
    if top_k is not None:
        best = weights.topk(min(top_k, weights.shape[1]), 1)
        weights = torch.full_like(weights, -torch.inf).scatter(1, best.indices, best.values)
    weights = weights.softmax(1)
    windows = torch.cat([_unfold(value, radius) for value in values], 2)
    return (windows * weights.unsqueeze(1)).sum(2).view(*windows.shape[:2], *query.shape[2:])


def unfold_affinity(query: Tensor, key: Tensor, radius: int) -> Tensor:
    """Dot products (b, window, h·w) of each query with its window, row-major; 0 outside of the picture."""
    return torch.mul(_unfold(key, radius), query.flatten(2).unsqueeze(2)).sum(1)


def _unfold(maps: Tensor, radius: int) -> Tensor:
    """Every cell's window: (b, channels, window, h·w)."""
    return nnf.unfold(maps, 2 * radius + 1, padding=radius).view(*maps.shape[:2], (2 * radius + 1) ** 2, -1)


def _warp(maps: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
    """Maps read through their positions; what lies outside (index h·w) is zero."""
    rows = [nnf.pad(each.flatten(2), (0, 1)) for each in maps]
    return [row[:, :, place] for row, place in zip(rows, positions, strict=True)]
