"""Networks of timm (Wightman 2019), which is imported only where one is made."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vosbench.util.errors import UserError, one_line
from vosbench.util.hub import quiet_hub
from vosbench.util.supervision import Supervision
from vosbench.util.wording import some

# Parts of the tags that timm gives to weights that learned without labels.
WITHOUT_LABELS = re.compile(r"(?!.*_ft_).*(dino|mae|lvd142m|lvd1689m|moco|ibot|msn|jepa|franca|webssl|data2vec)")
# Data of which parts of tags tell.
DATA = {
    **dict.fromkeys(("in1k", "dino", "mae", "moco"), "imagenet"),
    **{part: part for part in ("jft", "lvd142m", "lvd1689m")},
    "in12k": "imagenet-12k",
    "in21k": "imagenet-21k",
    "in22k": "imagenet-21k",
}


def timm_network(name: str, key: str, remedy: str, *, pretrained: bool, **how: Any) -> Any:
    """A network by its name, made as `how` says.

    pretrained  whether to use timm's weights, which are downloaded once
    key         the option that has the name, for messages
    remedy      what to do without weights

    Raises UserError for an unknown name, and if the network or its weights cannot be had.
    """
    import timm

    known, (architecture, _, tag) = timm.list_models(), name.partition(".")
    tagged = timm.list_pretrained(f"{architecture}.*") if architecture in known and tag else []
    if architecture not in known or (tag and name not in tagged):
        close = tagged or timm.list_models(f"*{architecture}*") or difflib.get_close_matches(architecture, known)
        hint = f"did you mean {' or '.join(close[:5])}?" if close else "timm.list_models() lists them"
        raise UserError(f"{key}={name}: timm has no network of this name; {hint}")
    try:
        with quiet_hub():
            return timm.create_model(name, pretrained=pretrained, **how)
    except Exception as error:  # timm and the hub's client raise what they like
        failed, remedy = ("with its weights ", remedy) if pretrained else ("", f"choose another network with {key}=")
        raise UserError(f"{key}={name}: timm could not make it {failed}({one_line(error)[:200]}): {remedy}") from error


def takes_any_size(net: Any) -> bool:
    """Whether a network works on pictures of other sizes than those that it learned from."""
    return not net.pretrained_cfg.get("fixed_input_size") or bool(getattr(net, "dynamic_img_size", False))


def origin_of_tag(tag: str) -> tuple[tuple[str, ...], Supervision]:
    """Training data and supervision of timm's weights, as far as their tag says: of other data, it stands for them."""
    data = dict.fromkeys(DATA[part] for part in tag.split("_") if part in DATA)
    return tuple(data) or (tag,), "self-supervised" if WITHOUT_LABELS.match(tag) else "supervised"


def fill(net: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Loads a network's weights; there may be more, such as those of a classifier. Raises UserError that begins with
    `source` for weights that are missing or have another shape."""
    own = net.state_dict()
    missing = sorted(own.keys() - state.keys())
    odd = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    for problem, keys in (("lacks", missing), ("has other shapes of", odd)):
        if keys:
            raise UserError(f"{source} {problem} {some(keys)}: give weights with timm's names for this network")
    net.load_state_dict({key: state[key] for key in own})
