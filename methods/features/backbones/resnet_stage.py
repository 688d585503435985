"""One stage of a ResNet, maybe at a finer stride, as CRW and VFS use them."""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from vosbench.contract import Padding
from vosbench.methods.features.backbone import Colour
from vosbench.nn.resnet import MEAN, STD, Depth, ResNet
from vosbench.settings.options import Content
from vosbench.util.errors import UserError
from vosbench.util.supervision import Supervision

WHOLE = (4, 8, 16, 32)  # strides of the stages of the standard network


class ResNetStage(nn.Module):
    """A ResNet with torchvision's names, and the map of one of its stages.

    depth    18 | 34 | 50 | 101
    stage    1 to 4
    stride   of the map: 4, 8, 16 or 32. Stages that would go beyond it keep the size, without dilation
    weights  imagenet (learned with labels) | a file with torchvision's names | null: random
    learned_from, supervision  of the weights; (), null: as a file says. One that does not say counts as supervised

    Raises UserError as `nn.resnet.ResNet` does.
    """

    mean: Colour | None = MEAN
    std: Colour | None = STD
    padding: Padding | None = None

    def __init__(
        self,
        depth: Depth = 18,
        stage: Literal[1, 2, 3, 4] = 3,
        stride: Literal[4, 8, 16, 32] = 8,
        weights: Content[str | None] = None,
        learned_from: Sequence[str] = (),
        supervision: Supervision | None = None,
    ) -> None:
        super().__init__()
        if stride > WHOLE[stage - 1]:
            raise UserError(f"backbone.stride={stride}: stage {stage} has stride {WHOLE[stage - 1]}; give that or less")
        strides = [2 if 4 < whole <= stride else 1 for whole in WHOLE]
        self.net = ResNet(depth, strides=strides[: max(stage, 3)], weights=weights)  # CRW's files have three stages
        for later in range(stage + 1, 4):
            delattr(self.net, f"layer{later}")
        self.stride = int(stride)
        self.learned_from = tuple(learned_from) or self.net.learned_from
        self.supervision: Supervision = supervision or self.net.supervision

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        maps: list[Tensor] = self.net(images)
        return maps[-1]
