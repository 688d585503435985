"""Joints as heat-maps, which are propagated like masks, and positions from them. Chosen with `inference.joints`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.inference.geometry import Geometry
from vosbench.inference.resampling import Size, resized_maps
from vosbench.ops.align import resize
from vosbench.settings.checks import below, not_above, refuse
from vosbench.video.video import Joints


@dataclass(frozen=True)
class HeatMaps:
    """A Gaussian for each joint, and the mean of its best places.

    sigma   of the Gaussian, in cells or pixels. Its peak is 1, and it ends after 3 sigma
    at      grid: on the cells that the method sees, as in CRW (sigma .5, best 3); image: on the original picture, from
            where heat-maps are resized, and to which scores are, as in VFS (sigma 4, best 5)
    best    the position is the mean of so many places with the highest scores, weighted by these

    Raises UserError naming options that make no sense.
    """

    sigma: float = 4.0
    at: Literal["grid", "image"] = "image"
    best: int = 5

    def __post_init__(self) -> None:
        refuse("inference.joints", not_above(0, sigma=self.sigma) + below(1, best=self.best))

    def drawn(
        self, places: Joints, frame: Geometry, size: Size, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "1 n h w"]:
        """The heat-maps of joints behind that of the background, which is 1 where no joint has any heat.

        places  in pixels of the original picture. A joint that is unknown or far outside has an empty heat-map
        size    of a map that covers the padded frame: its own size, or a grid's
        """
        if self.at == "grid":
            maps = _tensor([gaussian(place, self.sigma, size) for place in frame.in_cells(places, size)])
        else:
            maps = _tensor([gaussian(place, self.sigma, frame.original) for place in places])
            maps = frame.padded_maps(resized_maps(maps, frame.resized, "cv2_bilinear"))
            maps = maps if size == frame.padded else resize(maps, size)
        background = (maps.sum(1, keepdim=True) == 0).float()
        return torch.cat([background, maps], 1).to(device)

    def positions(self, scores: Float[Tensor, "1 n h w"], frame: Geometry) -> Joints:
        """The positions of joints in pixels of the original picture; NaN where a joint has no score anywhere.

        scores  of the pixels of the padded frame, or of a grid of cells that covers it; channel 0 is the background
        """
        if self.at == "grid":
            return frame.in_pixels(self._best(scores[0, 1:]), (scores.shape[2], scores.shape[3]))
        return self._best(resized_maps(frame.picture(scores), frame.original, "bilinear")[0, 1:])

    def given(self, places: Joints, frame: Geometry, scores: Float[Tensor, "1 n h w"]) -> Joints:
        """The positions in a frame whose joints are given: those of the heat-maps before any grid. CRW has only those
        on the grid, which `scores` are."""
        return self.positions(scores if self.at == "grid" else self.drawn(places, frame, frame.padded), frame)

    def _best(self, maps: Float[Tensor, "j h w"]) -> Joints:
        flat = maps.flatten(1)
        values, cells = flat.topk(min(self.best, flat.shape[1]))
        weights = values / values.sum(1, keepdim=True)  # NaN for an empty map
        width = maps.shape[2]
        found = torch.stack([(cells % width * weights).sum(1), (cells // width * weights).sum(1)], 1)
        return found.double().cpu().numpy()


def without_joints(recipe: Mapping[str, str]) -> dict[str, str]:
    """The settings that label maps and trainings depend on, by dotted key: all but those of joints."""
    return {key: value for key, value in recipe.items() if not key.startswith("inference.joints.")}


def gaussian(place: Float[np.ndarray, " 2"], sigma: float, size: Size) -> Float[np.ndarray, "h w"]:
    """A Gaussian of peak 1 around a place (x, y), cut off at 3 sigma, on a map of this (height, width).

    Its peak is on a whole cell, as the scripts of CRW and VFS have it: that of the cut-out's middle, whose first cell
    is x - 3 sigma, rounded towards zero.
    """
    found = np.zeros(size)
    if np.isnan(place).any():
        return found
    (columns, x), (rows, y) = (_reach(float(at), sigma, side) for at, side in zip(place, size[::-1], strict=True))
    found[np.ix_(rows, columns)] = np.exp(-(x**2 + y[:, None] ** 2) / (2 * sigma**2))
    return found


def _reach(at: float, sigma: float, side: int) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The cells of an axis that a Gaussian reaches, and how far each is from its peak."""
    first = int(at - 3 * sigma)
    cells = np.arange(max(first, 0), max(min(int(at + 3 * sigma + 1), side), 0))
    return cells, cells - first - (6 * sigma + 1) // 2


def _tensor(maps: list[Float[np.ndarray, "h w"]]) -> Float[Tensor, "1 j h w"]:
    return torch.from_numpy(np.stack(maps).astype(np.float32)).unsqueeze(0)
