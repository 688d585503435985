"""A frame as a method sees it, resized and padded, and the way back to its original size."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.contract import F, V
from vosbench.method import Method
from vosbench.ops.align import resize
from vosbench.util.errors import UserError
from vosbench.video.video import Image


@dataclass(frozen=True)
class Inference:
    """At which size a method sees the frames.

    short_side  frames are resized (bicubic) so that their shorter side has so many pixels; null: as they are
    square      frames are resized to so many pixels squared, whatever their aspect, in place of short_side
    halve_from  frames that are then so many pixels wide or wider are resized to half of that; null: none
    subsample   of the padded frame, every n-th pixel is seen; memory then holds every n-th pixel of the full-size
                result, and given pixels overwrite at full size (MAMP's half-size inference on YouTube-VOS is 2)
    upsample    of a subsampled result: exact puts every n-th pixel back where it was taken; released is half-pixel
                bilinear, which moves masks by half a pixel a frame
    """

    short_side: int | None = None
    subsample: int = 1
    upsample: Literal["exact", "released"] = "exact"
    halve_from: int | None = None
    square: int | None = None

    def __post_init__(self) -> None:
        if self.square is not None and (self.short_side is not None or self.halve_from is not None):
            raise UserError("inference.square is all that is said of the size: leave short_side and halve_from null")

    def described(self) -> str | None:
        """The size at which the method sees frames, as records say it; None where it is their own."""
        said = {
            f"short side {self.short_side}": self.short_side is not None,
            f"square {self.square}": self.square is not None,
            f"half size from width {self.halve_from} on": self.halve_from is not None,
            f"every {self.subsample}. pixel": self.subsample > 1,
        }
        return ", ".join(text for text, holds in said.items() if holds) or None

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width to which frames of this size are brought."""
        if self.square is not None:
            return self.square, self.square
        ratio = 1.0 if self.short_side is None else self.short_side / min(height, width)
        if self.halve_from is not None and round(width * ratio) >= self.halve_from:
            ratio /= 2
        return round(height * ratio), round(width * ratio)


@dataclass(frozen=True)
class Frame:
    """A frame as the method sees it, and the way back.

    original, resized, padded are (height, width); `top` and `left` are the padding before the picture.
    """

    pixels: Float[Tensor, "1 3 h w"]
    original: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]
    top: int
    left: int

    @classmethod
    def of(cls, image: Image, method: Method[F, V], inference: Inference, device: torch.device) -> "Frame":
        pixels = torch.tensor(image, device=device).permute(2, 0, 1).unsqueeze(0) / 255
        h, w = original = (image.shape[0], image.shape[1])
        h, w = inference.resized(h, w)
        if (h, w) != original:
            pixels = nnf.interpolate(pixels, (h, w), mode="bicubic", antialias=True).clamp(0, 1)
        multiple = method.stride * inference.subsample
        bottom, right = -h % multiple, -w % multiple
        top, left = (bottom // 2, right // 2) if method.padding.side == "centre" else (0, 0)
        padded = (h + bottom, w + right)
        canvas = torch.tensor(method.padding.value, device=device).view(1, 3, 1, 1).repeat(1, 1, *padded)
        canvas[..., top : top + h, left : left + w] = pixels
        n = inference.subsample
        return cls(canvas[..., ::n, ::n], original, (h, w), padded, top, left)

    def place(self, labels: Int[Tensor, "h w"]) -> Int[Tensor, "1 h2 w2"]:
        """A label map of the original size on the padded canvas, background around it."""
        if self.resized != self.original:
            labels = nnf.interpolate(labels[None, None].float(), self.resized, mode="nearest-exact")[0, 0].long()
        (h, w), (height, width) = self.resized, self.padded
        return nnf.pad(labels, (self.left, width - w - self.left, self.top, height - h - self.top)).unsqueeze(0)

    def restore(self, scores: Float[Tensor, "1 n h w"]) -> Float[Tensor, "1 n h2 w2"]:
        """Scores of the picture alone, at its original size."""
        h, w = self.resized
        picture = scores[..., self.top : self.top + h, self.left : self.left + w]
        return picture if self.resized == self.original else resize(picture, self.original)

    def cells(self, grid: tuple[int, int]) -> tuple[Int[np.ndarray, " h"], Int[np.ndarray, " w"]]:
        """The row and the column that are nearest to each row and each column of the original picture, in a map of
        `pixels` on a grid of this (height, width), whose cell j has its centre on pixel s·j (s: its stride)."""
        sides = zip(self.original, self.resized, self._strides(grid), (self.top, self.left), grid, strict=True)
        rows, columns = (_nearest(*side) for side in sides)
        return rows, columns

    def cell_size(self, grid: tuple[int, int]) -> tuple[float, float]:
        """Height and width of such a map's cells, in pixels of the original picture."""
        sides = zip(self.original, self.resized, self._strides(grid), strict=True)
        height, width = (stride * original / resized for original, resized, stride in sides)
        return height, width

    def _strides(self, grid: tuple[int, int]) -> tuple[int, int]:
        """In pixels of the padded frame, of which the method may see every n-th."""
        return -(-self.padded[0] // grid[0]), -(-self.padded[1] // grid[1])


def _nearest(original: int, resized: int, stride: int, start: int, cells: int) -> Int[np.ndarray, " n"]:
    positions = (np.arange(original) + 0.5) * resized / original - 0.5 + start
    return np.clip(np.floor(positions / stride + 0.5).astype(np.int64), 0, cells - 1)


def one_hot(channels: Tensor, count: int) -> Float[Tensor, "1 n h w"]:
    return nnf.one_hot(channels, count).permute(0, 3, 1, 2).float()
