"""The two encoders of the mask-embedding method: E for frames, V for frames with a mask (section 3.3)."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor, nn

from vosbench.nn.resnet import ResNet

STRIDE = 8
Depth = Literal[18, 50]


class Encoded(NamedTuple):
    """What E makes of frames: unit-norm keys at stride 8, and what D takes beside them at strides 8 and 4."""

    key: Float[Tensor, "b c h w"]
    eighth: Float[Tensor, "b c8 h w"]
    quarter: Float[Tensor, "b c4 h2 w2"]


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
        """Images as `normalise` gives them."""
        quarter, eighth, *_, last = self.trunk(images)
        key = nnf.normalize(self.head(self.squeeze(last)).float(), dim=1)
        return Encoded(key, eighth, quarter)


class FrameMaskEncoder(nn.Module):
    """V: built like E, with weights of its own and the mask as a fourth input channel."""

    def __init__(self, depth: Depth = 18, width: int = 64, channels: int = 512) -> None:
        super().__init__()
        self.trunk = _trunk(depth, width, 4, None)
        self.squeeze = _squeeze(depth, width)
        self.head = _head(8 * width, channels)

    def forward(
        self, images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b n h w"]
    ) -> Float[Tensor, "b n c h8 w8"]:
        """The values of each picture's n objects, all of them in one batch."""
        pairs = torch.cat([images.unsqueeze(1).expand(-1, masks.shape[1], -1, -1, -1), masks.unsqueeze(2)], 2)
        values: Tensor = self.head(self.squeeze(self.trunk(pairs.flatten(0, 1))[-1]))
        return values.unflatten(0, masks.shape[:2])


def _trunk(depth: Depth, width: int, inputs: int, weights: str | None) -> ResNet:
    """To stride 8: ResNet-18 without strides in its last two stages, ResNet-50 up to its third, without its stride."""
    strides = (1, 2, 1, 1) if depth == 18 else (1, 2, 1)
    return ResNet(depth, width, strides, in_channels=inputs, weights=weights)


def _squeeze(depth: Depth, width: int) -> nn.Module:
    if depth == 18:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(16 * width, 8 * width, 1), nn.BatchNorm2d(8 * width), nn.ReLU(inplace=True))


def _head(inputs: int, outputs: int) -> nn.Sequential:
    norm = nn.BatchNorm2d(inputs)
    return nn.Sequential(nn.Conv2d(inputs, inputs, 1), norm, nn.ReLU(inplace=True), nn.Conv2d(inputs, outputs, 1))
