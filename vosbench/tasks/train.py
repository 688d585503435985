"""`vosbench train`: one method on unlabelled or labelled clips, to checkpoints/{last,best}.ckpt; repeating it
resumes."""

import logging
import shutil
import subprocess
import warnings
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypedDict

import lightning as L
import torch
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.utilities import rank_zero_only

from vosbench.datasets.sampling import StepSampler
from vosbench.evaluation.protocols.protocol import Measure, Protocol
from vosbench.inference.memory import Memory
from vosbench.method import Method
from vosbench.nn.weight_files import read
from vosbench.runs.code import commit, sources
from vosbench.runs.identity import Fingerprint
from vosbench.runs.recipe import modules, settings
from vosbench.training.checkpointing import LastCheckpoint, WholeFiles
from vosbench.training.datamodule import ClipData, ClipOptions
from vosbench.training.module import Engine
from vosbench.util.errors import UsageError, UserError, one_line
from vosbench.util.files import content_digest
from vosbench.util.options import Content, Counted, Positive, Where
from vosbench.util.wording import some
from vosbench.weights.loading import initialise
from vosbench.weights.origin import find, name_of, of_training

log = logging.getLogger(__name__)
say = rank_zero_only(log.info)
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
NOISE = (  # of Lightning's warnings: its own use of torch, and what resuming does here on purpose
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"You're resuming from a checkpoint that ended before the epoch ended",
    r"Checkpoint directory .* exists and is not empty",
    r"The '.*_dataloader' does not have many workers",
    r"Found \d+ module\(s\) in eval mode at the start of training",
    r"The number of training batches .* is smaller than the logging interval",
)


