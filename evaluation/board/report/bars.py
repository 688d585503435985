"""The headline of each row as a bar with its 95 % interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from vosbench.evaluation.board.leaderboard import Board
from vosbench.evaluation.board.names import names
from vosbench.evaluation.board.rows import Row

MOST = 40
PARTS = 4  # of the axis, with a line between two of them


@dataclass(frozen=True)
class Bar:
    """One row. Places are in percent of the axis.

    interval  where it starts and ends; None: the row has none
    measured  here, not quoted
    """

    name: str
    value: str
    start: float
    length: float
    interval: tuple[float, float] | None
    measured: bool


@dataclass(frozen=True)
class Bars:
    """All bars of a board. `ticks`: places on the axis and their labels; `hidden`: how many rows have no bar."""

    title: str
    ticks: list[tuple[float, str]]
    bars: list[Bar]
    hidden: int


def bars_of(board: Board) -> Bars:
    """The first rows of the board in percent."""
    rows = board.rows[:MOST]
    low, high = 100 * min(row.measure.low for row in rows), 100 * max(row.measure.high for row in rows)
    places = [low + (high - low) * part / PARTS for part in range(PARTS + 1)]
    ticks = [(_place(place, low, high), f"{place:g}") for place in places]
    bars = [_bar(row, name, low, high) for row, name in zip(rows, names(rows, marked=True), strict=True)]
    return Bars(f"{headline(board.rows)} of each method", ticks, bars, len(board.rows) - len(rows))


def headline(rows: Sequence[Row]) -> str:
    """The score that orders a board; a mixed board may have none in common."""
    labels = {row.measure.label for row in rows}
    return labels.pop() if len(labels) == 1 else "Each row's first score: " + " or ".join(sorted(labels))


def _bar(row: Row, name: str, low: float, high: float) -> Bar:
    zero, end = _place(0.0, low, high), _place(100 * row.headline, low, high)
    found, interval = row.interval, None
    if found and found.low is not None and found.high is not None:
        interval = _place(100 * found.low, low, high), _place(100 * found.high, low, high)
    return Bar(name, f"{100 * row.headline:.1f}", min(zero, end), abs(end - zero), interval, row.path is not None)


def _place(value: float, low: float, high: float) -> float:
    """Where a value lies on the axis, which it cannot leave."""
    return round(100 * (min(max(value, low), high) - low) / (high - low), 2)
