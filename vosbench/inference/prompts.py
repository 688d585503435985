"""What is given in a frame, and what it makes of the frame's scores: label maps, and joints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

from vosbench.inference.geometry import Geometry
from vosbench.inference.resampling import soft_mask
from vosbench.inference.resizing import Resizing
from vosbench.video.video import Joints, LabelMap


class Prompt(Protocol):
    """What is given in a frame. `ids`: of its objects, which may be known already."""

    @property
    def ids(self) -> Sequence[int]: ...

    def onto(
        self, scores: Float[Tensor, "1 n h w"], frame: Geometry, ids: Sequence[int], rules: Resizing, *, first: bool
    ) -> Float[Tensor, "1 n h w"]:
        """The scores with the prompt in them.

        scores  of the padded frame's pixels, or of the method's cells
        ids     of all objects, in the order of their channels
        first   nothing was given before: the scores are all background
        """
        ...


@dataclass(frozen=True)
class Masks:
    """The label map of the objects that start."""

    labels: LabelMap

    @property
    def ids(self) -> list[int]:
        return [i for i in np.unique(self.labels).tolist() if i]

    def onto(
        self, scores: Float[Tensor, "1 n h w"], frame: Geometry, ids: Sequence[int], rules: Resizing, *, first: bool
    ) -> Float[Tensor, "1 n h w"]:
        """Where the prompt is soft, the others share what it leaves."""
        channels = np.zeros(256, np.int64)
        channels[list(ids)] = np.arange(1, len(ids) + 1)
        grid = (scores.shape[2], scores.shape[3])
        of_cells = grid != frame.padded
        size = grid if of_cells else frame.resized
        soft = soft_mask(channels[self.labels], len(ids) + 1, size, rules.first_mask, scores.device)
        if first and of_cells:
            return soft
        objects = nnf.pad(soft[:, 1:], (0, 0, 0, 0, 1, 0))
        objects = objects if of_cells else frame.padded_maps(objects)
        return scores * (1 - objects.sum(1, keepdim=True)) + objects


@dataclass(frozen=True)
class Points:
    """Positions of joints; joint i is object i + 1."""

    places: Joints

    @property
    def ids(self) -> range:
        return range(1, len(self.places) + 1)

    def onto(
        self, scores: Float[Tensor, "1 n h w"], frame: Geometry, ids: Sequence[int], rules: Resizing, *, first: bool
    ) -> Float[Tensor, "1 n h w"]:
        """Heat-maps in place of the scores."""
        return rules.joints.drawn(self.places, frame, (scores.shape[2], scores.shape[3]), scores.device)
