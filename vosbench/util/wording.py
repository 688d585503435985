"""Wording of lists and sizes in messages. It imports no packages: scoring processes import it."""

from collections.abc import Iterable


def some(names: Iterable[object], most: int = 5, separator: str = ", ") -> str:
    """The first `most` of some names or numbers, and an ellipsis if there are more."""
    listed = [str(name) for name in names]
    return separator.join(listed[:most]) + f"{separator}…" * (len(listed) > most)


def listing(ids: Iterable[int]) -> str:
    """Object ids in order; at most ten are shown."""
    return f"[{some(sorted(ids), 10)}]"


def rows_columns(size: Iterable[int]) -> str:
    """A (height, width) as rows×columns."""
    return "×".join(map(str, size))
