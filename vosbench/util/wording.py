"""Wording of lists, sizes and foreign names in messages. It imports no packages: scoring processes import it."""

import re
from collections.abc import Iterable


def some(names: Iterable[object], most: int = 5, separator: str = ", ") -> str:
    """The first `most` of some names or numbers, and an ellipsis if there are more."""
    listed = [str(name) for name in names]
    return separator.join(listed[:most]) + f"{separator}…" * (len(listed) > most)


def counted(number: int, noun: str) -> str:
    """1 object, 2 objects."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listing(ids: Iterable[int]) -> str:
    """Object ids in order; at most ten are shown."""
    return f"[{some(sorted(ids), 10)}]"


def rows_columns(size: Iterable[int]) -> str:
    """A (height, width) as rows×columns."""
    return "×".join(map(str, size))


# Control characters, line breaks among them, and those that turn the direction of text around or are half a character.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, keep: str = "") -> str:
    r"""Text with its control characters spelt out (`\x1b`), so that no name can move a terminal's cursor, start a line
    or hide another. `keep`: such characters that stay."""
    if text.isascii() and text.isprintable():  # quick, and true of nearly all
        return text
    return UNPRINTABLE.sub(lambda found: found[0] if found[0] in keep else _spelt(found[0]), text)


def _spelt(character: str) -> str:
    return character.encode("unicode_escape").decode()
