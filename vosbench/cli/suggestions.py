"""What may come next in a command that is being typed: verbs, keys, groups and their options."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from vosbench.cli import configuration
from vosbench.util.errors import UsageError

FLAGS = ("-m", "--config-dir", "--help")


def suggestions(line: str, verbs: Sequence[str]) -> list[str]:
    """Whole words that could stand in place of the last one of `vosbench …`, as far as it was typed. Nothing is
    suggested for names of files, which shells know."""
    _, *words = line.split() or [""]
    last = "" if line[-1:].isspace() or not words else words.pop()
    if words[-1:] == ["--config-dir"]:
        return []
    verb, *others = [word for word in _without_folders(words) if not word.startswith("-")] or [""]
    if not verb:
        return _starting(last, (*verbs, "--version", *FLAGS))
    if verb not in verbs:
        return []
    if last.startswith("-"):
        return _starting(last, FLAGS)
    key, equals, _ = last.partition("=")
    found = _values(verb, others, key) if equals else _keys(verb, others)
    return _starting(last, found)


def _without_folders(words: Sequence[str]) -> list[str]:
    """The words without any `--config-dir FOLDER`, which is added: its configs are suggested, too."""
    if "--config-dir" not in words:
        return list(words)
    place = words.index("--config-dir")
    if Path(words[place + 1]).is_dir():
        configuration.add_folder(Path(words[place + 1]))
    return [*words[:place], *_without_folders(words[place + 2 :])]


def _starting(last: str, found: Iterable[str]) -> list[str]:
    """The next step to each suggestion: nested keys come level by level."""
    step = re.compile(rf"{re.escape(last)}" + ("[^=]*" if "=" in last else "[^.=]*[.=]?"))
    return sorted({reached[0] for each in found if (reached := step.match(each))})


def _keys(verb: str, words: Sequence[str]) -> Iterator[str]:
    config = _composed(verb, words)
    yield from (f"{group}=" for group in configuration.groups(config))
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    yield from _dotted({str(key): value for key, value in container.items() if key != "hydra"})


def _dotted(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        if not key.startswith("_"):
            yield f"{above}{key}="
        if isinstance(value, dict):
            yield from _dotted(value, f"{above}{key}.")


def _values(verb: str, words: Sequence[str], key: str) -> Iterator[str]:
    """The options of a group, and both values of what is true or false."""
    config = _composed(verb, words)
    yield from (f"{key}={option}" for option in configuration.groups(config).get(key, ()))
    if isinstance(OmegaConf.select(config, key), bool):
        yield from (f"{key}={value}" for value in ("false", "true"))


def _composed(verb: str, words: Sequence[str]) -> Any:
    """The verb's configuration with the words so far, or without them if they are wrong."""
    try:
        return configuration.compose(verb, words, partial=True)
    except UsageError:
        return configuration.compose(verb, partial=True)
