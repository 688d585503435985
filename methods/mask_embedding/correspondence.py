"""The interface of correspondence losses: contrastive.py, photometric.py, cycle.py (table 4f), or one of your own."""

from collections.abc import Callable
from typing import ClassVar, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.contract import Clip
from vosbench.methods.mask_embedding.networks import STRIDE
from vosbench.ops.align import sample_centres
from vosbench.util.errors import UserError

Encoder = Callable[[Float[Tensor, "n 3 h w"]], Float[Tensor, "n c h8 w8"]]


class Correspondence(Protocol):
    """Teaches the encoder, from unlabelled clips, keys that match between frames. It has no parameters of its own.

    lab   what the encoder sees, in training and at inference. False: RGB in [0, 1], negative where padded. True: Lab as
          `colour.normalised_lab` makes it; then the encoder passed to `__call__` takes such images
    """

    lab: ClassVar[bool]

    def __call__(
        self, encoder: Encoder, clip: Clip, keys: Float[Tensor, "n c h8 w8"] | None = None
    ) -> dict[str, Tensor]:
        """Named scalar terms, weighted, in float32.

        encoder  images to keys of unit norm at stride 8
        keys     of the clips' frames (number b·T + t is frame t of clip b), where they have been encoded already

        Random choices use torch's CPU generator. Raises UserError for clips of a single frame.
        """


def padded_frames(clip: Clip) -> Float[Tensor, "b t 3 h w"]:
    """The clip's RGB with -1 where it was padded. Raises UserError for one frame: every loss here compares frames."""
    if clip.frames.shape[1] < 2:
        raise UserError(
            "clips of one frame show nothing that moves: choose a data.clips.sampler with 2 or more positions"
        )
    return clip.frames.masked_fill(~clip.valid.unsqueeze(2), -1)


def picture_cells(images: Float[Tensor, "n 3 h w"]) -> Bool[Tensor, "n h8 w8"]:
    """Cells of the encoder whose centre is in the picture, not in padding (negative RGB)."""
    return sample_centres(images[:, :1], STRIDE)[:, 0] >= 0


def full_precision(maps: Tensor) -> torch.autocast:
    """Half precision is too coarse for similarities divided by a small temperature, so only the encoder runs in it."""
    return torch.autocast(maps.device.type, enabled=False)
