"""What a frozen network has to offer. `backbone=` chooses one of those in `backbones/`."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from vosbench.contract import Padding
from vosbench.util.supervision import Supervision

Colour = Sequence[float]  # red, green and blue


@runtime_checkable
class Backbone(Protocol):
    """A network with fixed weights, also an `nn.Module`.

    stride        pixels per cell of its maps
    mean, std     of the RGB values in [0, 1] that it expects, unless a protocol says others; None: it is given values
                  in [0, 1] and normalises them itself
    padding       how frames are padded to a multiple of the stride; None: with the mean colour
    learned_from  names of its training data, in order; (): none
    supervision   how its weights learned: labels of ImageNet are supervised
    """

    @property
    def stride(self) -> int: ...

    @property
    def mean(self) -> Colour | None: ...

    @property
    def std(self) -> Colour | None: ...

    @property
    def padding(self) -> Padding | None: ...

    @property
    def learned_from(self) -> tuple[str, ...]: ...

    @property
    def supervision(self) -> Supervision: ...

    def __call__(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        """A map of features, of one cell for each `stride` pixels."""
