"""The losses of MUNet (§3.4, equations 3 to 5): cross-entropy of the hardest pixels, and the masks' overlap."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.ops.aggregate import EPS


def bootstrapped_cross_entropy(
    logits: Float[Tensor, "b n h w"],
    target: Float[Tensor, "b n h w"],
    counted: Bool[Tensor, "b h w"],
    share: float = 0.4,
) -> Float[Tensor, ""]:
    """The mean error of each frame's hardest pixels (the `share` of those counted), then over frames that have any.

    share 1 is the plain cross-entropy. Background first; target sums to 1 over n. It takes logits, so that pixels that
    are wrong with certainty have a gradient, too.
    """
    error = -(logits.log_softmax(1) * target).sum(1)
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
    """1 - Σ min / Σ max of scores and target: the mean over the objects that each frame shows.

    An object that a frame does not show counts in the cross-entropy only: whatever its scores, it overlaps nothing.
    """
    ours, theirs = (maps[:, 1:] * counted.unsqueeze(1) for maps in (scores, target))
    shown = theirs.sum((2, 3)) > 0
    if not shown.any():
        return scores.sum() * 0
    overlap = torch.minimum(ours, theirs).sum((2, 3)) / torch.maximum(ours, theirs).sum((2, 3)).clamp_min(EPS)
    return (1 - overlap)[shown].mean()
