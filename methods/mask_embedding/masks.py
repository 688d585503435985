"""Conversions of masks between pixels and cells, and for memory."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

from vosbench.methods.mask_embedding.networks import STRIDE
from vosbench.ops.aggregate import EPS
from vosbench.ops.align import sample_centres, upsample_centres

Masks = Float[Tensor, "b n h w"]
SmallMasks = Float[Tensor, "b n h8 w8"]

ABSENT = math.log(EPS / (1 - EPS)) / 2  # `log_odds` of 0


def to_cells(masks: Masks, size: tuple[int, int], corner_aligned: bool) -> SmallMasks:
    """Masks at stride 8. `size`: the result's; see `variants.Variant` for `corner_aligned`."""
    if corner_aligned:
        return nnf.interpolate(masks, size, mode="bilinear", align_corners=True)
    return sample_centres(masks, STRIDE)


def to_pixels(masks: SmallMasks, size: tuple[int, int], corner_aligned: bool) -> Masks:
    """The inverse. `size`: the result's, which in training may not be a multiple of the stride."""
    if corner_aligned:
        return nnf.interpolate(masks, size, mode="bilinear", align_corners=True)
    return upsample_centres(masks, STRIDE)[..., : size[0], : size[1]]


def log_odds(scores: Masks) -> Masks:
    """Half of log(s / (1 - s)): scores are a softmax over aggregated log-odds, so those of a lone object count
    twice."""
    return scores.logit(EPS) / 2


def without(coarse: SmallMasks, objects: Sequence[int]) -> SmallMasks:
    """Coarse masks in which these objects, by channel, have become background."""
    gone = torch.tensor(list(objects), dtype=torch.long, device=coarse.device)
    background = coarse[:, :1] + coarse.index_select(1, gone).sum(1, keepdim=True)
    return torch.cat([background, coarse[:, 1:].index_fill(1, gone - 1, 0)], 1)


def with_given(coarse: Float[Tensor, "b m h8 w8"], masks: SmallMasks) -> SmallMasks:
    """Coarse masks, overwritten where an object is given: it is part of the result, but not of the warped masks, which
    may have no channel for it yet. An object that is given again was taken `without`."""
    coarse = nnf.pad(coarse, (0, 0, 0, 0, 0, masks.shape[1] - coarse.shape[1]))
    starting = ~coarse.flatten(2).any(2)
    given = (masks * starting[..., None, None]).amax(1, keepdim=True) > 0.5
    return torch.where(given, masks, coarse)
