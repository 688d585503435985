"""MAMP's encoder, and the names of its weights in the authors' checkpoints."""

import re
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from vosbench.nn.resnet import residual_stage

STRIDE = 4
STRIDES = (1, 2, 1, 1)  # of the stages, after a stem of stride 2
STAGES = len(STRIDES)


class Encoder(nn.Sequential):
    """A ResNet-18 without max-pooling, at stride 4 (MAMP table 5), and the released 3×3 head. Keys are not normalised.

    widths   channels of the four stages
    channels of a key

    5,291,648 parameters at the default widths and 64 key channels.
    """

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 256), channels: int = 64) -> None:
        first, *_, last = widths
        stem = nn.Sequential(nn.Conv2d(3, first, 7, 2, 3, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True))
        stages = [
            residual_stage(BasicBlock, before, width, stride, 2)
            for before, width, stride in zip((first, *widths[:-1]), widths, STRIDES, strict=True)
        ]
        super().__init__(stem, *stages, nn.Conv2d(last, channels, 3, 1, 1))

    def forward(self, lab: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        # Channels last: bf16 convolutions run several times faster, both on CPUs with matrix units and on GPUs.
        keys: Tensor = super().forward(lab.contiguous(memory_format=torch.channels_last))  # type: ignore[no-untyped-call]
        return keys


_BLOCK = {"left.0": "conv1", "left.1": "bn1", "left.3": "conv2", "left.4": "bn2", "shortcut": "downsample"}


def from_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the weights of a MAMP or MAST checkpoint (their networks are the same) to this package's names. Other
    names stay unchanged."""
    return {_renamed(key.removeprefix("module.")): value for key, value in state.items()}


def _renamed(key: str) -> str:
    key = key.replace("post_convolution.", "encoder.5.").replace("feature_extraction.conv1.", "encoder.0.")
    stage = re.fullmatch(r"feature_extraction\.layer(\d)\.(\d)\.(left\.\d|shortcut)\.(.+)", key)
    return f"encoder.{stage[1]}.{stage[2]}.{_BLOCK[stage[3]]}.{stage[4]}" if stage else key
