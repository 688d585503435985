"""`vosbench demo`: trains on the embedded data set, predicts, and compares the scores with those of untrained copies,
shipped weights and baselines in a report.

It runs the same commands that a user would type, and prints them. Everything is written to the run folder. Repeating
the command resumes.
"""

import logging
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vosbench.cli import configuration
from vosbench.evaluation.board.files import write
from vosbench.evaluation.board.leaderboard import Board, boards
from vosbench.evaluation.board.rows import load
from vosbench.evaluation.board.tables import show
from vosbench.settings.options import FileName, Positive, Seed, Where
from vosbench.util.errors import UsageError, unknown

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/demo.yaml, which explains them."""

    run: Where[FileName]
    methods: dict[str, list[str]]
    shipped: list[str]
    baselines: list[str]
    steps: Positive
    frames: Positive
    seed: Seed
    precision: str


def run(options: Options) -> None:
    """Writes `<run>/leaderboard.{csv,md,tex,html}` of trained, untrained and shipped methods and of baselines, anew
    after each step."""
    _check_names(options)
    found: list[Board] = []
    commands = list(_commands(options))
    for number, (verb, *changes) in enumerate(commands, 1):
        log.info("\nstep %d of %d\n$ vosbench %s", number, len(commands), shlex.join([verb, *changes]))
        _run(verb, changes)
        if verb == "benchmark":
            found = boards(load(Path(options.run, "runs")), mixed="supervision")
            write(found, Path(options.run), title="vosbench demo")
            log.info("report so far: %s", Path(options.run, "leaderboard.html"))
    show(found)
    log.info("report: %s", Path(options.run, "leaderboard.html"))


def _commands(options: Options) -> Iterator[tuple[str, ...]]:
    """All commands in order: their verbs and overrides."""
    runs = f"runs={Path(options.run, 'runs')}"
    videos = ("dataset=collage", f"dataset.max_frames={options.frames}")
    precision = f"precision={options.precision}"
    for method in options.baselines:
        yield "benchmark", f"method={method}", *videos, runs
    for method in options.shipped:
        yield "benchmark", f"method={method}", "name=shipped", *videos, precision, runs
    for method, changes in options.methods.items():
        network = [change for change in changes if change.startswith("method.")]
        scored = (f"method={method}", *videos, *network, f"seed={options.seed}", precision, runs)
        yield "benchmark", *scored, "name=untrained", "checkpoint=none"
        training = _training(options, f"method={method}", *changes, runs)
        yield training
        yield "benchmark", *scored, "name=trained", f"checkpoint={_run_folder(*training)}"


def _check_names(options: Options) -> None:
    """Raises UsageError for a method or a change that does not exist: the first training takes minutes."""
    known = configuration.groups(configuration.compose("benchmark"))["method"]
    for name in (*options.methods, *options.shipped, *options.baselines):
        if name not in known:
            raise UsageError(unknown("method", name, known))
    for name, changes in options.methods.items():
        try:
            configuration.compose("train", [f"method={name}", *changes])
        except UsageError as error:
            raise UsageError(f"methods.{name}: {error}") from error


def _training(options: Options, *changes: str) -> tuple[str, ...]:
    steps, precision = f"trainer.max_steps={options.steps}", f"trainer.precision={options.precision}"
    validation = f"trainer.val_check_interval={options.steps}"  # once, at the end
    alone = "trainer.devices=1"  # other processes would repeat the whole demo
    settings = (
        alone,
        f"data.validation.max_frames={options.frames}",
        "name=train",
        f"seed={options.seed}",
        steps,
        precision,
        validation,
    )
    return "train", *changes, *settings


def _run_folder(verb: str, *changes: str) -> str:
    return str(configuration.resolve(configuration.compose(verb, changes))["run"])


def _run(verb: str, changes: Sequence[str]) -> None:
    """Runs a verb in this process, just as its command would."""
    module = configuration.task(verb)
    options = configuration.options(module, configuration.resolve(configuration.compose(verb, changes)))
    Path(options.run).mkdir(parents=True, exist_ok=True)
    module.run(options)
