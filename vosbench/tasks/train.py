"""`vosbench train`: trains one method on clips of video, with or without labels, and writes
checkpoints/{last,best}.ckpt. Repeating the command resumes it."""

import logging
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only

from vosbench.datasets.sampling import StepSampler
from vosbench.nn.weight_files import read
from vosbench.runs.claims import Claim
from vosbench.runs.code import commit
from vosbench.runs.identity import Fingerprint
from vosbench.training import ingredients
from vosbench.training.checkpointing import Fresh, LastCheckpoint
from vosbench.training.datamodule import ClipData
from vosbench.training.ingredients import Options
from vosbench.training.loggers import Loggers
from vosbench.training.module import Engine
from vosbench.training.plan import plan
from vosbench.training.progress import Progress
from vosbench.training.trainer import TrainerOptions, make_trainer
from vosbench.util.errors import UserError
from vosbench.util.progress import tell
from vosbench.util.wording import some
from vosbench.weights.finding import find
from vosbench.weights.loading import initialise

log = logging.getLogger(__name__)
say = rank_zero_only(log.info)
NOISE = (  # Lightning's warnings about its own use of torch, and about what resuming does here on purpose
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"You're resuming from a checkpoint that ended before the epoch ended",
    r"Checkpoint directory .* exists and is not empty",
    r"The '.*_dataloader' does not have many workers",
    r"Found \d+ module\(s\) in eval mode at the start of training",
    r"The number of training batches .* is smaller than the logging interval",
    r"The `srun` command is available on your system but is not used",
    r"MLFlow only allows",
)


def run(options: Options) -> None:
    """Trains up to step `trainer.max_steps`. Raises UserError if the run folder holds another training, or if another
    process trains there."""
    for message in NOISE:
        warnings.filterwarnings("ignore", message)
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    if options.plan:
        _plan(options)
        return
    with _claimed(Path(options.run)):
        _train(options)


@contextmanager
def _claimed(run: Path) -> Iterator[None]:
    """Keeps other trainings out of the run folder. The first of a training's processes does so for all of them."""
    if getattr(rank_zero_only, "rank", 0):
        yield
        return
    claim = Claim(run / "training.lock")
    with claim as mine:
        if not mine:
            remedy = "repeat the command when it is done, or set name=<new name>"
            raise UserError(f"{claim.holder()} trains in {run} and holds {claim.path}: {remedy}")
        yield


def _plan(options: Options) -> None:
    """Says what the training will take. Neither the run folder nor the data's fingerprint is touched."""
    data = ClipData(options.data, options.seed)
    last = Path(options.run, "checkpoints", "last.ckpt")
    stored = _stored(last, options)
    torch.manual_seed(options.seed)
    # Initial weights take neither time nor memory, and the training that they come from may still be to do.
    engine = ingredients.engine(options, Fingerprint(), "none", data.protocol)
    makes_labels = bool(options.callbacks.get("pseudo_labels"))
    kept = {name: callback for name, callback in options.callbacks.items() if name != "pseudo_labels"}

    def trainer(run: str, steps: int, more: Sequence[L.Callback]) -> L.Trainer:
        settings: TrainerOptions = {**options.trainer, "max_steps": steps, "val_check_interval": steps}
        return make_trainer(
            settings, run=run, callbacks=[*ingredients.callbacks(kept), *more], loggers=[], best_by=None
        )

    found = plan(
        engine,
        data,
        trainer,
        steps=options.trainer["max_steps"],
        done=int((stored or {}).get("steps") or 0),
        validated=options.trainer["val_check_interval"],
        makes_labels=makes_labels,
    )
    rank_zero_only(tell)({"run folder": options.run, **found})


