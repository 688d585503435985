"""Loading trained weights into a method: from training's checkpoints, shipped or exported weights, or the authors'
files."""

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vosbench.method import Method


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
    damaged, or of another method or width.
    """
    if checkpoint == "none":
        return Checkpoint("untrained", f"seed-{seed}", (), None)
    path = find(checkpoint)
    state, metadata = read(path)
    trained = metadata.get("method")
    own = f"{type(method).__module__}.{type(method).__qualname__}"
    if trained not in (None, own):
        raise ValueError(f"checkpoint {path} was trained for {trained}, not {own}: choose the method it belongs to")
    _load(method, state if trained else method.adapt(state), path)
    name = checkpoint if path == _shipped(checkpoint) else path.name
    data = tuple(metadata.get("training_data", ()))
    return Checkpoint(name, hashlib.sha256(path.read_bytes()).hexdigest(), data, metadata.get("steps"))


def find(checkpoint: str) -> Path:
    """The file that `checkpoint` (a file, a run folder or a shipped name) means."""
    path = Path(checkpoint)
    candidates = [path / "checkpoints" / "best.ckpt", path / "checkpoints" / "last.ckpt", path, _shipped(checkpoint)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    shipped = sorted(file.stem for file in _shipped("").parent.glob("*.safetensors"))
    raise ValueError(
        f"checkpoint={checkpoint} is no file, no run folder with checkpoints/, and no shipped name "
        f"({', '.join(shipped) or 'none ship yet'}); checkpoint=none is untrained"
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


def _load(method: Method[Any, Any], state: dict[str, Tensor], path: Path) -> None:
    own = method.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    misshaped = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    for problem, keys in (("lacks", missing), ("has the unknown", unknown), ("has other shapes of", misshaped)):
        if keys:
            raise ValueError(
                f"checkpoint {path} does not fit {type(method).__name__}: it {problem} {keys[0]}"
                f"{f' and {len(keys) - 1} more' if len(keys) > 1 else ''}; "
                "choose the method and width it was trained with"
            )
    method.load_state_dict(state)
