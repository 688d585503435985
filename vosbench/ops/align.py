"""Positions of feature cells in the picture, and resizing masks to cells and back (MAMP's size-aware alignment)."""

import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor


def sample_centres(masks: Float[Tensor, "b n h w"], stride: int) -> Float[Tensor, "b n h2 w2"]:
    """Masks at the centres of strided convolution kernels: the top-left pixel of each stride×stride cell.

    A copy, since a view in memory would keep the masks at full size alive.
    """
    return masks[..., ::stride, ::stride].clone()


def upsample_centres(scores: Float[Tensor, "b n h w"], stride: int) -> Float[Tensor, "b n h2 w2"]:
    """The inverse of `sample_centres`: bilinear, with output pixel p at coordinate p / stride, clamped at the border.

    Sampling the result gives the scores back exactly, so a static mask can be propagated forever without eroding.
    """
    h, w = scores.shape[-2:]
    grown = nnf.pad(scores, (0, 1, 0, 1), mode="replicate")
    size = (h * stride + 1, w * stride + 1)
    return nnf.interpolate(grown, size=size, mode="bilinear", align_corners=True)[..., :-1, :-1]


def resize(maps: Float[Tensor, "b n h w"], size: tuple[int, int]) -> Float[Tensor, "b n h2 w2"]:
    """Bilinear with half-pixel centres."""
    return nnf.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def gather_positions(flow: Float[Tensor, "2 h w"]) -> Int[Tensor, "h w"]:
    """The reference cell that each query cell comes from, as a row-major index; h·w where it lies outside.

    flow  (x, y) from query to reference, in cells of the feature grid

    Flow is clamped to the size of the grid and rounded, so reading through these indices equals a bilinear backward
    warp with zero padding (MAMP, section "Motion-aware matching").
    """
    h, w = flow.shape[1:]
    x = flow[0].clamp(-w, w).round().long() + torch.arange(w, device=flow.device)
    y = flow[1].clamp(-h, h).round().long() + torch.arange(h, device=flow.device).unsqueeze(1)
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    return torch.where(inside, y * w + x, h * w)
