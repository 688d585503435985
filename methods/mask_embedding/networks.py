"""The encoders of the mask-embedding method: E for frames, V for frames with a mask (section 3.3)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor, nn

from vosbench.nn.cbam import CBAM
from vosbench.nn.decoder import ResBlock
from vosbench.nn.objects import with_masks
from vosbench.nn.resnet import ResNet

STRIDE = 8
Depth = Literal[18, 50]


class Encoded(NamedTuple):
    """E's output: unit-norm keys at stride 8, skips at strides 8 and 4 for D, and the map that keys are made from."""

    key: Float[Tensor, "b c h w"]
    eighth: Float[Tensor, "b c8 h w"]
    quarter: Float[Tensor, "b c4 h2 w2"]
    last: Float[Tensor, "b d h w"]


class KeyEncoder(nn.Module):
    """E: a residual network that stops at stride 8, and a head of two 1×1 convolutions.

    width    channels of the first stage; 64 is the paper's network
    weights  imagenet, or a file of a torchvision network's weights
    """

    def __init__(self, depth: Depth = 18, width: int = 64, channels: int = 128, weights: str | None = None) -> None:
        super().__init__()
        self.trunk = _trunk(depth, width, 3, weights)
        self.squeeze = _squeeze(depth, width)
        self.head = _head(8 * width, channels)

    @property
    def skips(self) -> tuple[int, int]:
        """Channels at strides 8 and 4."""
        return self.trunk.stage_channels[1], self.trunk.stage_channels[0]

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Encoded:
        """`images` are normalised by `normalise`."""
        quarter, eighth, *_, deepest = self.trunk(images)
        last = self.squeeze(deepest)
        return Encoded(nnf.normalize(self.head(last).float(), dim=1), eighth, quarter, last)


class FrameMaskEncoder(nn.Module):
    """V: built like E, with its own weights and the mask as a fourth input channel. `widths`: of E and V."""

    def __init__(self, depth: Depth = 18, widths: Sequence[int] = (64, 64), channels: int = 512) -> None:
        super().__init__()
        self.trunk = _trunk(depth, widths[1], 4, None)
        self.squeeze = _squeeze(depth, widths[1])
        self.head = _head(8 * widths[1], channels)

    def forward(
        self, images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b n h w"], last: Float[Tensor, "b d h8 w8"]
    ) -> Float[Tensor, "b n c h8 w8"]:
        """The values of each image's n objects, all in one batch; `last`, E's last map, is unused."""
        values: Tensor = self.head(self.squeeze(self.trunk(with_masks(images, masks))[-1]))
        return values.reshape(*masks.shape[:2], *values.shape[1:])


class FusedFrameMaskEncoder(nn.Module):
    """V as released: it stops after the third stage and fuses its map with E's last one, as STCN (Cheng et al. 2021).

    16.98 M parameters with ResNet-18, 25.62 M with ResNet-50.
    """

    def __init__(self, depth: Depth = 18, widths: Sequence[int] = (64, 64), channels: int = 512) -> None:
        super().__init__()
        self.trunk = ResNet(depth, widths[1], (1, 2, 1), in_channels=4, stem_bias=True)
        self.squeeze = _squeeze(depth, widths[1])
        own = (4 if depth == 18 else 8) * widths[1]
        self.block1 = ResBlock(own + 8 * widths[0], channels)
        self.attention = CBAM(channels)
        self.block2 = ResBlock(channels, channels)

    def forward(
        self, images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b n h w"], last: Float[Tensor, "b d h8 w8"]
    ) -> Float[Tensor, "b n c h8 w8"]:
        """The values of each image's n objects, all in one batch."""
        own = self.squeeze(self.trunk(with_masks(images, masks))[-1])
        fused = self.block1(torch.cat([own, last.repeat_interleave(masks.shape[1], 0)], 1))
        values: Tensor = self.block2(fused + self.attention(fused))
        return values.reshape(*masks.shape[:2], *values.shape[1:])


def _trunk(depth: Depth, width: int, inputs: int, weights: str | None) -> ResNet:
    """A trunk with stride 8: ResNet-18 without strides in its last two stages, or ResNet-50 up to its third stage,
    without that stage's stride."""
    strides = (1, 2, 1, 1) if depth == 18 else (1, 2, 1)
    return ResNet(depth, width, strides, in_channels=inputs, weights=weights)


def _squeeze(depth: Depth, width: int) -> nn.Module:
    if depth == 18:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(16 * width, 8 * width, 1), nn.BatchNorm2d(8 * width), nn.ReLU(inplace=True))


def _head(inputs: int, outputs: int) -> nn.Sequential:
    norm = nn.BatchNorm2d(inputs)
    return nn.Sequential(nn.Conv2d(inputs, inputs, 1), norm, nn.ReLU(inplace=True), nn.Conv2d(inputs, outputs, 1))
