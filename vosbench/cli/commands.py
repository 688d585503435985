"""Commands that sweeps stand for."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vosbench.cli import configuration
from vosbench.runs.names import key_of


class Command(NamedTuple):
    """`vosbench <verb> <words>`."""

    verb: str
    words: list[str]


def last_of_each(words: Iterable[str]) -> list[str]:
    """Overrides without those that a later one of the same key replaces."""
    return list({key_of(word): word for word in words}.values())


def training(words: Sequence[str], varied: Sequence[str]) -> Command:
    """A training with these words, and those of others that it takes."""
    return Command("train", last_of_each([*words, *taken("train", varied)]))


def trained_first(train: Sequence[str], benchmark: Sequence[str], varied: Sequence[str]) -> list[Command]:
    """A training, and the benchmark of its weights. Words that both take are given to both. Raises UsageError for words
    that the benchmark refuses: the training takes long."""
    first = training(train, varied)
    folder = configuration.run_folder(configuration.compose(*first))
    assert folder is not None
    scored = [*benchmark, *taken("benchmark", varied), f"checkpoint={_short(folder)}"]
    then = Command("benchmark", last_of_each(scored))
    configuration.compose(*then)
    return [first, then]


def taken(verb: str, words: Sequence[str]) -> list[str]:
    """The words that a verb takes. One that neither takes is left to `benchmark`, which refuses it."""
    own, other = _known(verb), _known("train")
    return [word for word in words if _root(word) in own or (verb == "benchmark" and _root(word) not in other)]


@cache
def _known(verb: str) -> set[str]:
    config = configuration.compose(verb, partial=True)
    return {*map(str, config), *configuration.groups(config)}


def _root(word: str) -> str:
    return re.split(r"[./]", key_of(word))[0]


def _short(folder: Path) -> str:
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)
