"""Sweeps: every combination of some overrides, each as a process of its own, just as the single command."""

import itertools
import shlex
import subprocess
import sys
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from vosbench.cli import configuration
from vosbench.runs.names import key_of
from vosbench.util.errors import UsageError, one_line

_OWN = ("sweep", "hydra.mode")


def jobs(verb: str, changes: Sequence[str], multirun: bool) -> list[list[str]] | None:
    """The overrides of each job of a sweep, or None when the command is a single run.

    A sweep is `-m`, or a configuration (`sweep=<name>`) that sets `hydra.mode: MULTIRUN`; what it varies are lists of
    values (`seed=0,1`) and `hydra.sweeper.params`, which the command's own overrides replace.
    """
    if not multirun and "sweep" not in map(key_of, changes) and "hydra.mode" not in map(key_of, changes):
        return None
    typed = _parse(changes)
    config = configuration.compose(verb, [str(o.input_line) for o in typed if not o.is_sweep_override()], partial=True)
    if not multirun and str(config.hydra.mode).rpartition(".")[2] != "MULTIRUN":
        return None
    keys = {override.get_key_element() for override in typed}
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items() if key not in keys]
    varied = [_values(override) for override in [*_parse(params), *typed] if override.key_or_group not in _OWN]
    return [list(job) for job in itertools.product(*varied)]


def run(commands: Sequence[Sequence[str]]) -> None:
    """Runs `vosbench` with each list of arguments, one after the other, whatever becomes of the others.

    Exits at the end with status 1 when some failed, and lists them.
    """
    failed = []
    for number, command in enumerate(commands, 1):
        print(f"[{number}/{len(commands)}] vosbench {shlex.join(command)}", flush=True)
        status = subprocess.run([sys.executable, "-m", "vosbench", *command], check=False).returncode
        if status:
            failed.append(f"vosbench {shlex.join(command)} (status {status})")
    if failed:
        raise SystemExit(f"vosbench: error: {len(failed)} of {len(commands)} jobs failed: " + "; ".join(failed))


def _parse(changes: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(changes))
    except HydraException as error:
        raise UsageError(one_line(error)) from error


def _values(override: Override) -> list[str]:
    """An override as the list of overrides that it stands for."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    try:
        return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    except HydraException as error:
        raise UsageError(f"cannot list the values of '{override.input_line}': {one_line(error)}") from error
