"""The encoder of one of this project's methods, with shipped weights or those of a training."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vosbench.inference.visuals import ComparesKeys
from vosbench.method import Method
from vosbench.methods.features.backbone import Colour
from vosbench.settings.options import Content, FileName
from vosbench.util.errors import UserError
from vosbench.weights.loading import restore
from vosbench.weights.origin import of_weights


class Encoder(nn.Module):
    """The keys by which a method compares frames.

    method      the method itself, with the options of its training
    checkpoint  none | file | run folder | shipped name | hf:<owner>/<repo>/<file>

    Raises UserError for a method that compares no keys, and as `weights.loading.restore` does.
    """

    mean: Colour | None = None
    std: Colour | None = None

    def __init__(self, method: Method[Any, Any], checkpoint: Content[FileName]) -> None:
        super().__init__()
        if not isinstance(method, ComparesKeys):
            raise UserError(f"{type(method).__name__} compares no keys of frames: choose another backbone=")
        origin = of_weights(method, restore(method, checkpoint, seed=0))
        self.learned_from, self.supervision = origin.learned_from, origin.supervision
        self.method: Any = method
        self.stride, self.padding = method.stride, method.padding

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        maps: Tensor = self.method.keys(self.method.encode(images))
        return maps
