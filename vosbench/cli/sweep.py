"""Sweeps: the commands that lists of values and tables of rows stand for."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from vosbench.cli import configuration, words
from vosbench.runs.names import key_of
from vosbench.util.errors import UsageError, one_line, unknown

_OWN = ("sweep", "row", "hydra.mode")


def jobs(verb: str, changes: Sequence[str], multirun: bool) -> list[list[str]] | None:
    """The overrides of each job of a sweep, or None when the command is a single run.

    `-m` varies the lists of values that are typed (`seed=0,1`). `sweep=<name>` also reads a file with `params` (lists
    of values by key) and `rows` (sets of overrides by name, among which `row=<name>` chooses). There is one job for
    each row and each combination of values. Typed values replace the file's for the same key. A job is a command that
    could be typed, with the same run folder, so a row that two tables share is run once. Files that set Hydra's own
    `hydra.sweeper.params` and `hydra.mode: MULTIRUN` are read in the same way.
    """
    if not multirun and "sweep" not in map(key_of, changes) and "hydra.mode" not in map(key_of, changes):
        return None
    typed = _parse(configuration.for_hydra(verb, changes, varied=True))
    single = [str(o.input_line) for o in typed if not o.is_sweep_override() and o.key_or_group != "row"]
    config = configuration.compose(verb, single, partial=True)
    if not multirun and "sweep" not in config and str(config.hydra.mode).rpartition(".")[2] != "MULTIRUN":
        return None
    params, rows = _read(config)
    keys = {_key(override) for override in typed}
    lists = [f"{key}={value}" for key, value in params.items() if key not in keys]
    varied = _parse(configuration.for_hydra(verb, [*single, *lists], varied=True)[len(single) :])
    combinations = [_values(override) for override in [*varied, *typed] if override.key_or_group not in _OWN]
    chosen = [_values(override) for override in typed if override.key_or_group == "row"]
    names = [value.partition("=")[2] for value in itertools.chain(*chosen)]
    return [
        [*(words.as_typed(str(override.input_line)) for override in row if _key(override) not in keys), *combination]
        for row in _rows(verb, rows, names)
        for combination in itertools.product(*combinations)
    ]


def _read(config: DictConfig) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """`params` and `rows` of a sweep. Raises UsageError if its file has other keys, or values of other types."""
    plan = OmegaConf.to_container(config.sweep, resolve=False) if "sweep" in config else {}
    assert isinstance(plan, dict)
    for key, value in ((str(key), value) for key, value in plan.items()):
        if key not in ("params", "rows"):
            raise UsageError(unknown("key", f"sweep.{key}", ["sweep.params", "sweep.rows"]))
        if not isinstance(value, dict):
            raise UsageError(f"sweep.{key}={value}: give keys and values")
    rows = {str(name): row for name, row in plan.get("rows", {}).items()}
    for name, row in rows.items():
        if not isinstance(row, list) or not all(isinstance(override, str) for override in row):
            raise UsageError(f"sweep.rows.{name}: give a list of overrides: {name}: [key=value, …]")
    return {**(config.hydra.sweeper.params or {}), **plan.get("params", {})}, rows


def _rows(verb: str, rows: Mapping[str, list[str]], names: Sequence[str]) -> list[list[Override]]:
    """The named rows, or all; one empty row if a sweep has none. Raises UsageError for an unknown name."""
    for name in names:
        if name not in rows:
            raise UsageError(unknown("row", name, rows))
    return [_parse(configuration.for_hydra(verb, rows[name])) for name in names or rows] or [[]]


def _parse(changes: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(changes))
    except HydraException as error:
        raise UsageError(one_line(error)) from error


def _key(override: Override) -> str:
    return override.get_key_element().lstrip("+~")


def _values(override: Override) -> list[str]:
    """The list of overrides that an override with several values stands for."""
    if not override.is_sweep_override():
        return [words.as_typed(str(override.input_line))]
    try:
        values = override.sweep_string_iterator()
        return [words.as_typed(f"{override.get_key_element()}={value}") for value in values]
    except HydraException as error:
        raise UsageError(f"cannot list the values of '{override.input_line}': {one_line(error)}") from error
