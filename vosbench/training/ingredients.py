"""What a training is made of: its options, and the engine, callbacks and fingerprint that they stand for."""

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

import lightning as L

from vosbench.evaluation.protocols.protocol import Protocol
from vosbench.inference.heat_maps import without_joints
from vosbench.inference.late_objects import without_starts
from vosbench.method import Method
from vosbench.nn.weight_files import read
from vosbench.runs.code import commit, sources
from vosbench.runs.identity import Fingerprint, digest
from vosbench.runs.trainings import commands, total_hours
from vosbench.settings.making import factory, made
from vosbench.settings.options import Content, FileName, Keywords, Positive, Seed, Where
from vosbench.settings.recipe import modules, settings, target
from vosbench.training.datamodule import ClipData, ClipOptions
from vosbench.training.loggers import LoggerOptions
from vosbench.training.module import Engine
from vosbench.training.trainer import GIVEN, TrainerOptions, make_optimizer
from vosbench.util.errors import UsageError, UserError
from vosbench.util.files import content_digest
from vosbench.util.wording import some
from vosbench.weights.finding import find
from vosbench.weights.origin import name_of, of_training


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/train.yaml, which explains them."""

    run: Where[FileName]
    method: dict[str, Any]
    memory: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    callbacks: dict[str, Any]
    data: ClipOptions
    inference: dict[str, Any]
    trainer: Where[Annotated[TrainerOptions, Keywords(L.Trainer, given=GIVEN)]]
    logger: Where[LoggerOptions | None]
    init: Content[FileName]
    save_every: Where[Positive]
    seed: Seed
    overwrite: Where[bool]
    changed_code: Where[Literal["refuse", "keep"]]
    overrides: Where[list[str]] = field(default_factory=list)
    plan: Where[bool] = False

    def __post_init__(self) -> None:
        """Raises UsageError for a method with nothing to train, which its class says."""
        if getattr(target(self.method.get("_target_")), "supervision", None) == "none":
            raise UsageError("this method has nothing to train: choose another, such as method=mamp")


def engine(options: Options, fingerprint: Fingerprint, init: str, protocol: Protocol | None) -> Engine:
    """The method with what trains and validates it. `init`: the weights that it will start from."""
    method = made(options.method, "method")
    names = [source["dataset"].get("name", name) for name, source in options.data["sources"].items()]
    origin = of_training(method, names, init)
    metadata = {
        "method": name_of(method),
        "colours": method.colours if isinstance(method, Method) else Method.colours,
        "fingerprint": fingerprint.asdict(),
        "commits": [commit()],
        "training_data": list(origin.learned_from),
        "supervision": origin.supervision,
        "training": {"seed": options.seed, "overrides": options.overrides, **_recipe_and_past(fingerprint, init)},
    }
    return Engine(
        method,
        make_optimizer(options.optimizer, method),
        made(options.schedule, "schedule"),
        options.data["batch_size"],
        factory(options.memory, "memory"),
        made(options.inference, "inference"),
        protocol,
        options.seed,
        metadata,
    )


def _recipe_and_past(fingerprint: Fingerprint, init: str) -> dict[str, Any]:
    """A digest of the recipe that trainings share if nothing but their seeds differ, in all stages; and the commands
    and hours of the stages before, None if these are unknown."""
    recipe = {key: value for key, value in fingerprint.recipe.items() if key != "seed"}
    earlier = {} if init == "none" else read(find(init, key="init").path)[1].get("training") or {}
    started = earlier.get("recipe", fingerprint.weights) if init != "none" else "none"
    hours = total_hours(earlier) if init != "none" else 0.0
    made = digest([recipe, fingerprint.code, fingerprint.data, started])
    return {"recipe": made, "earlier": commands(earlier) if earlier else [], "earlier_hours": hours}


def callbacks(chosen: dict[str, Any]) -> list[L.Callback]:
    """The callbacks of a recipe. Raises UserError for settings of a callback that is not configured."""
    for name, callback in chosen.items():
        if callback and "_target_" not in callback:
            raise UserError(f"callbacks.{name}: there is none to set {some(sorted(callback))} of: leave these out")
    return [made(callback, f"callbacks.{name}") for name, callback in chosen.items() if callback]


def fingerprint(options: Options, data: ClipData, stored: dict[str, Any] | None) -> Fingerprint:
    """The fingerprint of the weights. If the file of `init` is gone since training began, its stored digest counts."""
    values = {field.name: getattr(options, field.name) for field in fields(options) if field.name != "init"}
    code = sources(["vosbench.training.module", "vosbench.datasets.clips", *modules(values)])
    init = "none" if options.init == "none" else None
    try:
        init = init or content_digest(find(options.init, key="init").path)
    except UserError:
        if stored is None:
            raise
        init = Fingerprint.read(stored.get("fingerprint")).weights
    return Fingerprint(code, without_starts(without_joints(settings(values, Options))), data.fingerprint(), init)
