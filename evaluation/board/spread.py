"""How much a score depends on the settings that a sweep went through: over all of them, and for each value of a key."""

from collections.abc import Iterator, Sequence

import numpy as np

from vosbench.evaluation.board.rows import Row
from vosbench.runs.names import key_of

FEWEST = 3  # rows of which a spread is told


def spread(rows: Sequence[Row]) -> list[str]:
    """Notes on the rows of a table, in percent; none for fewer than three."""
    rows = [row for row in rows if row.path is not None]
    if len(rows) < FEWEST:
        return []
    scores = [100 * row.headline for row in rows]
    deviation = f"mean {np.mean(scores):.1f}, standard deviation {np.std(scores, ddof=1):.1f}"
    label = rows[0].measure.label
    over = f"{label} over these {len(rows)} rows: {min(scores):.1f} to {max(scores):.1f}, {deviation}."
    return [over, *(f"Mean {label} by {line}." for line in _by_key(rows, scores))]


def _by_key(rows: Sequence[Row], scores: Sequence[float]) -> Iterator[str]:
    """The mean score of the rows with each value of a key, for the keys that several rows have in common."""
    settings = [{key_of(each): each.partition("=")[2] for each in row.overrides} for row in rows]
    for key in sorted(set.intersection(*map(set, settings))):
        found: dict[str, list[float]] = {}
        for chosen, score in zip(settings, scores, strict=True):
            found.setdefault(chosen[key], []).append(score)
        if len(found) > 1 and min(map(len, found.values())) > 1:
            means = {value: f"{np.mean(each):.1f}" for value, each in found.items()}
            yield f"{key}: " + ", ".join(f"{value} {means[value]}" for value in sorted(means, key=_order))


def _order(value: str) -> tuple[float, str]:
    """Numbers by size, then words."""
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value
