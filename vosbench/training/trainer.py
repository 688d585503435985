"""Builds Lightning's Trainer and the optimizer. Wrong settings are found at once."""

import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import lightning as L
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher
from torch import nn

from vosbench.evaluation.protocols.protocol import Measure
from vosbench.settings.making import made, placed
from vosbench.settings.options import Counted, Positive, Range
from vosbench.settings.recipe import text
from vosbench.training.checkpointing import WholeFiles
from vosbench.util.errors import UsageError, one_line

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

GIVEN = ("callbacks", "plugins", "logger")  # arguments of Lightning's that code passes

Optimizer = Callable[[Iterable[tuple[str, nn.Parameter]]], torch.optim.Optimizer]


class TrainerOptions(TypedDict, total=False):
    """Keys of `trainer` in conf/train.yaml, and those that change the weights. Lightning has many others."""

    accelerator: str
    devices: int | str | list[int]
    strategy: str
    num_nodes: Positive
    max_steps: Positive
    val_check_interval: Positive
    log_every_n_steps: Positive
    precision: Counted[str]
    gradient_clip_val: Counted[Annotated[float, Range(0, above=True)] | None]
    gradient_clip_algorithm: Counted[str | None]
    sync_batchnorm: Counted[bool]
    accumulate_grad_batches: Positive


def make_trainer(
    options: TrainerOptions,
    *,
    run: str,
    callbacks: Sequence[L.Callback],
    loggers: Sequence[Logger],
    best_by: Measure | None,
) -> L.Trainer:
    """A trainer that writes to the folder `run`. `best_by`: the validation measure by which the best weights are kept;
    None without validation videos.

    Raises UsageError for settings that Lightning does not have or that this machine cannot serve.
    """
    settings: dict[str, Any] = {
        "default_root_dir": run,
        "callbacks": [
            _Bar(),
            *([] if best_by is None else [_best(Path(run, "checkpoints"), best_by)]),
            *callbacks,  # last.ckpt is written after best.ckpt, and so knows the best score
        ],
        "plugins": [WholeFiles(), *_slurm()],
        "logger": list(loggers) or False,
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,  # StepSampler divides clips among processes itself
        "enable_model_summary": False,
    }
    if best_by is None:
        settings["limit_val_batches"] = 0
    try:
        trainer = L.Trainer(**{**settings, **options, **_in_batches(options)})
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UsageError(f"trainer: {one_line(error)}") from error
    if trainer.precision not in PRECISIONS:
        raise UsageError(f"trainer.precision={trainer.precision}: choose from {', '.join(PRECISIONS)}")
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise UsageError(f"trainer.strategy={options.get('strategy')} leaves no trained weights here: choose ddp")
    return trainer


def _slurm() -> list[SLURMEnvironment]:
    """In a Slurm job, Lightning would write a checkpoint of its own before the time limit, and later start from it
    whatever is asked for."""
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def _in_batches(options: TrainerOptions) -> dict[str, int]:
    """`val_check_interval`, which is in steps, in Lightning's unit."""
    steps, parts = options.get("val_check_interval"), options.get("accumulate_grad_batches", 1)
    return {} if steps is None else {"val_check_interval": steps * parts}


def _best(folder: Path, measure: Measure) -> ModelCheckpoint:
    """Keeps the weights with the best score of this measure."""
    mode = "min" if measure.falling else "max"
    return ModelCheckpoint(folder, "best", monitor=f"val/{measure.label}", mode=mode, enable_version_counter=False)


def make_optimizer(settings: dict[str, Any], method: nn.Module) -> Optimizer:
    """Maps named parameters to the optimizer. Raises UsageError for settings that PyTorch refuses."""
    optimizer: Optimizer = made(settings, "optimizer")
    try:
        with placed("optimizer"):
            optimizer(method.named_parameters())
    except (ValueError, TypeError) as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if not str(frame.f_globals["__name__"]).startswith(("torch.optim.", "hydra.")):
            raise  # not caused by settings
        values = ", ".join(f"{key}={text(value)}" for key, value in settings.items() if key[0] != "_")
        raise UsageError(f"optimizer: {one_line(error)}; of {values}") from error
    return optimizer


class _Bar(RichProgressBar):
    """Lightning's progress bar, counting the batches of the whole training, which is one epoch to Lightning."""

    @property
    def total_train_batches(self) -> int:
        return self.trainer.max_steps * self.trainer.accumulate_grad_batches

    def _get_train_description(self, current_epoch: int) -> str:
        return "train"