def _train(options: Options) -> None:
    last, steps = Path(options.run, "checkpoints", "last.ckpt"), options.trainer["max_steps"]
    data = ClipData(options.data, options.seed)
    stored = _stored(last, options)
    fingerprint = ingredients.fingerprint(options, data, stored)
    done = None if stored is None else _done(last, stored, fingerprint, options)
    if done is not None and done >= steps:
        log.info("already trained %d steps: nothing to do; checkpoint=%s", done, find(options.run).path)
        return
    torch.manual_seed(options.seed)
    init = options.init if done is None else "none"
    engine = ingredients.engine(options, fingerprint, init, data.protocol)
    if init != "none":
        _initialise(engine, init)
    saving = LastCheckpoint(last, options.save_every)
    loggers = Loggers(options.logger or {}, Path(options.run), done=done or 0, anew=options.overwrite)
    trainer = make_trainer(
        options.trainer,
        run=options.run,
        callbacks=[
            *([Fresh(Path(options.run))] if options.overwrite else []),
            *ingredients.callbacks(options.callbacks),
            saving,
            Progress(data.batch),
        ],
        loggers=loggers.all,
        best_by=None if data.protocol is None else data.protocol.monitored,
    )
    parts = trainer.accumulate_grad_batches
    StepSampler(0, steps, data.batch, 0, trainer.world_size, parts)  # raises before other processes start
    where = f"{trainer.world_size} × {trainer.strategy.root_device.type}"
    learned_from = ", ".join(engine.metadata["training_data"])
    say("training from step %d to %d on %s, data: %s", done or 0, steps, where, learned_from)
    for file in Path(options.run).glob("hpc_ckpt_*.ckpt"):  # in a Slurm job, Lightning would start from it
        file.unlink(missing_ok=True)
    loggers.start({**asdict(options), "commit": commit()})
    _fit(trainer, engine, data, None if done is None else last, loggers)
    say("trained %d steps%s; checkpoint=%s", trainer.global_step, _best_score(trainer), find(options.run).path)
    if saving.stop.asked:  # after the last step: whatever was to follow this training is to end, too
        raise KeyboardInterrupt


def _stored(last: Path, options: Options) -> dict[str, Any] | None:
    """The metadata of the run folder's checkpoint; None if there is none or if it will be overwritten."""
    return read(last)[1] if last.is_file() and not options.overwrite else None


def _done(last: Path, stored: dict[str, Any], fingerprint: Fingerprint, options: Options) -> int:
    """Number of steps that the run folder's checkpoint has trained. Raises UserError if its fingerprint differs."""
    made = Fingerprint.read(stored.get("fingerprint"))
    only_code = fingerprint.differs_only_in_code(made) or made == Fingerprint()
    if fingerprint != made and not (only_code and options.changed_code == "keep"):
        remedies = ["set name=<new name> to keep it", "overwrite=true to train anew"]
        remedies += ["changed_code=keep to resume anyway"] if only_code else []
        differences = "; ".join(fingerprint.differences(made))
        raise UserError(f"{last} was trained otherwise ({differences}): {', or '.join(remedies)}")
    if stored.get("steps") is None:
        raise UserError(f"{last} does not say how many steps were trained: set overwrite=true to train anew")
    return int(stored["steps"])


def _initialise(engine: Engine, init: str) -> None:
    new = initialise(engine.method, init)
    say("weights of %s%s", init, f"; initial ones of {some(new)}" if new else "")


def _best_score(trainer: L.Trainer) -> str:
    best = trainer.checkpoint_callback
    if not isinstance(best, ModelCheckpoint) or best.best_model_score is None:
        return ""
    return f"; best {best.monitor} {float(best.best_model_score):.4f}"


def _fit(trainer: L.Trainer, engine: Engine, data: ClipData, resume: Path | None, loggers: Loggers) -> None:
    """Fits the engine. An interrupt is a KeyboardInterrupt, as in every verb."""
    failed = True
    try:
        with loggers.explained():
            trainer.fit(engine, datamodule=data, ckpt_path=resume, weights_only=False)
        failed = False
    except SystemExit as end:  # Lightning turns an interrupt or SIGTERM into this
        raise KeyboardInterrupt from end
    finally:
        loggers.finish(failed=failed)
        # The other processes may wait for this one forever. They get time to report what is wrong.
        for process in getattr(trainer.strategy.launcher, "procs", []):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
