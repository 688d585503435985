"""The command line: `vosbench <verb> [key=value …]`. A verb is the name of a Hydra config; overrides are Hydra's."""

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vosbench import __version__
from vosbench.cli import configuration, launch, sweep, terminal, threads, words
from vosbench.cli.commands import Command
from vosbench.cli.errors import reported
from vosbench.cli.helping import explanation
from vosbench.cli.run_folder import folder_for
from vosbench.cli.shorthand import written_out
from vosbench.cli.verbs import VERBS
from vosbench.launching import lifeline
from vosbench.util.errors import UsageError, unknown


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        flag = re.match(r"unrecognized arguments: --?([\w.]+)(?:[= ]([^-\s]\S*))?", message)
        remedy = f"keys are written without dashes, {flag[1]}={flag[2] or '<value>'}" if flag else "see vosbench --help"
        raise UsageError(f"{message}; {remedy}")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses flags and overrides in any order. `verb` is None if none was given.

    Raises UsageError for an unknown flag or verb.
    """
    parser = _Parser(prog="vosbench", add_help=False, allow_abbrev=False)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--config-dir", "-cd", type=Path, action="append", default=[])
    parser.add_argument("--config-name", dest="verb")
    parser.add_argument("words", nargs="*")
    typed = parser.parse_intermixed_args(list(arguments))
    if typed.verb is None and typed.words:
        typed.verb = typed.words.pop(0)
    if typed.verb is not None:
        if typed.verb not in VERBS:
            raise UsageError(unknown("verb", typed.verb, VERBS))
        typed.words = written_out(typed.verb, typed.words)
    return typed


def main() -> None:
    """Runs the command in `sys.argv`; on failure, ends the process with a status and one line on stderr."""
    lifeline.follow()
    threads.wait_without_work()
    terminal.print_anything()
    with reported():
        words.forget()
        typed = parse(sys.argv[1:])
        for folder in typed.config_dir:
            configuration.add_folder(folder)
        if typed.version:
            print(f"vosbench {__version__}")
        elif typed.verb is None:
            print(overview())
        elif typed.help:
            print(explanation(typed.verb, VERBS[typed.verb], typed.words))
        else:
            _run(typed)
        sys.stdout.flush()  # here a closed pipe can be told


def _run(typed: argparse.Namespace) -> None:
    flags = [word for folder in typed.config_dir for word in ("--config-dir", str(folder))]
    launching, typed.words = launch.divided(typed.words)
    jobs = sweep.jobs(typed.verb, typed.words, typed.multirun)
    if jobs is not None or launching:
        launch.run(typed.verb, flags, jobs or [Command(typed.verb, typed.words)], launching)
        return
    # Configuration errors are found before a run folder exists.
    config = configuration.compose(typed.verb, typed.words)
    configuration.options(configuration.task(typed.verb), configuration.resolve(config))
    if config.get("plan"):  # it writes nothing, so it has no run folder
        _plan(typed.verb, config)
        return
    # A training starts its other processes from sys.argv with Hydra overrides appended, so flags must come first.
    sys.argv[1:] = ["--config-name", typed.verb, *flags, *configuration.for_hydra(typed.verb, typed.words)]
    configuration.register()
    with folder_for(configuration.run_folder(config)):
        _job()


def _plan(verb: str, config: DictConfig) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    module = configuration.task(verb)
    module.run(configuration.options(module, configuration.resolve(config)))


@hydra.main(config_path="pkg://vosbench.conf", version_base="1.3")
def _job(config: DictConfig) -> None:
    sys.argv[1:] = map(words.as_typed, sys.argv[1:])
    terminal.prepare_logs()
    hydra_config = HydraConfig.get()
    with reported(where=hydra_config.runtime.output_dir):
        module = configuration.task(str(hydra_config.job.config_name))
        module.run(configuration.options(module, configuration.plain(config)))


def overview() -> str:
    """The verbs, one per line."""
    verbs = "\n".join(f"  {verb:<12} {text}" for verb, text in VERBS.items())
    return (
        f"vosbench {__version__}: one benchmark for self-supervised video object segmentation\n\n"
        f"usage: vosbench <verb> [key=value …]      vosbench <verb> --help      vosbench --version\n\n{verbs}"
    )
