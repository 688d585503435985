"""A frame as a method sees it, resized and padded, and the mapping back to its original size."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.contract import F, V
from vosbench.inference.resizing import Resizing
from vosbench.method import Method
from vosbench.ops.align import resize
from vosbench.video.video import Image


@dataclass(frozen=True)
class Frame:
    """A frame as the method sees it, and the mapping back to the original size.

    original, resized, padded are (height, width); `top` and `left` are the rows and columns of padding before the
    picture.
    """

    pixels: Float[Tensor, "1 3 h w"]
    original: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]
    top: int
    left: int

    @classmethod
    def of(cls, image: Image, method: Method[F, V], resizing: Resizing, device: torch.device) -> "Frame":
        pixels = torch.tensor(image, device=device).permute(2, 0, 1).unsqueeze(0) / 255
        original = (image.shape[0], image.shape[1])
        h, w = resizing.resized(*original)
        if (h, w) != original:
            pixels = nnf.interpolate(pixels, (h, w), mode="bicubic", antialias=True).clamp(0, 1)
        n = resizing.subsample
        bottom, right = -h % (method.stride * n), -w % (method.stride * n)
        top, left = (bottom // 2, right // 2) if method.padding.side == "centre" else (0, 0)
        padded = (h + bottom, w + right)
        canvas = torch.tensor(method.padding.value, device=device).view(1, 3, 1, 1).repeat(1, 1, *padded)
        canvas[..., top : top + h, left : left + w] = pixels
        return cls(canvas[..., ::n, ::n], original, (h, w), padded, top, left)

    def place(self, labels: Int[Tensor, "h w"]) -> Int[Tensor, "1 h2 w2"]:
        """A label map of the original size, resized and padded with background."""
        if self.resized != self.original:
            labels = nnf.interpolate(labels[None, None].float(), self.resized, mode="nearest-exact")[0, 0].long()
        (h, w), (height, width) = self.resized, self.padded
        return nnf.pad(labels, (self.left, width - w - self.left, self.top, height - h - self.top)).unsqueeze(0)

    def restore(self, scores: Float[Tensor, "1 n h w"]) -> Float[Tensor, "1 n h2 w2"]:
        """Scores of the picture without its padding, at its original size."""
        h, w = self.resized
        picture = scores[..., self.top : self.top + h, self.left : self.left + w]
        return picture if self.resized == self.original else resize(picture, self.original)

    def cells(self, grid: tuple[int, int]) -> tuple[Int[np.ndarray, " h"], Int[np.ndarray, " w"]]:
        """For each row and each column of the original picture, the nearest row and column of a map of `pixels`.

        grid   height and width of that map, whose cell j has its centre on pixel s·j (s: its stride)
        """
        sides = zip(self.original, self.resized, self._strides(grid), (self.top, self.left), grid, strict=True)
        rows, columns = (_nearest(*side) for side in sides)
        return rows, columns

    def cell_size(self, grid: tuple[int, int]) -> tuple[float, float]:
        """Height and width of such a map's cells, in pixels of the original picture."""
        sides = zip(self.original, self.resized, self._strides(grid), strict=True)
        height, width = (stride * original / resized for original, resized, stride in sides)
        return height, width

    def _strides(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Strides in pixels of the padded frame, also if the method sees only every n-th pixel."""
        return -(-self.padded[0] // grid[0]), -(-self.padded[1] // grid[1])


def _nearest(original: int, resized: int, stride: int, start: int, cells: int) -> Int[np.ndarray, " n"]:
    positions = (np.arange(original) + 0.5) * resized / original - 0.5 + start
    return np.clip(np.floor(positions / stride + 0.5).astype(np.int64), 0, cells - 1)


def one_hot(channels: Tensor, count: int) -> Float[Tensor, "1 n h w"]:
    """A map of channel numbers as `count` channels of 0 and 1."""
    return nnf.one_hot(channels, count).permute(0, 3, 1, 2).float()
