"""The name under which records know a protocol of label propagation: "dino", or "dino, changed"."""

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vosbench.settings.protocols import protocol_settings

METHOD = {"matching": "${matching}", "stride": None, "fused": False}  # what every protocol says of the method
TOKENS = {"layers": [-1]}  # and of a transformer; the layer of other networks is part of the network
TRANSFORMERS = re.compile(r"vit|deit|beit|cait|eva|xcit")  # how timm's names of such networks begin
PRECISE = "32-true"


def named(name: str, *, _root_: DictConfig) -> str:
    """The protocol's name, if every key has the value that the protocol gives it. `_root_`: the composed configuration
    of the command."""
    values = OmegaConf.to_container(_root_, resolve=False)
    assert isinstance(values, dict)
    wanted = protocol_settings(name) | {"method": METHOD}
    same = all(_holds(values.get(node) or {}, part) for node, part in wanted.items())
    same &= values.get("precision", PRECISE) == PRECISE
    backbone = values.get("backbone") or {}
    same &= backbone.get("norm", True) is True
    if "file" in backbone or TRANSFORMERS.match(str(backbone.get("name"))):
        same &= _holds(backbone, TOKENS)
    return name if same else f"{name}, changed"


def _holds(values: Mapping[Any, Any], wanted: Mapping[str, Any]) -> bool:
    return all(key in values and values[key] == value for key, value in wanted.items())
