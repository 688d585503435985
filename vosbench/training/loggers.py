"""Where a training is logged: metrics.csv always, and Weights & Biases, TensorBoard, MLflow or one's own logger."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from vosbench.settings.making import made
from vosbench.training.checkpointing import MetricsFile
from vosbench.util.errors import UserError, one_line
from vosbench.util.files import replace_file
from vosbench.util.reading import read_json

RUNS = "loggers.json"  # in the run folder: the runs that loggers began, by the logger's name
RESUMED = {"wandb": "id", "mlflow": "run_id"}  # a logger's argument for the run that it goes on with
REMEDIES = {
    "wandb": "use `wandb login`, or logger.offline=true, which needs no account",
    "mlflow": "start its server, or set logger.mlflow.tracking_uri=<address> or null for a folder",
}


class Loggers:
    """The loggers of a training, which write one run each, however often it is interrupted.

    settings  by name, such as {"wandb": {"_target_": …}}; other keys are for these to refer to
    run       the run folder
    fresh     whether the training starts anew

    Raises UserError for a logger whose package is not installed, or that cannot reach its server.
    """

    def __init__(self, settings: Mapping[str, Any], run: Path, *, fresh: bool) -> None:
        self._path = run / RUNS
        self._known: dict[str, str] = {}
        if self._path.is_file() and not fresh:
            self._known = read_json(self._path, "", "remove it, and loggers begin new runs")
        if "_target_" in settings:
            settings = {"own": settings}
        chosen = {name: each for name, each in settings.items() if isinstance(each, Mapping) and "_target_" in each}
        self.named = {name: self._make(name, each) for name, each in chosen.items()}
        self.all: list[Logger] = [MetricsFile(run / "metrics.csv"), *self.named.values()]

    @rank_zero_only
    def start(self, configuration: Mapping[str, Any]) -> None:
        """Begins or takes up their runs, so that an error comes before training, and gives them the configuration."""
        for name, logger in self.named.items():
            with_remedy(name, lambda logger=logger: getattr(logger, "experiment", None))
            if name != "mlflow" or name not in self._known:  # its parameters cannot change
                logger.log_hyperparams(dict(configuration))
        runs = {name: str(logger.version) for name, logger in self.named.items() if name in RESUMED}
        if runs:
            replace_file(self._path, json.dumps(runs).encode())

    @rank_zero_only
    def finish(self, *, failed: bool) -> None:
        """Ends the runs. Lightning does so itself, except with Weights & Biases."""
        for logger in self.named.values():
            if isinstance(logger, WandbLogger):
                logger.experiment.finish(exit_code=int(failed))

    def _make(self, name: str, settings: Mapping[str, Any]) -> Logger:
        given = {RESUMED[name]: self._known[name]} if name in self._known and name in RESUMED else {}
        try:
            logger: Logger = made({**settings, **given}, f"logger.{name}")
        except ModuleNotFoundError as error:
            raise UserError(f"logger={name} needs a package: pip install 'vosbench[{name}]'") from error
        return logger


def with_remedy(name: str, start: Any) -> None:
    """Calls `start`. Raises UserError for what the logger's package raises."""
    try:
        start()
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in (name, "requests", "urllib3"):
            raise
        raise UserError(
            f"logger={name}: {one_line(error).rstrip('.')}: {REMEDIES.get(name, 'see its manual')}"
        ) from error


def others(loggers: Iterable[Logger]) -> list[Logger]:
    """Those that take more than what a repeated training would log alike, such as speed and pictures."""
    return [logger for logger in loggers if not isinstance(logger, MetricsFile)]


@rank_zero_only
def show(loggers: Iterable[Logger], name: str, picture: UInt8[np.ndarray, "h w 3"], step: int) -> None:
    """Gives a picture to those loggers that take pictures."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [picture], step)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, picture, step, dataformats="HWC")
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_image(logger.run_id, picture, f"{name}/{step:08}.png")