class TrainerOptions(TypedDict, total=False):
    """Keys of conf/trainer/*.yaml: how many steps, and what changes the weights. Lightning has many others."""

    max_steps: Positive
    precision: Counted[str]
    gradient_clip_val: Counted[float | None]
    gradient_clip_algorithm: Counted[str | None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/train.yaml, which explains them."""

    run: Where[str]
    method: dict[str, Any]
    memory: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    callbacks: dict[str, Any]
    data: ClipOptions
    inference: dict[str, Any]
    trainer: Where[TrainerOptions]
    logger: Where[dict[str, Any] | None]
    init: Content[str]
    save_every: Where[Positive]
    seed: int
    overwrite: Where[bool]
    changed_code: Where[Literal["refuse", "keep"]]


def run(options: Options) -> None:
    """Trains to `trainer.max_steps`. Raises UserError when the run folder holds a training of another
    configuration."""
    for message in NOISE:
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    last, steps = Path(options.run, "checkpoints", "last.ckpt"), options.trainer["max_steps"]
    if steps < 1:
        raise UserError(f"trainer.max_steps={steps}: give the number of steps to train")
    data = ClipData(options.data, options.seed)
    stored = _stored(last, options)
    fingerprint = _fingerprint(options, data, stored)
    done = None if stored is None else _done(last, stored, fingerprint, options)
    if done is not None and done >= steps:
        log.info("already trained %d steps: nothing to do; checkpoint=%s", done, find(options.run))
        return
    if options.overwrite:
        _clear(Path(options.run))
    torch.manual_seed(options.seed)
    init = options.init if done is None else "none"
    engine = _engine(options, fingerprint, init, data.protocol)
    if init != "none":
        _initialise(engine, init)
    trainer = _trainer(options, last, data.protocol)
    StepSampler(0, steps, data.batch, 0, trainer.world_size)  # raises before other processes are started
    where = f"{trainer.world_size} × {trainer.strategy.root_device.type}"
    say("training from step %d to %d on %s", done or 0, steps, where)
    _fit(trainer, engine, data, None if done is None else last)
    say("trained %d steps; checkpoint=%s", trainer.global_step, find(options.run))


def _stored(last: Path, options: Options) -> dict[str, Any] | None:
    """What the run folder's checkpoint says of itself; None where there is none, or it is to be overwritten."""
    return read(last)[1] if last.is_file() and not options.overwrite else None


def _fingerprint(options: Options, data: ClipData, stored: dict[str, Any] | None) -> Fingerprint:
    """What the weights depend on. Those of `init` that are gone since training began are taken for what they were."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    code = sources(["vosbench.training.module", "vosbench.datasets.clips", *modules(values)])
    init = "none" if options.init == "none" else None
    try:
        init = init or content_digest(find(options.init, key="init"))
    except UserError:
        if stored is None:
            raise
        init = Fingerprint.read(stored.get("fingerprint")).weights
    return Fingerprint(code, settings(values, Options), data.fingerprint(), init)


def _done(last: Path, stored: dict[str, Any], fingerprint: Fingerprint, options: Options) -> int:
    """Steps that the run folder's checkpoint has behind it. Raises UserError where it is of another training."""
    made = Fingerprint.read(stored.get("fingerprint"))
    only_code = fingerprint.differs_only_in_code(made) or made == Fingerprint()
    if fingerprint != made and not (only_code and options.changed_code == "keep"):
        remedies = ["set name=<new name> to keep it", "overwrite=true to train anew"]
        remedies += ["changed_code=keep to go on all the same"] if only_code else []
        differences = "; ".join(fingerprint.differences(made))
        raise UserError(f"{last} was trained otherwise ({differences}): {', or '.join(remedies)}")
    return int(stored["steps"])


@rank_zero_only
def _clear(run: Path) -> None:
    """Removes what a training has left."""
    for folder in ("checkpoints", "labels"):
        shutil.rmtree(run / folder, ignore_errors=True)
    (run / "metrics.csv").unlink(missing_ok=True)


def _engine(options: Options, fingerprint: Fingerprint, init: str, protocol: Protocol | None) -> Engine:
    method = instantiate(options.method)
    names = [source["dataset"].get("name", name) for name, source in options.data["sources"].items()]
    origin = of_training(method, names, init)
    metadata = {
        "method": name_of(method),
        "colours": method.colours if isinstance(method, Method) else Method.colours,
        "fingerprint": fingerprint.asdict(),
        "commits": [commit()],
        "training_data": list(origin.learned_from),
        "supervision": origin.supervision,
    }
    memory: partial[Memory[Any]] = instantiate(options.memory, _partial_=True)
    optimizer, schedule = instantiate(options.optimizer), instantiate(options.schedule)
    inference = instantiate(options.inference)
    batch = options.data["batch_size"]
    return Engine(method, optimizer, schedule, batch, memory, inference, protocol, options.seed, metadata)


def _initialise(engine: Engine, init: str) -> None:
    new = initialise(engine.method, init)
    say("weights of %s%s", init, f"; initial ones of {some(new)}" if new else "")


def _callbacks(chosen: dict[str, Any]) -> list[L.Callback]:
    """Raises UserError for settings of a callback that was not chosen."""
    for name, callback in chosen.items():
        if callback and "_target_" not in callback:
            raise UserError(f"callbacks.{name}: there is none to set {some(sorted(callback))} of: leave these out")
    return [instantiate(callback) for callback in chosen.values() if callback]


def _trainer(options: Options, last: Path, protocol: Protocol | None) -> L.Trainer:
    """Raises UsageError for settings that Lightning does not have or that this machine cannot serve."""
    settings: dict[str, Any] = {
        "default_root_dir": options.run,
        "callbacks": [
            _Bar(),
            *_callbacks(options.callbacks),
            *([] if protocol is None else [_best(last.parent, protocol.monitored)]),
            LastCheckpoint(last, options.save_every),
        ],
        "plugins": [WholeFiles()],
        "logger": instantiate(options.logger) if options.logger else False,
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,  # StepSampler shares clips out itself
        "enable_model_summary": False,
    }
    if protocol is None:
        settings["limit_val_batches"] = 0
    try:
        trainer = L.Trainer(**{**settings, **options.trainer})
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UsageError(f"trainer: {one_line(error)}") from error
    if trainer.precision not in PRECISIONS:
        raise UsageError(f"trainer.precision={trainer.precision}: choose from {', '.join(PRECISIONS)}")
    if trainer.accumulate_grad_batches != 1:
        raise UsageError(
            "trainer.accumulate_grad_batches: leave it out; data.batch_size is one step's, of all processes"
        )
    return trainer


def _best(folder: Path, measure: Measure) -> ModelCheckpoint:
    """Keeps the weights with the best score of this measure."""
    mode = "min" if measure.falling else "max"
    return ModelCheckpoint(folder, "best", monitor=f"val/{measure.label}", mode=mode, enable_version_counter=False)


def _fit(trainer: L.Trainer, engine: Engine, data: "ClipData", resume: Path | None) -> None:
    """Ends as every verb does: an interrupt is a KeyboardInterrupt, and a worker's error is its message."""
    try:
        trainer.fit(engine, datamodule=data, ckpt_path=resume, weights_only=False)
    except SystemExit as end:  # what Lightning makes of an interrupt and of SIGTERM
        raise KeyboardInterrupt from end
    except UserError as error:  # from a DataLoader's worker it comes with its traceback as text
        raise UserError(str(error).rpartition("UserError: ")[2]) from error
    finally:
        # The other processes may wait for this one for ever. They get time to say what is wrong.
        for process in getattr(trainer.strategy.launcher, "procs", []):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


class _Bar(RichProgressBar):
    """Lightning's progress bar, counting the steps of the whole training: there is but one epoch."""

    @property
    def total_train_batches(self) -> int:
        return self.trainer.max_steps

    def _get_train_description(self, current_epoch: int) -> str:
        return "train"
