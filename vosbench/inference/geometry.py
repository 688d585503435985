"""Where the pixels of a frame as a method sees it lie in the original frame."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.video.video import Joints


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

    def picture(self, scores: Float[Tensor, "1 n h w"]) -> Float[Tensor, "1 n h2 w2"]:
        """Scores of the padded frame's pixels without its padding; those of a grid of cells as they are."""
        return self.cropped(scores) if tuple(scores.shape[2:]) == self.padded else scores

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

    def in_cells(self, places: Joints, grid: tuple[int, int]) -> Joints:
        """Places in pixels of the original picture as places on a grid that covers the padded frame. Pixel 0 lies on
        cell 0, and cell i on pixel s·i (s: its stride), as in CRW: nothing is shifted by half a cell."""
        start, strides = np.array([self.left, self.top]), np.array(self._strides(grid)[::-1])
        found: Joints = (places * self.resized[::-1] / self.original[::-1] + start) / strides
        return found

    def in_pixels(self, cells: Joints, grid: tuple[int, int]) -> Joints:
        """The inverse of `in_cells`."""
        start, strides = np.array([self.left, self.top]), np.array(self._strides(grid)[::-1])
        found: Joints = (cells * strides - start) * self.original[::-1] / self.resized[::-1]
        return found

    def _strides(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Strides in pixels of the padded frame, also if the method sees only every n-th pixel."""
        return -(-self.padded[0] // grid[0]), -(-self.padded[1] // grid[1])


def _nearest(original: int, resized: int, stride: int, start: int, cells: int) -> Int[np.ndarray, " n"]:
    positions = (np.arange(original) + 0.5) * resized / original - 0.5 + start
    return np.clip(np.floor(positions / stride + 0.5).astype(np.int64), 0, cells - 1)
