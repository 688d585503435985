"""From scores to a label map: where and how the best object of each pixel is chosen. Chosen with `inference.output`."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.inference.geometry import Geometry
from vosbench.inference.resampling import MapKernel, pil_nearest, resized_maps


@dataclass(frozen=True)
class Output:
    """How scores become a label map.

    at       original: scores are resized to the original size, where the best channel of each pixel is chosen; network:
             it is chosen at the size that the network saw, and the numbers are resized
    kernel   of resizing scores
    min_max  each channel, the background too, is first stretched to [0, 1] over the picture, as in DINO. A channel that
             is constant and not zero wins everywhere, as there
    given    exact: the pixels of a prompt are the result; scores: what its scores give, as in CRW
    """

    at: Literal["original", "network"] = "original"
    kernel: MapKernel = "bilinear"
    min_max: bool = False
    given: Literal["exact", "scores"] = "exact"

    def channels(self, scores: Float[Tensor, "1 n h w"], frame: Geometry) -> Int[np.ndarray, "h2 w2"]:
        """The number of the best channel of each pixel of the original picture.

        scores  of the pixels of the padded frame, or of a grid of cells that covers it
        """
        if self.at == "original":
            return self._best(resized_maps(frame.picture(scores), frame.original, self.kernel))
        picture = frame.cropped(resized_maps(scores, frame.padded, self.kernel))
        return pil_nearest(self._best(picture).astype(np.uint8), frame.original).astype(np.int64)

    def _best(self, scores: Float[Tensor, "1 n h w"]) -> Int[np.ndarray, "h w"]:
        best: Int[np.ndarray, "h w"] = (_stretched(scores) if self.min_max else scores)[0].argmax(0).cpu().numpy()
        return best


def _stretched(scores: Float[Tensor, "1 n h w"]) -> Float[Tensor, "1 n h w"]:
    low, high = scores.amin((2, 3), keepdim=True), scores.amax((2, 3), keepdim=True)
    return scores.where(high <= 0, (scores - low) / (high - low))
