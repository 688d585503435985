"""Lists in messages. No packages: scoring processes import this."""

from collections.abc import Iterable


def some(names: Iterable[object], most: int = 5) -> str:
    """The first few of some names or numbers, and whether there are more."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:most]) + ", …" * (len(listed) > most)


def listing(ids: Iterable[int]) -> str:
    """Object ids in order, at most ten of them."""
    return f"[{some(sorted(ids), 10)}]"
