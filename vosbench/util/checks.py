"""Checks of options that a user can set. No packages: whatever takes options imports this."""

from collections.abc import Iterable, Sequence

from vosbench.util.errors import UserError


def below(least: float, **values: float | None) -> list[str]:
    """What is wrong with options of which each has to be `least` or more; null is not judged."""
    return [
        f"{key}={value}: give {least:g} or more"
        for key, value in values.items()
        if value is not None and not value >= least
    ]


def not_above(limit: float, **values: float | None) -> list[str]:
    """What is wrong with options of which each has to be more than `limit`; null is not judged."""
    return [
        f"{key}={value}: give more than {limit:g}"
        for key, value in values.items()
        if value is not None and not value > limit
    ]


def outside(least: float, most: float, **values: float | None) -> list[str]:
    """What is wrong with options of which each has to lie from `least` to `most`; null is not judged."""
    return [
        f"{key}={value}: give {least:g} to {most:g}"
        for key, value in values.items()
        if value is not None and not least <= value <= most
    ]


def not_sizes(count: int, **lists: Sequence[int]) -> list[str]:
    """What is wrong with options that each have to be `count` numbers of 1 or more."""
    return [
        f"{key}={list(sizes)}: give {count} numbers of 1 or more"
        for key, sizes in lists.items()
        if len(sizes) != count or min(sizes) < 1
    ]


def refuse(place: str, found: Iterable[str]) -> None:
    """Raises one UserError of all that was found, each with the whole key: `method.top_k=0: give 1 or more`."""
    if problems := [f"{place}.{problem}" for problem in found]:
        raise UserError("; ".join(problems))
