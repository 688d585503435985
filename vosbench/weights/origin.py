"""Where weights come from: their file, the method they were trained for, and the data they learned from."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

from hydra.utils import get_class
from torch import nn

from vosbench.inference.resizing import Resizing
from vosbench.method import Method
from vosbench.nn.weight_files import read
from vosbench.util.errors import UserError
from vosbench.util.supervision import Learned, Supervision, strongest

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
    file; `supervision` is None where the file does not say."""

    name: str
    sha256: str
    training_data: tuple[str, ...]
    steps: int | None
    supervision: Supervision | None


@dataclass(frozen=True)
class Origin:
    """What weights learned from, that of earlier stages first, and how."""

    learned_from: tuple[str, ...]
    supervision: Supervision


def combined(*origins: Learned) -> Origin:
    """What all of these learned from, each named once in the order given, and the strongest supervision."""
    data = dict.fromkeys(name for origin in origins for name in origin.learned_from)
    return Origin(tuple(data), strongest(*(origin.supervision for origin in origins)))


def facts(method: Method[Any, Any], inference: Resizing, checkpoint: Checkpoint) -> dict[str, Any]:
    """What result records say of a method and of its weights: their fields of these names."""
    untrained = checkpoint.name == "untrained"
    if untrained:
        weights = started_from(method)
    else:
        weights = Origin(checkpoint.training_data, checkpoint.supervision or method.supervision)
    all_of_it = combined(weights, Origin((), method.supervision), *map(_checked, method.helpers))
    found = "untrained" if untrained else {"name": checkpoint.name, "sha256": checkpoint.sha256}
    return {
        "algorithm": name_of(method),
        "supervision": all_of_it.supervision,
        "training_data": " + ".join(all_of_it.learned_from) or None,
        "checkpoint": found if has_weights(method) else None,
        "inference": inference.described(),
    }


def has_weights(method: Method[Any, Any]) -> bool:
    """Whether there is anything to train."""
    return method.supervision != "none"


def started_from(module: nn.Module) -> Origin:
    """What the weights learned from that the parts of a network begin with."""
    parts = (part for part in module.modules() if hasattr(part, "learned_from"))
    return combined(*(_checked(part) for part in parts))


def of_training(module: nn.Module, sources: Iterable[str], init: str) -> Origin:
    """What weights will have learned from that begin as `init` (none | file | run folder | shipped name) and learn from
    `sources`. A module that does not say how it learns counts as supervised."""
    own = Origin(tuple(sources), getattr(module, "supervision", "supervised"))
    earlier = [] if init == "none" else [_of_file(find(init, key="init"))]
    return combined(*earlier, started_from(module), own)


def _of_file(path: Path) -> Origin:
    """Of a file that does not say: its name, and nothing but what the method itself needs."""
    _, metadata = read(path)
    return Origin(tuple(metadata.get("training_data", [path.name])), metadata.get("supervision", "none"))


def _checked(part: Any) -> Learned:
    """Raises UserError for a flow estimator, or a part of a network, that does not say what it learned from."""
    if hasattr(part, "learned_from") and hasattr(part, "supervision"):
        return cast(Learned, part)
    raise UserError(
        f"{type(part).__name__} does not say what it learned from: give it the attributes learned_from (names, maybe "
        "none) and supervision (none, self-supervised, flow-supervised or supervised)"
    )


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
