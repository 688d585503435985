"""MUNet's encoders, its keys and values, and its decoder (§3.1; what the paper leaves open is as in STM)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor, nn

from vosbench.nn.decoder import Refine, ResBlock
from vosbench.nn.objects import in_groups, with_masks
from vosbench.nn.resnet import ResNet
from vosbench.nn.timm_pyramid import TimmPyramid
from vosbench.ops.align import resize

STRIDE = 16
STRIDES = (1, 2, 2)  # of the three stages that are used


class Pyramid(NamedTuple):
    """Enc-Q's output: the semantic map at stride 16, and skips at strides 8 and 4."""

    semantic: Float[Tensor, "b c16 h w"]
    eighth: Float[Tensor, "b c8 h2 w2"]
    quarter: Float[Tensor, "b c4 h4 w4"]


class QueryEncoder(nn.Module):
    """Enc-Q: a network with maps at strides 4, 8 and 16."""

    def __init__(self, trunk: ResNet | TimmPyramid) -> None:
        super().__init__()
        self.trunk = trunk
        self.channels = trunk.stage_channels[::-1]  # at strides 16, 8, 4

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Pyramid:
        quarter, eighth, semantic = self.trunk(images)
        return Pyramid(semantic, eighth, quarter)


class ReferenceEncoder(nn.Module):
    """Enc-R: starts as a copy of Enc-Q and learns separately; each object's mask is a fourth input channel."""

    def __init__(self, trunk: ResNet | TimmPyramid) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b n h w"]) -> Float[Tensor, "bn c h2 w2"]:
        """Maps at stride 16 of each image's n objects, in training all in one batch."""
        return torch.cat([self._maps(images, part) for part in in_groups(masks, self.training)], 1).flatten(0, 1)

    def _maps(self, images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n c h2 w2"]:
        maps: Tensor = self.trunk(with_masks(images, masks))[-1]
        return maps.reshape(*masks.shape[:2], *maps.shape[1:])


class KeyValue(nn.Module):
    """Two parallel 3×3 convolutions: keys, which are compared, and values, which are read."""

    def __init__(self, inputs: int, key: int = 128, value: int = 512) -> None:
        super().__init__()
        self.key = nn.Conv2d(inputs, key, 3, padding=1)
        self.value = nn.Conv2d(inputs, value, 3, padding=1)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b v h w"]]:
        return self.key(maps), self.value(maps)


class MaskDecoder(nn.Module):
    """Decodes the memory readout and the query's value to the log-odds of each object, in pixels.

    inputs   channels of both together
    skips    channels of Enc-Q's maps at strides 8 and 4
    width    channels of the hidden layers
    """

    def __init__(self, inputs: int, skips: Sequence[int], width: int = 256) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, width, 3, padding=1)
        self.block = ResBlock(width, width)
        self.refine8 = Refine(skips[0], width, width, skip_block=True)
        self.refine4 = Refine(skips[1], width, width, skip_block=True)
        self.predict = nn.Conv2d(width, 2, 3, padding=1)

    def forward(
        self,
        maps: Float[Tensor, "b c h w"],
        eighth: Float[Tensor, "frames s h2 w2"],
        quarter: Float[Tensor, "frames t h4 w4"],
    ) -> Float[Tensor, "b h16 w16"]:
        """Log-odds of object against everything else, always in float32; the maps of a frame's objects are
        consecutive."""
        added8, added4 = self.refine8.skip(eighth), self.refine4.skip(quarter)
        objects = maps.unflatten(0, (len(eighth), -1))
        parts = [self._decode(part, added8, added4) for part in in_groups(objects, self.training)]
        return torch.cat(parts, 1).flatten(0, 1)

    def _decode(
        self,
        maps: Float[Tensor, "frames n c h w"],
        added8: Float[Tensor, "frames d h2 w2"],
        added4: Float[Tensor, "frames d h4 w4"],
    ) -> Float[Tensor, "frames n h16 w16"]:
        coarse = self.block(self.squeeze(maps.flatten(0, 1)))
        fine = self.refine4.merge(self.refine8.merge(coarse, added8), added4)
        logits = self.predict(nnf.relu(fine)).float()
        other, object_ = resize(logits, (4 * fine.shape[2], 4 * fine.shape[3])).unbind(1)
        log_odds: Tensor = object_ - other
        return log_odds.reshape(*maps.shape[:2], *log_odds.shape[1:])
