"""Photometric reconstruction as a loss: one Lab channel is dropped, and rebuilt from other frames (MAMP eq. 3 and 4;
Lai et al. 2020, MAST)."""

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.ops.processes import mean_of_all

KEPT = 1.5  # factor of the channels that are kept, as dropout scales them
SCALE = 20  # of the error, in released code: Huber's loss turns linear from a difference of 1/20 on


def drop_channel(lab: Float[Tensor, "*b 3 h w"]) -> tuple[Float[Tensor, "*b 3 h w"], Float[Tensor, "*b 1 h w"]]:
    """What the encoder sees of normalised Lab, with a or b set to 0, and the channel that was dropped.

    The same channel is dropped in all frames and clips; torch's CPU generator chooses it.
    """
    dropped = int(torch.randint(1, 3, ()))
    target = lab[..., dropped : dropped + 1, :, :].clone()
    seen = lab * KEPT
    seen[..., dropped, :, :] = 0
    return seen, target


def reconstruction_error(
    rebuilt: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], counted: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Huber loss of a rebuilt channel, the mean over all counted pixels; 0 without any."""
    error = nnf.smooth_l1_loss(SCALE * rebuilt, SCALE * target, reduction="none")[:, 0]
    return mean_of_all((error * counted).sum(), counted.sum())
