"""What segmentation is learned from: some segments of each clip's pseudo-labels, and the loss of their masks."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.ops.draws import Draws
from vosbench.ops.processes import mean_of_all

TINY = 1e-20  # below all that soft aggregation gives, so that every mistake has a gradient


def choose_segments(
    labels: Int[Tensor, "b t h w"], most: int, draws: Draws, least: float = 0.005
) -> Float[Tensor, "b t n h w"]:
    """Masks of background and of some segments of each clip, drawn at random.

    most    segments of a clip; masks of a clip with fewer are empty, so that n = most + 1
    least   share of the first frame that a segment has to fill; smaller ones are background, as are those not drawn
    """
    chosen = torch.full((len(labels), most), -1)
    order = draws.rand(len(labels), 256)
    for clip, first in enumerate(labels[:, 0].flatten(1).cpu()):
        sizes = first.bincount()
        sizes[0] = 0
        large = (sizes >= max(1, least * len(first))).nonzero().squeeze(1)
        drawn = large[order[clip, large].argsort()[:most]]
        chosen[clip, : len(drawn)] = drawn
    segments = labels.unsqueeze(2) == chosen.to(labels.device).view(len(labels), 1, most, 1, 1)
    return torch.cat([~segments.any(2, keepdim=True), segments], 2).float()


def cross_entropy(
    scores: Float[Tensor, "b n h w"], target: Float[Tensor, "b n h w"], counted: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """The mean over all counted pixels (equation 9), 0 without any."""
    error = -(scores.clamp_min(TINY).log() * target).sum(1)
    return mean_of_all((error * counted).sum(), counted.sum())
