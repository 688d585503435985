"""Where weights come from: their file, the method they were trained for, and the data they learned from."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from hydra.utils import get_class
from torch import nn

from vosbench.method import Method
from vosbench.nn.weight_files import read
from vosbench.util.errors import UserError

# What weights of before methods had names say they were trained for.
NAMES = {
    "vosbench.methods.mamp.method.MAMP": "mamp",
    "vosbench.methods.mask_embedding.dino.Dino": "dino",
    "vosbench.methods.mask_embedding.method.MaskEmbedding": "mask_embedding",
    "vosbench.methods.munet.method.MUNet": "munet",
}


@dataclass(frozen=True)
class Checkpoint:
    """What a method's weights are. `name` is "untrained", or a shipped name, or a file's name; `sha256` is of the
    file."""

    name: str
    sha256: str
    training_data: tuple[str, ...]
    steps: int | None


def facts(method: Method[Any, Any], recipe: Mapping[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """What result records say of a method, made by `recipe`, and of its weights: their fields of these names."""
    untrained = checkpoint.name == "untrained"
    data = pretrained(recipe) if untrained else checkpoint.training_data
    weights = "untrained" if untrained else {"name": checkpoint.name, "sha256": checkpoint.sha256}
    return {
        "supervision": method.supervision,
        "training_data": " + ".join(data) or None,
        "checkpoint": None if method.supervision == "none" else weights,  # there is nothing to train
    }


def learned_from(init: str) -> list[str]:
    """The training data behind the weights of `init`: of a file that does not say, its name."""
    path = find(init, key="init")
    _, metadata = read(path)
    return list(metadata.get("training_data", [path.name]))


def pretrained(method: Mapping[str, Any]) -> list[str]:
    """The training data behind `weights`, which the recipe of a method may start its networks from: the name of what
    is downloaded (imagenet), or of the file."""
    weights = method.get("weights")
    return [] if weights is None else [Path(weights).name]


def name_of(module: nn.Module) -> str:
    """The name of what was trained: its own (`mamp`), or of a class without one the place it is imported from."""
    return _name_of(type(module))


def known_as(trained: str | None) -> str | None:
    """The name of what weights were trained for. Older ones say where its class was imported from, by any way to it."""
    if trained is None or "." not in trained:
        return trained
    if trained in NAMES:
        return NAMES[trained]
    try:
        return _name_of(get_class(trained))
    except (ImportError, ValueError):  # it is gone, so these are weights of something else
        return trained


def _name_of(cls: type) -> str:
    name = getattr(cls, "name", None)
    return name if isinstance(name, str) else f"{cls.__module__}.{cls.__qualname__}"


def find(checkpoint: str, key: str = "checkpoint") -> Path:
    """The file that `checkpoint` (a file, a run folder or a shipped name) means; `key`: what gives it."""
    path = Path(checkpoint)
    candidates = [
        path / "checkpoints" / "best.ckpt",
        path / "checkpoints" / "last.ckpt",
        path,
        shipped(checkpoint),
    ]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    names = sorted(file.stem for file in shipped("").parent.glob("*.safetensors"))
    raise UserError(
        f"{key}={checkpoint} is no file, no run folder with checkpoints/, and no shipped name "
        f"({', '.join(names) or 'none ship yet'}); {key}=none is untrained"
    )


def shipped(name: str) -> Path:
    return Path(str(resources.files("vosbench"))) / "weights" / f"{name}.safetensors"
