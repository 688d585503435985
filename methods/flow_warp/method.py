"""The second baseline: optical flow carries the mask from frame to frame."""

from dataclasses import dataclass, replace
from typing import Any

import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

from vosbench.contract import Clip, Context, Padding
from vosbench.method import Method
from vosbench.nn.optical_flow import FlowEstimator
from vosbench.ops.align import gather_positions
from vosbench.util.errors import UserError


@dataclass(frozen=True)
class Motion:
    """The flow estimator's view of a frame."""

    state: Any


@dataclass(frozen=True)
class Masks:
    masks: Float[Tensor, "1 n h w"]


class FlowWarp(Method[Motion, Masks]):
    """Each pixel takes the previous frame's label at the place where the (rounded) flow from query to that frame
    points."""

    name = "flow_warp"
    supervision = "none"
    stride = 1
    padding = Padding("right-bottom", (0.0, 0.0, 0.0))
    memory_masks = "hard"

    def __init__(self, flow: FlowEstimator[Any]) -> None:
        super().__init__()
        self.flow = flow
        self.helpers = (flow,)

    def loss(self, clip: Clip) -> dict[str, Tensor]:
        raise UserError("flow_warp has nothing to train: choose another method")

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Motion:
        return Motion(self.flow.encode((images[0] * 255).round().byte()))

    def memorize(self, features: Motion, masks: Float[Tensor, "1 n h w"]) -> Masks:
        return Masks(masks)

    def extend(self, value: Masks, count: int) -> Masks:
        return replace(value, masks=nnf.pad(value.masks, (0, 0, 0, 0, 0, count)))

    def segment(self, query: Motion, context: Context[Motion, Masks]) -> Float[Tensor, "1 n h w"]:
        previous = context.previous
        gap = context.index - previous.index
        flow = self.flow.estimate(query.state, previous.features.state, gap=gap, stride=1)
        masks = previous.value.masks
        rows = nnf.pad(masks.flatten(2), (0, 1))  # outside the frame nothing is known: no label
        return rows[:, :, gather_positions(flow)]
