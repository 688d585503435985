"""Decodes a coarse map to mask logits, refined with an encoder's skips: blocks as in STM (Oh et al. 2019)."""

from collections.abc import Sequence

import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor, nn

from vosbench.ops.align import resize


class ResBlock(nn.Module):
    """Two 3×3 convolutions, each after a ReLU, and a shortcut (3×3 if channels change). There is no normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, outputs)
        self.conv2 = _conv(outputs, outputs)
        self.shortcut = nn.Identity() if inputs == outputs else _conv(inputs, outputs)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        # Not in place: the shortcut and the caller also read the maps.
        residual: Tensor = self.conv2(nnf.relu(self.conv1(nnf.relu(maps))))
        shortcut: Tensor = self.shortcut(maps)
        return shortcut + residual


class Refine(nn.Module):
    """Adds an encoder's skip, brought to `inputs` channels by a 3×3 convolution, then a residual block to `outputs`.

    `skip_block`: also a residual block on the skip, as in STM.
    """

    def __init__(self, skip_channels: int, inputs: int, outputs: int, skip_block: bool = False) -> None:
        super().__init__()
        conv = _conv(skip_channels, inputs)
        self.skip = nn.Sequential(conv, ResBlock(inputs, inputs)) if skip_block else conv
        self.block = ResBlock(inputs, outputs)

    def forward(
        self, maps: Float[Tensor, "b c h w"], skip: Float[Tensor, "frames s h2 w2"]
    ) -> Float[Tensor, "b d h2 w2"]:
        """Upsamples `maps` to the skip's size if it differs (bilinear, half-pixel), and adds the skip.

        Maps of several objects share the skip of their frame, which is convolved once: the maps of frame i's objects
        are rows i·n to i·n + n of `maps`, n = b / frames.
        """
        return self.merge(maps, self.skip(skip))

    def merge(
        self, maps: Float[Tensor, "b c h w"], added: Float[Tensor, "frames c h2 w2"]
    ) -> Float[Tensor, "b d h2 w2"]:
        """The same for a skip that is already convolved: for objects refined a few at a time."""
        if maps.shape[2:] != added.shape[2:]:
            maps = resize(maps, (added.shape[2], added.shape[3]))
        by_frame = maps.unflatten(0, (len(added), -1))
        refined: Tensor = self.block((by_frame + added.unsqueeze(1)).flatten(0, 1))
        return refined


class Decoder(nn.Module):
    """Mask decoder D of the mask-embedding method (§3.3): a block, two blocks with skips, a convolution to logits.

    inputs  channels of the decoded map, at 1/8
    skips   channels of the encoder's maps at 1/8 and 1/4
    widths  channels after the first block, after the skip at 1/8, and after the skip at 1/4
    kernel  of the last convolution: 1 in the paper; 3 in the authors' code, with 18,436,609 parameters for ResNet-50
    """

    def __init__(
        self, inputs: int, skips: Sequence[int], widths: Sequence[int] = (512, 256, 128), kernel: int = 1
    ) -> None:
        super().__init__()
        self.block = ResBlock(inputs, widths[0])
        self.refine8 = Refine(skips[0], widths[0], widths[1])
        self.refine4 = Refine(skips[1], widths[1], widths[2])
        self.predict = nn.Conv2d(widths[2], 1, kernel, padding=kernel // 2)

    def forward(
        self,
        maps: Float[Tensor, "b c h w"],
        skip8: Float[Tensor, "frames s h w"],
        skip4: Float[Tensor, "frames t h2 w2"],
    ) -> Float[Tensor, "b 1 h3 w3"]:
        """Foreground logits at four times the size of `skip4`, in pixels. Objects share skips as in `Refine`."""
        fine = self.refine4(self.refine8(self.block(maps), skip8), skip4)
        logits: Tensor = self.predict(nnf.relu(fine))
        return resize(logits, (4 * skip4.shape[2], 4 * skip4.shape[3]))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
