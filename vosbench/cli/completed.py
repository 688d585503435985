"""Words of a sweep's file that complete what was typed: `propagation=*_vip` makes `propagation=crw` to crw_vip."""

from collections.abc import Sequence

from vosbench.cli import configuration
from vosbench.runs.names import key_of


def completes(word: str) -> bool:
    """Whether a word is of this kind."""
    return word.partition("=")[2].startswith("*")


def completed(verb: str, words: Sequence[str]) -> list[str]:
    """The words with what completes them, where a config group has such an option; else as they were typed."""
    endings = {key_of(word): word.partition("=")[2][1:] for word in words if completes(word)}
    if not endings:
        return list(words)
    options = configuration.groups(configuration.compose(verb, partial=True))
    found = []
    for word in words:
        key, longer = key_of(word), f"{word}{endings.get(key_of(word), '')}"
        exists = key in endings and longer.partition("=")[2] in options.get(key, ())
        found += [] if completes(word) else [longer if exists else word]
    return found
