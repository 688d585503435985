"""Photometric reconstruction as a correspondence loss: MAST's and MAMP's, at the stride of E (table 4f)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

from vosbench.contract import Clip
from vosbench.methods.mask_embedding.correspondence import Encoder, full_precision, padded_frames
from vosbench.methods.mask_embedding.networks import STRIDE
from vosbench.ops.affinity import local_readout
from vosbench.ops.align import sample_centres, upsample_centres
from vosbench.ops.colour import normalised_lab
from vosbench.util.errors import UserError


@dataclass(frozen=True)
class Photometric:
    """Huber loss of the last frame's dropped Lab channel, rebuilt from the other frames (MAMP eq. 3 and 4).

    The encoder sees Lab (`lab` is true): `__call__` gives it three channels that are ready to be encoded, one of a and
    b zero and the others 3/2 as large; at inference it sees `normalised_lab` of whole frames.

    radius        of the search window, in cells of 8 pixels
    temperature   keys have unit norm here, so that MAMP's /√c would leave all candidates alike
    """

    lab: ClassVar[bool] = True
    radius: int = 6
    temperature: float = 0.05
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.radius < 1:
            given = f"radius={self.radius}, temperature={self.temperature}"
            raise UserError(f"method.correspondence: {given}: give a radius of 1 or more and a temperature above 0")

    def __call__(
        self, encoder: Encoder, clip: Clip, keys: Float[Tensor, "n c h8 w8"] | None = None
    ) -> dict[str, Tensor]:
        lab = normalised_lab(padded_frames(clip))
        dropped = int(torch.randint(1, 3, ()))  # the same in all frames and clips
        target = lab[:, :, dropped : dropped + 1].clone()
        lab = lab * 1.5
        lab[:, :, dropped] = 0
        found = [encoder(frame).float() for frame in lab.unbind(1)]  # apart: each frame has its own batch statistics
        values = [sample_centres(frame, STRIDE) for frame in target.unbind(1)]
        with full_precision(lab):
            read = local_readout(found[-1], found[:-1], values[:-1], radius=self.radius, scale=1 / self.temperature)
        rebuilt = upsample_centres(read, STRIDE)[..., : target.shape[-2], : target.shape[-1]]
        error = nnf.smooth_l1_loss(20 * rebuilt, 20 * target[:, -1], reduction="none")
        valid = clip.valid[:, -1:]
        return {"reconstruction": self.weight * (error * valid).sum() / valid.sum().clamp(min=1)}
