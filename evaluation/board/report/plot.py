"""Curves as lines of an SVG picture."""

from collections.abc import Sequence
from dataclasses import dataclass

from vosbench.evaluation.board.report.curves import Values, VideoCurves

# The area of the curves in the picture. The script of the page moves the cursor by the same numbers.
LEFT, RIGHT, TOP, BOTTOM = 34, 474, 8, 168
LOW, HIGH = 0, 100  # percent


@dataclass(frozen=True)
class Panel:
    """One measure: the points of each method's lines."""

    measure: str
    lines: list[list[str]]


@dataclass(frozen=True)
class Plot:
    """One panel for each measure, with ticks of both axes as places and labels."""

    panels: list[Panel]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]


def plot_of(curves: VideoCurves) -> Plot:
    """The plot of the mean over objects."""
    first, last = curves.positions[0], curves.positions[-1]
    places = [across(position, first, last) for position in curves.positions]
    panels = [
        Panel(measure, [_lines(places, values) for values in methods])
        for measure, methods in zip(curves.measures, curves.values[0], strict=True)
    ]
    shown = sorted({first, (first + last) // 2, last})
    ticks = [(across(position, first, last), str(position)) for position in shown]
    return Plot(panels, ticks, [(up(value), str(value)) for value in (0, 25, 50, 75, 100)])


def across(position: int, first: int, last: int) -> float:
    return round(LEFT + (RIGHT - LEFT) * (position - first) / max(last - first, 1), 1)


def up(value: float) -> float:
    """The height of a value. None leaves the picture."""
    return round(BOTTOM - (BOTTOM - TOP) * (min(max(value, LOW), HIGH) - LOW) / (HIGH - LOW), 1)


def _lines(places: Sequence[float], values: Values) -> list[str]:
    """The points of each run of values without gaps. A value on its own becomes a short line, which can be seen."""
    runs: list[list[str]] = [[]]
    for place, value in zip(places, values, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{place:g},{up(value):g}")
    return [" ".join(run if len(run) > 1 else [run[0], *_beside(run[0])]) for run in runs if run]


def _beside(point: str) -> list[str]:
    x, _, y = point.partition(",")
    return [f"{float(x) + 2:g},{y}"]
