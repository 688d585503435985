"""The name under which records know a protocol of label propagation: "dino", or "dino, changed"."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

from omegaconf import DictConfig, OmegaConf

PLAIN = {"layers": [-1], "norm": True}  # what protocols say of a backbone that has layers to choose


def named(name: str, *, _root_: DictConfig) -> str:
    """The protocol's name, if every key has the value that the protocol gives it. `_root_`: the composed configuration
    of the command."""
    values = _plain(_root_)
    own = _file(f"propagation/{name}")
    size = next(each["override /inference"] for each in own["defaults"])
    wanted = {
        "inference": _merged(_merged(_file("inference/_rules"), _file(f"inference/{size}")), own["inference"]),
        "memory": _merged(_file("memory/_frames"), own["memory"]),
        "matching": own["matching"],
        "method": {"matching": "${matching}", "stride": None},
        "backbone": PLAIN,
    }
    same = all(_holds(values.get(node) or {}, part, whole=node != "backbone") for node, part in wanted.items())
    return name if same else f"{name}, changed"


def _holds(values: Mapping[str, Any], wanted: Mapping[str, Any], *, whole: bool) -> bool:
    """Whether the values are those that are wanted. `whole`: keys that are missing count, too."""
    return all(values.get(key) == value if key in values else not whole for key, value in wanted.items())


def _file(name: str) -> dict[str, Any]:
    """A config of this package."""
    place = resources.files("vosbench.conf").joinpath(f"{name}.yaml")
    return _plain(OmegaConf.create(place.read_text()))


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = _plain(OmegaConf.merge(first, second))
    return {key: value for key, value in merged.items() if key != "defaults"}


def _plain(config: Any) -> dict[str, Any]:
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
