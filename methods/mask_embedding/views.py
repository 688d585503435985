"""Φ: a random scaling, flip and crop, applied to images or to their feature maps (section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.methods.mask_embedding.networks import STRIDE
from vosbench.ops.draws import Draws

WHOLE = 0.999  # share of the bilinear weights that must be inside


@dataclass(frozen=True)
class View:
    """One Φ per image: output pixel p shows input pixel offset + step·p. Both are (y, x); a negative step mirrors.

    Output and input have the same size. Cell j of a feature map is at pixel 8·j, the centre of strided kernels of odd
    size. With cells in the middle of their pixels, a mirrored map would be 7 pixels off.
    """

    step: Float[Tensor, "n 2"]
    offset: Float[Tensor, "n 2"]

    def take(self, which: Int[Tensor, " m"]) -> View:
        """The views of these images."""
        return View(self.step[which], self.offset[which])

    def images(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """Φ(I) of RGB in [0, 1], negative where padded; -1 where the result shows padding or lies outside the image."""
        inside = self._sample((images[:, :1] >= 0).float(), 1)
        return self._sample(images.clamp(min=0), 1).masked_fill(inside < WHOLE, -1)

    def keys(
        self, keys: Float[Tensor, "n c h w"], cells: Bool[Tensor, "n h w"]
    ) -> tuple[Float[Tensor, "n c h w"], Bool[Tensor, "n h w"]]:
        """Φ of keys at stride 8, normalised again, and a mask of where only `cells` of the picture contribute."""
        inside = self._sample(cells.unsqueeze(1).float(), STRIDE)[:, 0] >= WHOLE
        return nnf.normalize(self._sample(keys, STRIDE)), inside

    def _sample(self, maps: Float[Tensor, "n c h w"], stride: int) -> Float[Tensor, "n c h w"]:
        """Bilinear, 0 outside; the outermost half cell belongs to the map. `stride`: pixels between cells."""
        axes = []
        for axis, size in enumerate(maps.shape[-2:]):
            cell = torch.arange(size, device=maps.device)
            place = self.offset[:, axis, None] / stride + self.step[:, axis, None] * cell
            near = place.clamp(0, size - 1)
            place = torch.where((place - near).abs() <= 0.5, near, place)
            axes.append(2 * place / max(size - 1, 1) - 1)
        y, x = axes
        grid = torch.stack(torch.broadcast_tensors(x.unsqueeze(1), y.unsqueeze(2)), 3)
        return nnf.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def draw_views(
    draws: Draws,
    count: int,
    size: tuple[int, int],
    scale: Sequence[float],
    flip: float,
    device: torch.device | str = "cpu",
) -> View:
    """Random views of `count` images of `size` (rows, columns).

    scale   smallest and largest side of the part shown, as a fraction of the image's; above 1 the image shrinks
    flip    share of the views that are mirrored
    """
    shown = draws.uniform(scale[0], scale[1], count, 1)
    extent = torch.tensor(size, dtype=torch.float32)
    corner = draws.rand(count, 2) * (1 - shown) * extent - 0.5  # the picture's own corner is at (-0.5, -0.5)
    mirrored = torch.zeros(count, 2, dtype=torch.bool)
    mirrored[:, 1] = draws.rand(count) < flip
    step = torch.where(mirrored, -shown, shown)
    offset = torch.where(mirrored, corner + shown * extent, corner) + step / 2
    return View(step.to(device), offset.to(device))
