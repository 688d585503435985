"""What MUNet is trained with (§3.4, equations 3 to 5): cross-entropy of the hardest pixels, and the masks' overlap."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.ops.aggregate import EPS


def bootstrapped_cross_entropy(
    scores: Float[Tensor, "b n h w"],
    target: Float[Tensor, "b n h w"],
    counted: Bool[Tensor, "b h w"],
    share: float = 0.4,
) -> Float[Tensor, ""]:
    """The mean error of each frame's hardest pixels (the `share` of those counted), then over frames that have any.

    share 1 is the plain cross-entropy. scores, target: sum to 1 over n, background first.
    """
    error = -(scores.clamp_min(EPS).log() * target).sum(1)
    hardest = [
        each[pixels].topk(math.ceil(share * int(pixels.sum()))).values.mean()
        for each, pixels in zip(error, counted, strict=True)
        if pixels.any()
    ]
    return torch.stack(hardest).mean() if hardest else error.sum() * 0


def overlap_loss(
    scores: Float[Tensor, "b n h w"],
    target: Float[Tensor, "b n h w"],
    counted: Bool[Tensor, "b h w"],
) -> Float[Tensor, ""]:
    """1 - Σ min / Σ max of scores and target, the mean over objects and frames.

    An object that neither the frame nor the scores show overlaps wholly.
    """
    ours, theirs = (maps[:, 1:] * counted.unsqueeze(1) for maps in (scores, target))
    union = torch.maximum(ours, theirs).sum((2, 3))
    overlap = torch.where(union > 0, torch.minimum(ours, theirs).sum((2, 3)) / union.clamp_min(EPS), 1.0)
    return (1 - overlap).mean()
