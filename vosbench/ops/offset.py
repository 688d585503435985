"""MAST's matching (Lai et al. 2020), which MAMP is compared with: local windows around a coarse, fractional offset.

Every query has an offset of its own, so neighbours share no rectangle as in `ops.windows`: each gathers its window.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.ops.affinity import local_readout
from vosbench.ops.windows import CHUNK, cell_rows, take

NEAR = 15  # frames; references further away are searched coarsely first

Offsets = Float[Tensor, "2 h w"]


def coarse_offsets(
    query: Float[Tensor, "1 c h w"], key: Float[Tensor, "1 c h w"], gap: int, radius: int, scale: float
) -> Offsets:
    """Expected displacement (x, y), in cells, under a softmax over a dilated window; zero for near references.

    gap     frames between query and reference
    radius  in cells of the dilated window

    The dilation is min(4, gap // 15 + 1). A dilated window only holds cells of the query's own phase, so each phase is
    an ordinary local search on a subsampled grid. Cells outside of the picture take part with affinity 0.
    """
    h, w = query.shape[-2:]
    offsets = query.new_zeros(2, h, w)
    if gap <= NEAR:
        return offsets
    dilation = min(4, gap // NEAR + 1)
    for y in range(dilation):
        for x in range(dilation):
            fine = (slice(None), slice(None), slice(y, None, dilation), slice(x, None, dilation))
            offsets[:, y::dilation, x::dilation] = dilation * _expected_offset(query[fine], key[fine], radius, scale)
    return offsets


def _expected_offset(
    query: Float[Tensor, "1 c h w"], key: Float[Tensor, "1 c h w"], radius: int, scale: float
) -> Offsets:
    """Soft-argmax over the window; both maps are padded so that coordinates continue outside of the picture."""
    query, key = (nnf.pad(maps, (radius,) * 4) for maps in (query, key))
    h, w = query.shape[-2:]
    y, x = torch.meshgrid(torch.arange(h, device=key.device), torch.arange(w, device=key.device), indexing="ij")
    coordinates = torch.stack((x, y)).unsqueeze(0).to(key.dtype)
    found = local_readout(query, [key], [coordinates], radius=radius, scale=scale) - coordinates
    return found[0, :, radius : h - radius, radius : w - radius]


def offset_readout(
    query: Float[Tensor, "1 c h w"],
    keys: Sequence[Float[Tensor, "1 c h w"]],
    values: Sequence[Float[Tensor, "1 n h w"]],
    offsets: Sequence[Offsets],
    radius: int,
    scale: float,
) -> Float[Tensor, "1 n h w"]:
    """Softmax-weighted sum over the windows of all references, each query's window shifted rigidly by its own offset.

    A fractional offset reads features and values bilinearly; they are zero outside of the picture. Dot products are
    linear, so affinities are interpolated instead of features.
    """
    h, w = query.shape[-2:]
    queries = query[0].flatten(1).T * scale
    rows = [(cell_rows(key), cell_rows(value)) for key, value in zip(keys, values, strict=True)]
    step = max(1, CHUNK // ((2 * radius + 2) ** 2 * (query.shape[1] + len(keys) * values[0].shape[1])))
    parts = []
    for cells in torch.arange(h * w, device=query.device).split(step):
        read = [
            _window(queries[cells], cells, each, offset, radius) for each, offset in zip(rows, offsets, strict=True)
        ]
        weights = torch.cat([affinity for affinity, _ in read], 1).softmax(1)
        parts.append((weights.unsqueeze(1) @ torch.cat([value for _, value in read], 1)).squeeze(1))
    return torch.cat(parts).T.reshape(1, -1, h, w)


def _window(
    queries: Float[Tensor, "q c"],
    cells: Int[Tensor, " q"],
    rows: tuple[Float[Tensor, "p c"], Float[Tensor, "p n"]],
    offset: Offsets,
    radius: int,
) -> tuple[Float[Tensor, "q k"], Float[Tensor, "q k n"]]:
    """Affinities and values of one reference's windows. `rows`: of its keys and its values."""
    h, w = offset.shape[1:]
    base = offset.floor()
    fraction = (offset - base).flatten(1)[:, cells]
    reach = torch.arange(-radius, radius + 2, device=offset.device)
    x = (cells % w + base[0].flatten()[cells].long()).unsqueeze(1) + reach
    y = (cells // w + base[1].flatten()[cells].long()).unsqueeze(1) + reach
    inside = ((y >= 0) & (y < h)).unsqueeze(2) & ((x >= 0) & (x < w)).unsqueeze(1)
    place = torch.where(inside, y.unsqueeze(2) * w + x.unsqueeze(1), h * w)
    keys, values = (take(each, place.flatten(1)).unflatten(1, place.shape[1:]) for each in rows)
    affinity = (keys.flatten(1, 2) @ queries.unsqueeze(2)).view(*place.shape, 1)
    return _bilinear(affinity, fraction).squeeze(2), _bilinear(values, fraction)


def _bilinear(window: Float[Tensor, "q s s n"], fraction: Float[Tensor, "2 q"]) -> Float[Tensor, "q k n"]:
    """Each window shifted by a fraction of a cell: the result has one row and one column fewer."""
    x, y = fraction.view(2, -1, 1, 1, 1).unbind()
    across = window[:, :, :-1] * (1 - x) + window[:, :, 1:] * x
    return (across[:, :-1] * (1 - y) + across[:, 1:] * y).flatten(1, 2)
