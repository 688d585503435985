"""Any network of timm (Wightman 2019) that gives maps of features."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vosbench.contract import Padding
from vosbench.methods.features.backbone import Colour
from vosbench.methods.features.backbones.vit import Vit, joined
from vosbench.nn.weight_files import read
from vosbench.settings.options import Content
from vosbench.util.errors import UserError, one_line
from vosbench.util.supervision import Supervision
from vosbench.util.wording import some

# Parts of the tags that timm gives to weights that learned without labels.
WITHOUT_LABELS = re.compile(r"dino|mae|lvd142m|lvd1689m|moco|ijepa|beit_in22k$|franca")
UNKNOWN = "timm has no network"


class TimmModel(nn.Module):
    """A network of timm, in its own words `<architecture>.<tag of the weights>`.

    name          as timm calls it
    pretrained    whether to use timm's weights, which are downloaded once; false: random ones
    weights       a file of weights instead, with timm's names
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
        tag = name.partition(".")[2]
        random = not pretrained and weights is None
        self.learned_from = tuple(learned_from) or (() if random else (tag or weights or name,))
        by_tag: Supervision = "self-supervised" if WITHOUT_LABELS.search(tag) else "supervised"
        self.supervision: Supervision = supervision or ("none" if random else by_tag)
        self.mean, self.std = _colours(net, "mean"), _colours(net, "std")
        self.layers, self.norm = list(layers), norm
        self.stride = min(_reduction(net, layer, name) for layer in layers)
        self.net: Any = Vit(net, layers, norm) if _has_positions(net) else net

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        if isinstance(self.net, Vit):
            maps: Tensor = self.net(images)
            return maps
        return joined(
            self.net.forward_intermediates(images, indices=self.layers, norm=self.norm, intermediates_only=True)
        )


def timm_module() -> ModuleType:
    """timm. Raises UserError if it is not installed."""
    try:
        import timm
        import timm.models.vision_transformer
    except ImportError as error:
        raise UserError(f"backbone needs timm ({one_line(error)}): pip install 'vosbench[features]'") from error
    module: ModuleType = timm
    return module


def _made(name: str, pretrained: bool, weights: str | None) -> Any:
    timm = timm_module()
    if name.partition(".")[0] not in timm.list_models():
        close = timm.list_models(f"*{name.partition('.')[0]}*")[:5]
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise UserError(f"backbone.name={name}: {UNKNOWN} of this name{hint}")
    how = {"pretrained": pretrained, "num_classes": 0}
    try:
        net = timm.create_model(name, **how)
        if not _has_positions(net) and hasattr(net, "dynamic_img_size"):  # positions that rotate, of any size
            net = timm.create_model(name, dynamic_img_size=True, **how)
    except Exception as error:  # timm and the hub's client raise what they like
        raise UserError(
            f"backbone.name={name}: timm could not make it with its weights ({one_line(error)[:200]}): give a file "
            "with backbone.weights=<file>, or backbone.pretrained=false for random weights"
        ) from error
    if not hasattr(net, "forward_intermediates"):
        raise UserError(f"backbone.name={name} gives no maps of features: choose another network")
    if weights is not None:
        _load(net, Path(weights), name)
    return net


def _load(net: Any, file: Path, name: str) -> None:
    """Loads the network's weights; a file may have more, such as those of a classifier."""
    state, own = read(file)[0], net.state_dict()
    unfit = sorted(key for key, value in own.items() if key not in state or state[key].shape != value.shape)
    if unfit:
        raise UserError(f"backbone.weights={file} does not fit {name} in {some(unfit)}: give weights with timm's names")
    net.load_state_dict({key: state[key] for key in own})


def _has_positions(net: Any) -> bool:
    """Whether it is a plain ViT with a learned embedding of its one picture size."""
    plain = isinstance(net, timm_module().models.vision_transformer.VisionTransformer)
    return plain and getattr(net, "pos_embed", None) is not None and not net.dynamic_img_size


def _reduction(net: Any, layer: int, name: str) -> int:
    known = net.feature_info
    if not -len(known) <= layer < len(known):
        raise UserError(f"backbone.layers={layer}: {name} has {len(known)}, from 0 on, or from -1 backwards")
    return int(known[layer]["reduction"])


def _colours(net: Any, key: str) -> Colour:
    first, second, third = net.pretrained_cfg[key]
    return first, second, third
