"""What is wrong with a configuration that cannot be composed, as one line that says what would be right."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, MissingMandatoryValue
from omegaconf.errors import OmegaConfBaseException

from vosbench.cli import words
from vosbench.settings import renamed
from vosbench.util.errors import one_line, unknown

MOST = 3  # keys to suggest
OWN = ("method", "dataset")  # groups that people extend


class Known(NamedTuple):
    """A verb's configuration without overrides, and the options of each of its groups."""

    config: DictConfig
    groups: Mapping[str, Sequence[str]]


def explain(verb: str, error: Exception, known: Callable[[], Known]) -> str:
    """One line for a configuration that cannot be composed."""
    if isinstance(error, MissingConfigException) and error.options is not None and error.missing_cfg_file:
        return _unknown_option(known().groups, error.missing_cfg_file, error.options)
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}': write key=value{_quoted_for_shell(error.override)}"
    unfound = re.search(r"Could not load '(.+)'\.", str(error))  # one of several options: logger=[csv,nosuch]
    if unfound:
        return _unknown_option(known().groups, unfound[1], ())
    ambiguous = re.match(r"Ambiguous value for argument '(.*)'", str(error))
    if ambiguous:
        return f"{ambiguous[1]} is a list of values: add --multirun to run each{_quoted_for_shell(ambiguous[1])}"
    key = re.match(r"Could not override '([^'@]+)'", str(error))
    if key:
        node = getattr(error.__cause__, "parent_node", None)
        return _unknown_key(known(), node and node._get_root(), key[1])
    misfit = re.match(r"In '(.+?)': Could not override '(.+?)'", str(error))
    if misfit:
        return f"conf/{misfit[1]}.yaml sets {misfit[2]}, which vosbench {verb} does not have"
    return one_line(re.split(r"\n(?:Config search path|See https)", str(error))[0])


def _quoted_for_shell(override: str) -> str:
    """The remedy for a value with special characters: the whole word to type."""
    key, equals, value = override.partition("=")
    return f", or, for a text, {shlex.quote(f'{key}={words.quoted(value)}')}" if equals else ""


def _unknown_option(known: Mapping[str, Sequence[str]], path: str, beside: Sequence[str]) -> str:
    """One line for an unknown option of the group that `path` begins with. `beside`: the options in its folder."""
    group = next((name for name in known if path.startswith(f"{name}/")), path.rpartition("/")[0])
    option = path.removeprefix(f"{group}/")
    own = "; for one of your own, add --config-dir <its folder>" if group in OWN else ""
    return renamed.option(group, option) or unknown(group, option, known.get(group, beside)) + own


def explain_choice(changes: Sequence[str], known: Known) -> str:
    """One line for a choice that is null or a number: `flow=null`. Groups that may be left out are left out with ~."""
    for change in changes:
        key, _, value = change.lstrip("+~").partition("=")
        if key in known.groups and value not in known.groups[key]:
            without = f", or leave the group out with ~{key}" if key in ("experiment", "logger") else ""
            return f"{change}: give one of its options{without}: {', '.join(known.groups[key])}"
    return "choices of groups are names of their options"


def _unknown_key(known: Known, config: DictConfig | None, key: str) -> str:
    """One line for an unknown key: the part of it that is wrong, and the known keys there.

    `config` is the composed configuration, if there is one.
    """
    node: Any = known.config if config is None or key.split(".")[0] not in config else config
    above = ""
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return f"key '{above[:-1]}' is a single value, so there is no '{key}'"
        if part not in node:
            there = {f"{above}{name!s}" for name in node if name != "hydra"}
            there |= set() if above else known.groups.keys()
            old = renamed.key(above + part, there | known.groups.keys())
            return old or _meant(known.config, key) or unknown("key", above + part, there - {above + part})
        node, above = node._get_node(part), f"{above}{part}."
    return f"key '{key}' cannot be set that way"


def _meant(config: DictConfig, key: str) -> str:
    """One line for a key that exists deeper down: `lr` for `optimizer.lr`; "" if there is none, or too many."""
    found = [each for each in _leaves(config) if each.endswith(f".{key}") and not each.startswith("hydra.")]
    named = " or ".join(f"'{each}'" for each in found[:MOST])
    return f"unknown key '{key}': did you mean {named}?" if 0 < len(found) <= MOST else ""


def _leaves(config: DictConfig, above: str = "") -> Iterator[str]:
    for name in config:
        yield f"{above}{name!s}"
        if isinstance(node := config._get_node(name), DictConfig) and not node._is_none() and not node._is_missing():
            yield from _leaves(node, f"{above}{name!s}.")


def explain_value(error: OmegaConfBaseException) -> str:
    """One line for a value that cannot be resolved."""
    key = error.full_key
    if isinstance(error, MissingMandatoryValue):
        return f"key '{key}' has no value: add {key}=… to the command"
    return f"key '{key}': {one_line(str(error).splitlines()[0])}"
