"""Features and memory entries, and reading from memory: one affinity for the masks and values of all objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.methods.mask_embedding.masks import SmallMasks
from vosbench.ops.matching import global_local_readout, match, read
from vosbench.ops.windows import Window

Values = Float[Tensor, "b objects v h8 w8"]


@dataclass(frozen=True)
class Features:
    """Features of a frame: its key at stride 8, the decoder's skips at strides 8 and 4, E's last map, and the
    normalised image.

    `coarse`: the warped masks, once the frame has been segmented; None before.
    """

    key: Float[Tensor, "b c h8 w8"]
    eighth: Float[Tensor, "b c8 h8 w8"]
    quarter: Float[Tensor, "b c4 h4 w4"]
    last: Float[Tensor, "b d h8 w8"]
    image: Float[Tensor, "b 3 h w"]
    coarse: SmallMasks | None = None

    def take(self, frames: Int[Tensor, " n"]) -> "Features":
        """Some frames of the batch."""
        return Features(
            self.key[frames], self.eighth[frames], self.quarter[frames], self.last[frames], self.image[frames]
        )


@dataclass(frozen=True)
class Memory:
    """A memory entry: key, masks at stride 8 (background first), the value of each object, and V's input.

    V's input is the image and, if V uses it, E's last map. It is kept for objects that start later, because a frame
    also needs values for objects it does not show. Image and map are in half precision, and at inference so are values.
    `absent` is V's input for pixels outside an object: 0, or the log-odds of 0. b is 1 at inference, and the number of
    clips in training.
    """

    key: Float[Tensor, "b c h8 w8"]
    masks: SmallMasks
    values: Values
    image: Float[Tensor, "b 3 h w"]
    last: Float[Tensor, "b d h8 w8"]
    absent: float


def packed(values: Values) -> Values:
    """Makes the values of all objects of a cell adjacent in memory, so that they are read together without a copy."""
    together = values.flatten(1, 2).contiguous(memory_format=torch.channels_last)
    return together.view(values.shape)


@dataclass(frozen=True)
class Reader:
    """Equations 6 to 8. See `ops.matching.global_local_readout` for its fields."""

    temperature: float
    radius: float
    window: Window

    def read(
        self, query: Float[Tensor, "b c h8 w8"], memory: Sequence[Memory], given: Sequence[bool], top_k: int | None
    ) -> tuple[SmallMasks, Values]:
        """The coarse masks and the values of the query's cells. `given`: for each entry, whether all of it is
        searched."""
        clips = [
            self._read_clip(
                query[clip],
                [entry.key[clip] for entry in memory],
                [entry.masks[clip] for entry in memory],
                [entry.values[clip].flatten(1, 2) for entry in memory],
                given,
                top_k,
            )
            for clip in (slice(i, i + 1) for i in range(len(query)))
        ]
        coarse, values = (torch.cat(maps) for maps in zip(*clips, strict=True))
        return coarse, values.unflatten(1, memory[0].values.shape[1:3])

    def _read_clip(
        self,
        query: Float[Tensor, "1 c h w"],
        keys: Sequence[Float[Tensor, "1 c h w"]],
        masks: Sequence[Float[Tensor, "1 n h w"]],
        values: Sequence[Float[Tensor, "1 v h w"]],
        given: Sequence[bool],
        top_k: int | None,
    ) -> tuple[Float[Tensor, "1 n h w"], Float[Tensor, "1 v h w"]]:
        radius, temperature, window = self.radius, self.temperature, self.window
        if top_k is None:  # all candidates, as in training: one product for both
            both = [torch.cat(pair, 1) for pair in zip(masks, values, strict=True)]
            everything = global_local_readout(
                query,
                keys,
                both,
                unrestricted=given,
                radius=radius,
                temperature=temperature,
                top_k=None,
                window=window,
            )
            coarse, found = everything.split([masks[0].shape[1], values[0].shape[1]], 1)
            return coarse, found
        matches = match(
            query, keys, unrestricted=given, radius=radius, temperature=temperature, top_k=top_k, window=window
        )
        coarse = read(matches, masks)
        return coarse, read(matches, values) if values[0].shape[1] else coarse[:, :0]
