"""How the cells of a video move: parts of an object look different, but often move alike."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as nnf
from jaxtyping import Float, UInt8
from torch import Tensor

from vosbench.nn.optical_flow import Dis

FAST = 0.95  # quantile of a video's motion that counts as fast


def cell_motion(flow: Dis, states: Sequence[UInt8[Tensor, "h w"]], stride: int) -> Float[Tensor, "t 2 h2 w2"]:
    """The motion of each cell from its frame to the next (in the last frame, from the one before), as x and y.

    The frame's median, which is mostly the camera's motion, is subtracted. What is left is relative to the fast motion
    of the video, but to one pixel at least, and cut at length 1. A video of one frame does not move.

    states  encoded frames, in order
    """
    found = [flow.estimate(query, reference, gap=1, stride=1) for query, reference in pairwise(states)]
    found.append(-flow.estimate(states[-1], states[-2], gap=1, stride=1) if found else _still(states[0]))
    cells = torch.stack([_on_cells(each, stride) for each in found])
    moved = cells - cells.flatten(2).median(2).values[..., None, None]
    lengths = moved.norm(dim=1)
    fast = lengths.flatten().kthvalue(math.ceil(FAST * lengths.numel())).values.clamp_min(1)
    return moved / torch.maximum(lengths, fast).unsqueeze(1)


def _still(state: UInt8[Tensor, "h w"]) -> Float[Tensor, "2 h w"]:
    return torch.zeros(2, *state.shape, device=state.device)


def _on_cells(flow: Float[Tensor, "2 h w"], stride: int) -> Float[Tensor, "2 h2 w2"]:
    """The means over the pixels of each cell."""
    bottom, right = (-side % stride for side in flow.shape[1:])
    padded: Tensor = nnf.pad(flow.unsqueeze(0), (0, right, 0, bottom), mode="replicate")
    return nnf.avg_pool2d(padded, stride)[0]
