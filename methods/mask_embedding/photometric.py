"""Photometric reconstruction as a correspondence loss: MAST's and MAMP's, at the stride of E (table 4f)."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from vosbench.contract import Clip
from vosbench.methods.mask_embedding.correspondence import Encoder, full_precision, padded_frames
from vosbench.methods.mask_embedding.networks import STRIDE
from vosbench.ops.affinity import local_readout
from vosbench.ops.align import sample_centres, upsample_centres
from vosbench.ops.colour import normalised_lab
from vosbench.ops.photometric import drop_channel, reconstruction_error
from vosbench.settings.checks import below, not_above, refuse


@dataclass(frozen=True)
class Photometric:
    """Reconstructs the last frame's dropped Lab channel from the other frames.

    The encoder sees Lab (`lab` is true). `__call__` gives it what `drop_channel` leaves; at inference it sees
    `normalised_lab` of whole frames.

    radius        of the search window, in cells of 8×8 pixels
    temperature   of the softmax over the window. Keys have unit norm here, so MAMP's /√c would make it almost uniform
    """

    lab: ClassVar[bool] = True
    radius: int = 6
    temperature: float = 0.05
    weight: float = 1.0

    def __post_init__(self) -> None:
        found = below(1, radius=self.radius) + not_above(0, temperature=self.temperature) + below(0, weight=self.weight)
        refuse("method.correspondence", found)

    def __call__(
        self, encoder: Encoder, clip: Clip, keys: Float[Tensor, "n c h8 w8"] | None = None
    ) -> dict[str, Tensor]:
        lab, target = drop_channel(normalised_lab(padded_frames(clip)))
        found = [encoder(frame).float() for frame in lab.unbind(1)]  # singly: each has its own batch statistics
        values = [sample_centres(frame, STRIDE) for frame in target.unbind(1)]
        with full_precision(lab):
            read = local_readout(found[-1], found[:-1], values[:-1], radius=self.radius, scale=1 / self.temperature)
        rebuilt = upsample_centres(read, STRIDE)[..., : target.shape[-2], : target.shape[-1]]
        return {"reconstruction": self.weight * reconstruction_error(rebuilt, target[:, -1], clip.valid[:, -1])}
