"""A frame as a method sees it, resized and padded."""

from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

from vosbench.contract import F, V
from vosbench.inference.geometry import Geometry
from vosbench.inference.resampling import shrunk
from vosbench.inference.resizing import Resizing
from vosbench.method import Method
from vosbench.video.video import Image


@dataclass(frozen=True, kw_only=True)
class Frame(Geometry):
    """A frame as the method sees it, and where its pixels lie in the original frame."""

    pixels: Float[Tensor, "1 3 h w"]

    @classmethod
    def of(cls, image: Image, method: Method[F, V], resizing: Resizing, device: torch.device) -> "Frame":
        original = (image.shape[0], image.shape[1])
        h, w = resizing.resized(*original, method.stride)
        n = resizing.subsample
        bottom, right = -h % (method.stride * n), -w % (method.stride * n)
        top, left = (bottom // 2, right // 2) if method.padding.side == "centre" else (0, 0)
        padded = (h + bottom, w + right)
        canvas = torch.tensor(method.padding.value, device=device).view(1, 3, 1, 1).repeat(1, 1, *padded)
        canvas[..., top : top + h, left : left + w] = shrunk(image, (h, w), resizing.kernel, device)
        pixels = canvas[..., ::n, ::n]
        return cls(original=original, resized=(h, w), padded=padded, top=top, left=left, pixels=pixels)

    def grid(self, cell: int | None) -> tuple[int, int]:
        """Height and width of a grid of cells of so many of the pixels that the method sees; None: of the padded
        frame."""
        return self.padded if cell is None else (self.pixels.shape[2] // cell, self.pixels.shape[3] // cell)


def one_hot(channels: Tensor, count: int) -> Float[Tensor, "1 n h w"]:
    """A map of channel numbers as `count` channels of 0 and 1."""
    return nnf.one_hot(channels, count).permute(0, 3, 1, 2).float()
