"""Where the pixels of a frame as a method sees it lie in the original frame."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The sizes of a frame, which is resized, then padded, before a method sees it.

    original, resized, padded are (height, width); `top` and `left` are the rows and columns of padding before the
    picture.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]
    top: int = 0
    left: int = 0

    def cropped(self, scores: Float[Tensor, "1 n hp wp"]) -> Float[Tensor, "1 n h w"]:
        """Scores of the picture without its padding."""
        h, w = self.resized
        return scores[..., self.top : self.top + h, self.left : self.left + w]

    def padded_maps(self, maps: Float[Tensor, "1 n h w"]) -> Float[Tensor, "1 n hp wp"]:
        """Maps of the resized picture with zeros for its padding."""
        (h, w), (height, width) = self.resized, self.padded
        return nnf.pad(maps, (self.left, width - w - self.left, self.top, height - h - self.top))

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
