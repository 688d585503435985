"""Loading trained weights into a method: from training's checkpoints, shipped or exported weights, or the authors'
files."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from hydra.utils import get_class
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from vosbench.method import Method

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


def restore(method: Method[Any, Any], checkpoint: str, seed: int) -> Checkpoint:
    """Loads `checkpoint` (none | file | run folder | shipped name) into `method`.

    "none" keeps the initial weights, which `seed` determines. Raises ValueError naming the file when it is missing,
    damaged, or of another method, width or colour space.
    """
    if checkpoint == "none":
        return Checkpoint("untrained", f"seed-{seed}", (), None)
    path = find(checkpoint)
    state, metadata = read(path)
    trained = metadata.get("method")
    if trained is not None and known_as(trained) != name_of(method):
        raise ValueError(
            f"checkpoint {path} was trained for {known_as(trained)}, not {name_of(method)}: choose the method it "
            "belongs to"
        )
    colours = metadata.get("colours", method.colours)
    if colours != method.colours:
        raise ValueError(
            f"checkpoint {path} learned from {colours}, and the method is to see {method.colours}: choose the same "
            "options as in training (for mask embedding, correspondence=)"
        )
    _load(method, state if trained else method.adapt(state), path)
    name = checkpoint if path == _shipped(checkpoint) else path.name
    data = tuple(metadata.get("training_data", ()))
    return Checkpoint(name, hashlib.sha256(path.read_bytes()).hexdigest(), data, metadata.get("steps"))


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


def initialise(module: nn.Module, init: str) -> list[str]:
    """Starts training from the weights of `init` (file | run folder | shipped name), maybe of an earlier stage.

    What the earlier stage did not have keeps its initial weights; returns the names of these parts. Raises ValueError
    naming the file when it is missing or damaged, or has weights that do not fit.
    """
    path = find(init, key="init")
    state, metadata = read(path)
    if known_as(metadata.get("method")) != name_of(module) and isinstance(module, Method):
        state = module.adapt(state)
    return _load(module, state, path, whole=False)


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
    candidates = [path / "checkpoints" / "best.ckpt", path / "checkpoints" / "last.ckpt", path, _shipped(checkpoint)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    shipped = sorted(file.stem for file in _shipped("").parent.glob("*.safetensors"))
    raise ValueError(
        f"{key}={checkpoint} is no file, no run folder with checkpoints/, and no shipped name "
        f"({', '.join(shipped) or 'none ship yet'}); {key}=none is untrained"
    )


def _shipped(name: str) -> Path:
    return Path(str(resources.files("vosbench"))) / "weights" / f"{name}.safetensors"


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights, and vosbench's own metadata (empty for foreign files). Raises ValueError naming an unreadable file."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                metadata = json.loads((file.metadata() or {}).get("vosbench", "{}"))
                return {key: file.get_tensor(key).float() for key in file.keys()}, metadata  # noqa: SIM118
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, EOFError, KeyError, ValueError, UnpicklingError) as error:
        raise ValueError(
            f"cannot read checkpoint {path}: {str(error).splitlines()[0]}; give a whole file, or remove it"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"checkpoint {path} holds a {type(content).__name__}, no weights by name: give another file")
    state = content.get("state_dict", content)
    metadata = content.get("vosbench", {})
    if metadata:
        state = {key.removeprefix("method."): value for key, value in state.items()}
        metadata = {**metadata, "steps": content.get("global_step")}
    return state, metadata


def _load(module: nn.Module, state: dict[str, Tensor], path: Path, *, whole: bool = True) -> list[str]:
    """`whole`: all weights must be there; else returns the names of the largest parts without any."""
    own = module.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    misshaped = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    parts = [] if whole else _absent(module, set(missing))
    lacking = [key for key in missing if not any(key.startswith(f"{part}.") for part in parts)]
    if len(missing) == len(own):
        lacking = missing
    for problem, keys in (("lacks", lacking), ("has the unknown", unknown), ("has other shapes of", misshaped)):
        if keys:
            raise ValueError(
                f"checkpoint {path} does not fit {type(module).__name__}: it {problem} {keys[0]}"
                f"{f' and {len(keys) - 1} more' if len(keys) > 1 else ''}; "
                "choose the method and width it was trained with"
            )
    module.load_state_dict(state, strict=whole)
    return parts


def _absent(module: nn.Module, missing: set[str], place: str = "") -> list[str]:
    """The largest parts of a module of which all weights are missing."""
    parts = []
    for name, child in module.named_children():
        inner = {f"{place}{name}.{key}" for key in child.state_dict()}
        if inner and inner <= missing:
            parts.append(f"{place}{name}")
        elif inner & missing:
            parts += _absent(child, missing, f"{place}{name}.")
    return parts
