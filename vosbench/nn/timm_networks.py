"""Networks of timm (Wightman 2019), which is imported only where one is made."""

import difflib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from vosbench.util.errors import UserError, one_line
from vosbench.util.hub import quiet_hub
from vosbench.util.wording import some


def timm_module(key: str = "backbone") -> ModuleType:
    """timm. Raises UserError that begins with `key` if it is not installed."""
    try:
        import timm
        import timm.models.vision_transformer
    except ImportError as error:
        raise UserError(f"{key} needs timm ({one_line(error)}): pip install 'vosbench[features]'") from error
    module: ModuleType = timm
    return module


def timm_network(name: str, key: str, remedy: str, *, pretrained: bool, **how: Any) -> Any:
    """A network by its name, made as `how` says.

    pretrained  whether to use timm's weights, which are downloaded once
    key         the option that has the name, for messages
    remedy      what to do without weights

    Raises UserError for an unknown name, and if the network or its weights cannot be had.
    """
    timm = timm_module(key)
    known, architecture = timm.list_models(), name.partition(".")[0]
    if architecture not in known:
        close = timm.list_models(f"*{architecture}*")[:5] or difflib.get_close_matches(architecture, known)
        hint = f"did you mean {' or '.join(close)}?" if close else "timm.list_models() lists them"
        raise UserError(f"{key}={name}: timm has no network of this name; {hint}")
    try:
        with quiet_hub():
            return timm.create_model(name, pretrained=pretrained, **how)
    except Exception as error:  # timm and the hub's client raise what they like
        reason = one_line(error)[:200]
        raise UserError(f"{key}={name}: timm could not make it with its weights ({reason}): {remedy}") from error


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
