"""A function of one's own that maps pictures to a map of features."""

from collections.abc import Callable, Sequence
from importlib import import_module

from jaxtyping import Float
from torch import Tensor, nn

from vosbench.contract import Padding
from vosbench.methods.features.backbone import Colour
from vosbench.nn.resnet import MEAN, STD
from vosbench.settings.checks import below, refuse
from vosbench.util.errors import UserError, one_line
from vosbench.util.supervision import Supervision


class Function(nn.Module):
    """A function that gets normalised pictures (b 3 h w) and returns features (b c h2 w2).

    function      the function, or its place `module:function`; modules in the folder of --config-dir can be named
    stride        pixels per cell of its maps
    learned_from  names of the data that its network learned from
    supervision   how its network learned

    Raises UserError if there is no such function.
    """

    mean: Colour | None = MEAN
    std: Colour | None = STD
    padding: Padding | None = None

    def __init__(
        self,
        function: str | Callable[[Tensor], Tensor],
        stride: int,
        learned_from: Sequence[str] = (),
        supervision: Supervision = "none",
    ) -> None:
        super().__init__()
        refuse("backbone", below(1, stride=stride))
        self.function = _found(function) if isinstance(function, str) else function
        self.stride, self.module = stride, function.partition(":")[0] if isinstance(function, str) else ""
        self.learned_from, self.supervision = tuple(learned_from), supervision

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        return self.function(images)


def _found(place: str) -> Callable[[Tensor], Tensor]:
    module, _, name = place.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"backbone.function={place} cannot be found ({one_line(error)}): give module:function, and the folder of "
            "the module with --config-dir"
        ) from error
    if not callable(found):
        raise UserError(f"backbone.function={place} is no function: give module:function")
    function: Callable[[Tensor], Tensor] = found
    return function
