"""Sweeps: the commands that lists of values and tables of rows stand for."""

import itertools
from collections.abc import Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from vosbench.cli import configuration, words
from vosbench.cli.commands import Command, last_of_each, trained_first, training
from vosbench.cli.completed import completed, completes
from vosbench.cli.sweep_file import CHOOSING, SweepFile
from vosbench.runs.names import key_of
from vosbench.util.errors import UsageError, one_line

_OWN = ("sweep", *CHOOSING, "hydra.mode")


def jobs(verb: str, changes: Sequence[str], multirun: bool) -> list[Command] | None:
    """The commands of a sweep, or None when the command is a single run.

    `-m` varies the lists of values that are typed (`seed=0,1`). `sweep=<name>` also reads a file (see `sweep_file`), of
    which `row=<name>` chooses rows and `scale=<name>` another size. There is one command for each row and each
    combination of values. Typed values replace the file's for the same key. If the rows of a file are trained,
    `benchmark` trains each before it scores it. A command is one that could be typed, with the same run folder, so a
    row that two tables share is run once. Files that set Hydra's own `hydra.sweeper.params` and `hydra.mode: MULTIRUN`
    are read in the same way.
    """
    if not multirun and "sweep" not in map(key_of, changes) and "hydra.mode" not in map(key_of, changes):
        return None
    typed = _parse(configuration.for_hydra(verb, changes, varied=True))
    single = [str(o.input_line) for o in typed if not o.is_sweep_override() and o.key_or_group not in CHOOSING]
    config, typed_later = _config(verb, single)
    if not multirun and "sweep" not in config and str(config.hydra.mode).rpartition(".")[2] != "MULTIRUN":
        return None
    plan = _plan(config, _choices(typed, "scale"))
    keys = {_key(override) for override in typed}
    lists = [f"{key}={value}" for key, value in plan.params.items() if key not in keys]
    varied = _parse(configuration.for_hydra(verb, [*single, *lists], varied=True)[len(single) :])
    listed, said = ([_values(each) for each in some if each.key_or_group not in _OWN] for some in (varied, typed))
    commands = []
    for row in plan.chosen(_choices(typed, "row")):
        words_of = {name: _checked(name, row.of(name)) for name in row.verbs(verb)}
        own = {
            name: [word for word in found if key_of(word) not in keys or completes(word)]
            for name, found in words_of.items()
        }
        for params in itertools.product(*listed):
            for combination in itertools.product(*said):
                commands += _commands(verb, plan, own, params, combination)
    found = list({(each.verb, *each.words): each for each in commands}.values())
    for command in found if typed_later and verb == "train" else ():
        configuration.compose(*command)  # `benchmark` has done so
    return found


def _commands(
    verb: str, plan: SweepFile, own: Mapping[str, list[str]], params: Sequence[str], typed: Sequence[str]
) -> list[Command]:
    """The commands of one row, one combination of the file's values and one of those that were typed."""
    before = [training(plan.before, typed)] if plan.before else []
    if verb == "benchmark" and plan.is_trained and "checkpoint" not in map(key_of, typed):
        return [*before, *trained_first([*own["train"], *params], own["benchmark"], typed)]
    return [*before, Command(verb, last_of_each(completed(verb, [*own[verb], *params, *typed])))]


def _config(verb: str, single: Sequence[str]) -> tuple[DictConfig, bool]:
    """The configuration with the sweep's file; and whether words that were typed are no part of it: keys of the recipes
    that the file chooses, or of the trainings of a benchmark that trains."""
    try:
        return configuration.compose(verb, single, partial=True), False
    except UsageError:
        chosen = [word for word in single if key_of(word) == "sweep"]
        if verb not in ("benchmark", "train") or not chosen:
            raise
        config = configuration.compose(verb, chosen, partial=True)
        if "train" not in config.sweep:
            raise
        return config, True


def _plan(config: DictConfig, scales: Sequence[str]) -> SweepFile:
    content = config.sweep if "sweep" in config else None
    return SweepFile.read(content, config.hydra.sweeper.params or {}, scales[-1] if scales else None)


def _choices(typed: Sequence[Override], key: str) -> list[str]:
    return [value.partition("=")[2] for each in typed if each.key_or_group == key for value in _values(each)]


def _checked(verb: str, row: Sequence[str]) -> list[str]:
    return [words.as_typed(str(override.input_line)) for override in _parse(configuration.for_hydra(verb, row))]


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
