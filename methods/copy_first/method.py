"""The first baseline: the prompt, unmoved, in every frame."""

from dataclasses import dataclass

import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

from vosbench.contract import Clip, Context, Padding
from vosbench.method import Method
from vosbench.util.errors import UserError


@dataclass(frozen=True)
class Nothing:
    """An entry without content: no features are needed."""


@dataclass(frozen=True)
class Masks:
    masks: Float[Tensor, "1 n h w"]


class CopyFirst(Method[Nothing, Masks]):
    """Repeats the previous mask; only prompts ever change it."""

    name = "copy_first"
    supervision = "none"
    stride = 1
    padding = Padding("right-bottom", (0.0, 0.0, 0.0))
    memory_masks = "hard"

    def loss(self, clip: Clip) -> dict[str, Tensor]:
        raise UserError("copy_first has nothing to train: choose another method")

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Nothing:
        return Nothing()

    def memorize(self, features: Nothing, masks: Float[Tensor, "1 n h w"]) -> Masks:
        return Masks(masks)

    def extend(self, value: Masks, count: int) -> Masks:
        return Masks(nnf.pad(value.masks, (0, 0, 0, 0, 0, count)))

    def segment(self, query: Nothing, context: Context[Nothing, Masks]) -> Float[Tensor, "1 n h w"]:
        return context.previous.value.masks
