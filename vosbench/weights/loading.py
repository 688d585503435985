"""Loading trained weights into a method: checkpoints of trainings, shipped or exported weights, or authors' files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vosbench.method import Method
from vosbench.nn.weight_files import read
from vosbench.runs.trainings import commands
from vosbench.util.errors import UserError
from vosbench.util.files import content_digest
from vosbench.util.reading import reading
from vosbench.weights.finding import find
from vosbench.weights.origin import Checkpoint, known_as, name_of


def restore(method: Method[Any, Any], checkpoint: str, seed: int) -> Checkpoint:
    """Loads `checkpoint` (none | file | run folder | shipped name | hf:<owner>/<repo>/<file>) into `method`.

    "none" keeps the initial weights, which `seed` determines. Raises UserError naming the file if it is missing or
    damaged, or if it was trained for another method, width or colour space; and as `find` does.
    """
    if checkpoint == "none":
        return Checkpoint("untrained", f"seed-{seed}", (), None, None)
    found = find(checkpoint)
    path = found.path
    state, metadata = read(path)
    trained = metadata.get("method")
    if trained is not None and known_as(trained) != name_of(method):
        raise UserError(
            f"checkpoint {path} was trained for {known_as(trained)}, not {name_of(method)}: choose the method it "
            "belongs to"
        )
    colours = metadata.get("colours", method.colours)
    if colours != method.colours:
        raise UserError(
            f"checkpoint {path} learned from {colours}, and the method is to see {method.colours}: choose the same "
            "options as in training (for mask embedding, correspondence=)"
        )
    _load(method, state if trained else method.adapt(state), path, metadata.get("training"))
    return Checkpoint(
        name=found.name,
        sha256=content_digest(path),
        training_data=tuple(metadata.get("training_data", ())),
        steps=metadata.get("steps"),
        supervision=metadata.get("supervision"),
        processes=tuple(metadata.get("processes") or ()),
        training=metadata.get("training"),
    )


def initialise(module: nn.Module, init: str) -> list[str]:
    """Loads `init` (file | run folder | shipped name | hf:…) to start training from, such as an earlier stage.

    Parts that the earlier stage did not have keep their initial weights; returns the names of these parts. Raises
    UserError naming the file if it is missing or damaged, or if its weights do not fit.
    """
    path = find(init, key="init").path
    state, metadata = read(path)
    if known_as(metadata.get("method")) != name_of(module) and isinstance(module, Method):
        state = module.adapt(state)
    return _load(module, state, path, metadata.get("training"), whole=False)


def _load(
    module: nn.Module, state: dict[str, Tensor], path: Path, training: Mapping[str, Any] | None, *, whole: bool = True
) -> list[str]:
    """`whole`: all weights must be present. Otherwise returns the names of the largest parts that have none."""
    own = module.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    misshaped = sorted(key for key in own.keys() & state.keys() if own[key].shape != getattr(state[key], "shape", None))
    parts = [] if whole else _absent(module, set(missing))
    lacking = [key for key in missing if not any(key.startswith(f"{part}.") for part in parts)]
    if len(missing) == len(own):
        lacking = missing
    trained = f" (by `{commands(training)[-1]}`)" if training else ""
    for problem, keys in (("lacks", lacking), ("has the unknown", unknown), ("has other shapes of", misshaped)):
        if keys:
            raise UserError(
                f"checkpoint {path} does not fit {type(module).__name__}: it {problem} {keys[0]}"
                f"{f' and {len(keys) - 1} more' if len(keys) > 1 else ''}; "
                f"choose the method and width it was trained with{trained}"
            )
    with reading(path, "checkpoint", "give a whole file, or remove it"):
        module.load_state_dict(state, strict=whole)
    return parts


def _absent(module: nn.Module, missing: set[str], place: str = "") -> list[str]:
    """The largest parts of a module that have none of their weights."""
    parts = []
    for name, child in module.named_children():
        inner = {f"{place}{name}.{key}" for key in child.state_dict()}
        if inner and inner <= missing:
            parts.append(f"{place}{name}")
        elif inner & missing:
            parts += _absent(child, missing, f"{place}{name}.")
    return parts
