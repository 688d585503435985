"""Any network of timm (Wightman 2019) that gives maps of features."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vosbench.contract import Padding
from vosbench.methods.features.backbone import Colour
from vosbench.methods.features.backbones.vit import Intermediates, Vit
from vosbench.nn.timm_networks import fill, origin_of_tag, takes_any_size, timm_network
from vosbench.nn.weight_files import read_named
from vosbench.settings.options import Content
from vosbench.util.errors import UserError, one_line
from vosbench.util.hub import local
from vosbench.util.supervision import Supervision
from vosbench.util.wording import rows_columns


class TimmModel(nn.Module):
    """A network of timm, in its own words `<architecture>.<tag of the weights>`.

    name          as timm calls it
    pretrained    whether to use timm's weights, which are downloaded once; false: random ones
    weights       a file of weights instead (also hf:…), with timm's names
    layers        stages or blocks whose maps are used, -1 is the last; the channels of several are put one after the
                  other
    norm          whether a transformer's maps pass through its final normalisation
    learned_from, supervision  of the weights; (), null: as the tag of the name says

    Raises UserError for an unknown name, for a network without maps, and if weights cannot be had.
    """

    padding: Padding | None = None

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        weights: Content[str | None] = None,
        layers: Sequence[int] = (-1,),
        norm: bool = True,
        learned_from: Sequence[str] = (),
        supervision: Supervision | None = None,
    ) -> None:
        super().__init__()
        net = _made(name, pretrained and weights is None, weights)
        random = not pretrained and weights is None
        data, by_tag = origin_of_tag(name.partition(".")[2] or local(weights or name).name)
        self.learned_from = tuple(learned_from) or (() if random else data)
        self.supervision: Supervision = supervision or ("none" if random else by_tag)
        self.name, self.any_size = name, _has_positions(net) or takes_any_size(net)
        self.mean, self.std = _colours(net, "mean"), _colours(net, "std")
        self.stride = min(_reduction(net, layer, name) for layer in layers)
        self.maps = (Vit if _has_positions(net) else Intermediates)(net, layers, norm)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        try:
            maps: Tensor = self.maps(images)
        except (AssertionError, RuntimeError) as error:
            if self.any_size:
                raise
            size = rows_columns((images.shape[2], images.shape[3]))
            raise UserError(
                f"backbone.name={self.name} cannot take pictures of {size} pixels ({one_line(error)}): choose another "
                "network, or its own size with inference=stretched"
            ) from error
        return maps


def _made(name: str, pretrained: bool, weights: str | None) -> Any:
    remedy = "give a file with backbone.weights=<file>, or backbone.pretrained=false for random weights"
    make = partial(timm_network, name, "backbone.name", remedy, pretrained=pretrained, num_classes=0)
    net = make()
    if not _has_positions(net) and hasattr(net, "dynamic_img_size"):  # positions that rotate, of any size
        net = make(dynamic_img_size=True)
    if not hasattr(net, "forward_intermediates"):
        raise UserError(f"backbone.name={name} gives no maps of features: choose another network")
    if weights is not None:
        state, _ = read_named(weights, "backbone.weights", "give a file of weights")
        fill(net, state, f"backbone.weights={weights}")
    return net


def _has_positions(net: Any) -> bool:
    """Whether it is a plain ViT with a learned embedding of its one picture size."""
    from timm.models.vision_transformer import VisionTransformer

    plain = isinstance(net, VisionTransformer)
    return plain and getattr(net, "pos_embed", None) is not None and not net.dynamic_img_size


def _reduction(net: Any, layer: int, name: str) -> int:
    known = net.feature_info
    if not -len(known) <= layer < len(known):
        raise UserError(f"backbone.layers={layer}: {name} has {len(known)}, from 0 on, or from -1 backwards")
    return int(known[layer]["reduction"])


def _colours(net: Any, key: str) -> Colour:
    first, second, third = net.pretrained_cfg[key]
    return first, second, third
