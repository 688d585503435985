"""Where a training is logged: metrics.csv always, and Weights & Biases, TensorBoard, MLflow or one's own logger."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from jaxtyping import UInt8
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from vosbench.runs.claims import Claim, in_turn
from vosbench.settings import renamed
from vosbench.settings.making import made
from vosbench.training.checkpointing import MetricsFile
from vosbench.training.logger_errors import told
from vosbench.util.errors import UsageError
from vosbench.util.files import replace_file
from vosbench.util.reading import read_json

RUNS = "loggers.json"  # in the run folder: the ids of the runs that loggers began, by the logger's name
IDS = {"wandb": "id", "mlflow": "run_id"}  # the argument of a logger that names the run to go on with


class LoggerOptions(TypedDict, total=False):
    """Keys of conf/logger/*.yaml."""

    project: str
    offline: bool
    wandb: dict[str, Any]
    tensorboard: dict[str, Any]
    mlflow: dict[str, Any]


class Loggers:
    """The loggers of a training. Each writes one run, however often the training is interrupted.

    settings  by name, such as {"wandb": {"_target_": …}}, or of a single logger of one's own; other keys are values
              that these refer to
    run       the run folder
    done      steps that an earlier run did
    anew      begins new runs

    Raises UserError for a logger whose package is not installed, or that refuses its settings.
    """

    def __init__(self, settings: Mapping[str, Any], run: Path, *, done: int, anew: bool) -> None:
        self._run, self._anew, self._done = run, anew, done
        self._lock = Path((settings.get("mlflow") or {}).get("save_dir") or run).with_name("mlflow.lock")
        self._ids: dict[str, str] = {}
        if (run / RUNS).is_file() and not anew:
            self._ids = read_json(run / RUNS, "", "remove it, and loggers begin new runs")
        self.named = {name: self._make(name, each) for name, each in _chosen(settings).items()}
        self.all: list[Logger] = [MetricsFile(run / "metrics.csv"), *self.named.values()]

    @rank_zero_only
    def start(self, configuration: Mapping[str, Any]) -> None:
        """Begins or takes up the runs, so that an error comes before training, and gives them the configuration.

        Raises UserError for a logger that cannot reach its server.
        """
        if self._anew:
            shutil.rmtree(self._run / "tensorboard", ignore_errors=True)
            (self._run / RUNS).unlink(missing_ok=True)
        for name, logger in self.named.items():
            with told(name):
                with self._turn(name):
                    getattr(logger, "experiment", None)  # this begins the run
                self._take_up(name, logger, configuration)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Makes a UserError of a server that is lost while this context lasts."""
        with ExitStack() as stack:
            for name in self.named:
                stack.enter_context(told(name))
            yield

    @rank_zero_only
    def finish(self, *, failed: bool) -> None:
        """Ends the runs of Weights & Biases. Lightning ends all others."""
        for logger in self.named.values():
            if isinstance(logger, WandbLogger):
                logger.experiment.finish(exit_code=int(failed))

    def _turn(self, name: str) -> AbstractContextManager[None]:
        """Trainings that begin at once begin MLflow's run one after another, or each would make the experiment."""
        return in_turn("another training's logger", Claim(self._lock)) if name == "mlflow" else nullcontext()

    def _make(self, name: str, settings: Mapping[str, Any]) -> Logger:
        more: dict[str, Any] = {IDS[name]: self._ids[name]} if name in IDS and name in self._ids else {}
        if name == "tensorboard":
            more["purge_step"] = self._done  # a run that was killed may have logged later steps
        if name == "mlflow":  # new versions write a folder only if they are told that it will do
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        with told(name):
            logger: Logger = made({**settings, **more}, f"logger.{name}")
        return logger

    def _take_up(self, name: str, logger: Logger, configuration: Mapping[str, Any]) -> None:
        known = name in self._ids
        if name in IDS:
            self._ids[name] = str(logger.version)
            replace_file(self._run / RUNS, json.dumps(self._ids).encode())
        if known and isinstance(logger, MLFlowLogger):
            logger.experiment.update_run(logger.run_id, "RUNNING")  # its configuration cannot change
        else:
            logger.log_hyperparams(dict(configuration))


def _chosen(settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The settings of each logger by name. Raises UsageError for keys that are now one logger's."""
    if "_target_" in settings:
        return {"own": settings}
    found = {name: each for name, each in settings.items() if isinstance(each, Mapping) and "_target_" in each}
    for name in settings.keys() - found.keys():  # typed with a plus sign
        if old := renamed.key(f"logger.{name}", {f"logger.{logger}" for logger in found}):
            raise UsageError(old)
    return found


def others(loggers: Iterable[object]) -> list[Logger]:
    """Those beside metrics.csv. They also take speed and pictures, in which a repeated training may differ."""
    return [logger for logger in loggers if isinstance(logger, Logger) and not isinstance(logger, MetricsFile)]


@rank_zero_only
def show(loggers: Iterable[object], name: str, picture: UInt8[np.ndarray, "h w 3"], step: int) -> None:
    """Gives a picture to those loggers that take pictures."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [picture], step)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, picture, step, dataformats="HWC")
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_image(logger.run_id, picture, f"{name}/{step:08}.png")
