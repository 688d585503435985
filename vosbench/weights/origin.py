"""Where weights come from: their file, the method they were trained for, and the data they learned from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra.utils import get_class
from torch import nn

from vosbench.method import Method
from vosbench.nn.weight_files import read
from vosbench.util.errors import UserError
from vosbench.util.supervision import Learned, Supervision, strongest
from vosbench.util.wording import some
from vosbench.weights.finding import find

# What old weights, from before methods had names, say they were trained for → the method's name.
NAMES = {
    "vosbench.methods.mamp.method.MAMP": "mamp",
    "vosbench.methods.mask_embedding.dino.Dino": "dino",
    "vosbench.methods.mask_embedding.method.MaskEmbedding": "mask_embedding",
    "vosbench.methods.munet.method.MUNet": "munet",
}


@dataclass(frozen=True)
class Checkpoint:
    """Identifies a method's weights. `name` is "untrained", or that of `weights.finding.Found`. `sha256` is the file's.
    `supervision` is None if the file does not say. `processes`: how many trained it at once, one number or several.
    `training`: as in records, if the file says."""

    name: str
    sha256: str
    training_data: tuple[str, ...]
    steps: int | None
    supervision: Supervision | None
    processes: tuple[int, ...] = ()
    training: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Origin:
    """The data that weights learned from, earlier stages first, and the strongest supervision."""

    learned_from: tuple[str, ...]
    supervision: Supervision


def combined(*origins: Learned) -> Origin:
    """The training data of all of these, each named once and in order, and the strongest supervision."""
    data = dict.fromkeys(name for origin in origins for name in origin.learned_from)
    return Origin(tuple(data), strongest(*(origin.supervision for origin in origins)))


def of_weights(method: Method[Any, Any], checkpoint: Checkpoint) -> Origin:
    """The origin of a method's weights: the checkpoint's, or that of the initial ones."""
    if checkpoint.name == "untrained":
        return started_from(method)
    return Origin(checkpoint.training_data, checkpoint.supervision or method.supervision)


def facts(method: Method[Any, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """The fields of a result record that describe a method and its weights."""
    untrained, weights = checkpoint.name == "untrained", of_weights(method, checkpoint)
    all_of_it = combined(weights, Origin((), method.supervision), *map(_checked, method.helpers))
    found = "untrained" if untrained else {"name": checkpoint.name, "sha256": checkpoint.sha256}
    if isinstance(found, dict) and max(checkpoint.processes, default=1) > 1:
        found["processes"] = some(checkpoint.processes)
    return {
        "algorithm": name_of(method),
        "supervision": all_of_it.supervision,
        "training_data": " + ".join(all_of_it.learned_from) or None,
        "checkpoint": found if has_weights(method) else None,
        "training": None if checkpoint.training is None else dict(checkpoint.training),
    }


def has_weights(method: Method[Any, Any]) -> bool:
    """Whether the method has anything to train."""
    return method.supervision != "none"


def started_from(module: nn.Module) -> Origin:
    """The origin of the initial weights of a network's parts."""
    parts = (part for part in module.modules() if hasattr(part, "learned_from"))
    return combined(*(_checked(part) for part in parts))


def of_training(module: nn.Module, sources: Iterable[str], init: str) -> Origin:
    """The origin of weights that start from `init` (none | file | run folder | shipped name | hf:…) and are trained
    on `sources`. A module without `supervision` counts as supervised."""
    own = Origin(tuple(sources), getattr(module, "supervision", "supervised"))
    earlier = [] if init == "none" else [_of_file(find(init, key="init").path)]
    return combined(*earlier, started_from(module), own)


def _of_file(path: Path) -> Origin:
    """The origin of a file's weights. If the file does not say, its name stands for its training data."""
    _, metadata = read(path)
    return Origin(tuple(metadata.get("training_data", [path.name])), metadata.get("supervision", "none"))


def _checked(part: Any) -> Learned:
    """Raises UserError for a flow estimator or a part of a network that does not declare its origin."""
    if hasattr(part, "learned_from") and hasattr(part, "supervision"):
        return cast(Learned, part)
    raise UserError(
        f"{type(part).__name__} does not say what it learned from: give it the attributes learned_from (names, maybe "
        "none) and supervision (none, self-supervised, flow-supervised or supervised)"
    )


def name_of(module: nn.Module) -> str:
    """The name of what was trained: its own (`mamp`), or the import path of a class without a name."""
    return _name_of(type(module))


def known_as(trained: str | None) -> str | None:
    """The name of what weights were trained for. Older weights say an import path of its class, maybe a re-exported
    one."""
    if trained is None or "." not in trained:
        return trained
    if trained in NAMES:
        return NAMES[trained]
    try:
        return _name_of(get_class(trained))
    except (ImportError, ValueError):  # it no longer exists, so these weights are for something else
        return trained


def _name_of(cls: type) -> str:
    name = getattr(cls, "name", None)
    return name if isinstance(name, str) else f"{cls.__module__}.{cls.__qualname__}"
