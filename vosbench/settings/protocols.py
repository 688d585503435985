"""The named protocols of label propagation: the files of conf/propagation, with the defaults that they build on."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

from omegaconf import OmegaConf

from vosbench.util.errors import UserError, unknown


def protocol_settings(name: str) -> dict[str, dict[str, Any]]:
    """What a protocol says of `inference`, `memory` and `matching`. Raises UserError that lists all names."""
    known = [
        path.name.removesuffix(".yaml") for path in resources.files("vosbench.conf").joinpath("propagation").iterdir()
    ]
    if name not in known:
        raise UserError(unknown("propagation", name, known))
    own = _protocol(name)
    size = next(each["override /inference"] for each in own["defaults"])
    rules = _merged(_file("inference/_rules"), _file(f"inference/{size}"))
    return {
        "inference": _merged(rules, own["inference"]),
        "memory": _merged(_file("memory/_frames"), own["memory"]),
        "matching": own["matching"],
    }


def _protocol(name: str) -> dict[str, Any]:
    """A file of conf/propagation, with the other protocol that it changes, if it does."""
    own = _file(f"propagation/{name}")
    base = next((each for each in own["defaults"] if isinstance(each, str) and each != "_self_"), None)
    if base is None:
        return own
    whole = _protocol(base)
    return _plain(OmegaConf.merge(whole, own, {"defaults": whole["defaults"]}))


def _file(name: str) -> dict[str, Any]:
    return _plain(OmegaConf.create(resources.files("vosbench.conf").joinpath(f"{name}.yaml").read_text()))


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = _plain(OmegaConf.merge(first, second))
    return {key: value for key, value in merged.items() if key != "defaults"}


def _plain(config: Any) -> dict[str, Any]:
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
