"""Range checks of options that a user can set. It imports no packages, because everything with options imports it."""

from collections.abc import Iterable, Sequence

from vosbench.util.errors import UserError


def below(least: float, **values: float | None) -> list[str]:
    """Problems with options that must be `least` or more; null passes."""
    return [
        f"{key}={value}: give {least:g} or more"
        for key, value in values.items()
        if value is not None and not value >= least
    ]


def not_above(limit: float, **values: float | None) -> list[str]:
    """Problems with options that must be more than `limit`; null passes."""
    return [
        f"{key}={value}: give more than {limit:g}"
        for key, value in values.items()
        if value is not None and not value > limit
    ]


def outside(least: float, most: float, **values: float | None) -> list[str]:
    """Problems with options that must lie between `least` and `most`; null passes."""
    return [
        f"{key}={value}: give {least:g} to {most:g}"
        for key, value in values.items()
        if value is not None and not least <= value <= most
    ]


def not_sizes(count: int, **lists: Sequence[int]) -> list[str]:
    """Problems with options that must be lists of `count` numbers of 1 or more."""
    return [
        f"{key}={list(sizes)}: give {count} numbers of 1 or more"
        for key, sizes in lists.items()
        if len(sizes) != count or min(sizes) < 1
    ]


def refuse(place: str, found: Iterable[str]) -> None:
    """Raises one UserError with all problems found, each with its full key: `method.top_k=0: give 1 or more`."""
    if problems := [f"{place}.{problem}" for problem in found]:
        raise UserError("; ".join(problems))
