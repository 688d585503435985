"""Charts of a board: accuracy against speed, size and training time, accuracy over time, and losses of trainings."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vosbench.evaluation.board.leaderboard import Board
from vosbench.evaluation.board.names import names
from vosbench.evaluation.board.report.beside import Beside
from vosbench.evaluation.board.report.curves import measures_over_time
from vosbench.evaluation.board.rows import Row
from vosbench.runs.trainings import total_hours

# The area of the points in the picture.
LEFT, RIGHT, TOP, BOTTOM = 44, 468, 10, 240
MOST = 30  # rows of a chart: more marks cannot be told apart
WIDE = 20  # ratio of the largest to the smallest value from which an axis is logarithmic
PARTS = 10  # of a video, over which accuracy is averaged
Ticks = list[tuple[float, str]]


@dataclass(frozen=True)
class Mark:
    """A point, or a line, of a row. `number`: of its name in the list of names, from 1; points are "x,y x,y"."""

    number: int
    points: str
    x: float
    y: float
    measured: bool = True


@dataclass(frozen=True)
class Chart:
    """What a chart shows. `kind`: points | lines."""

    title: str
    x: str
    kind: str
    across: Ticks
    up: Ticks
    names: list[str] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


def charts_of(board: Board, compared: Sequence[Beside]) -> list[Chart]:
    """The charts that a board has data for. compared: the rows whose curves are shown."""
    headline = board.rows[0].measure.label
    device = _device(board.rows)
    found = [
        _against(board.rows, f"{headline} against frames per second", f"frames per second, {device}", _fps(device)),
        _against(board.rows, f"{headline} against the number of parameters", "million parameters", _parameters),
        _against(board.rows, f"{headline} against training time", "hours of training, all stages", _hours),
        _over_time(compared),
        _losses([each.row for each in compared]),
    ]
    return [chart for chart in found if chart is not None]


def _against(rows: Sequence[Row], title: str, x: str, value: Callable[[Row], float | None]) -> Chart | None:
    """Rows as points; None if fewer than two have a value, or all have the same."""
    called = names(rows, marked=True)
    known = [(name, row, found) for name, row in zip(called, rows, strict=True) if (found := value(row))][:MOST]
    if len({found for _, _, found in known}) < 2:
        return None
    place, across = _axis([found for *_, found in known], LEFT, RIGHT)
    height, up = _axis([100 * row.headline for _, row, _ in known], BOTTOM, TOP, linear=True)
    marks = [
        Mark(number, "", place(found), height(100 * row.headline), row.path is not None)
        for number, (_, row, found) in enumerate(known, 1)
    ]
    return Chart(title, x, "points", across, up, [name for name, *_ in known], marks)


def _over_time(compared: Sequence[Beside]) -> Chart | None:
    """The mean of all objects in each part of their videos (mask embedding, figure 1d)."""
    rows = [each.row for each in compared]
    measures = measures_over_time(rows)
    lines: list[list[tuple[float, float]]] = []
    for each in compared:
        curves = each.curves.values()
        means = [np.mean([curve.measures[name] for name in measures], axis=0) for curve in curves if len(curve.frames)]
        parts = [[part.mean() for part in np.array_split(values, PARTS) if len(part)] for values in means]
        whole = [each for each in parts if len(each) == PARTS]  # a video of fewer frames has no tenths
        mean = np.mean(whole, axis=0) if whole else []
        lines.append([(100 * (place + 0.5) / PARTS, 100 * float(value)) for place, value in enumerate(mean)])
    what = "&".join(measures)
    return _lines(rows, lines, f"{what} over time", "percent of the video")


def _losses(rows: Sequence[Row]) -> Chart | None:
    known = [(row.record.training or {}).get("losses") or [] for row in rows]
    lines = [[(step, loss) for step, loss in losses] for losses in known]
    return _lines(rows, lines, "Loss of the trainings", "step")


def _lines(rows: Sequence[Row], lines: Sequence[Sequence[tuple[float, float]]], title: str, x: str) -> Chart | None:
    called = names(rows, marked=True)
    known = [(name, line) for name, line in zip(called, lines, strict=True) if len(line) > 1]
    if not known:
        return None
    place, across = _axis([point[0] for _, line in known for point in line], LEFT, RIGHT, linear=True)
    height, up = _axis([point[1] for _, line in known for point in line], BOTTOM, TOP, linear=True)
    marks = []
    for number, (_, line) in enumerate(known, 1):
        points = [(place(step), height(value)) for step, value in line]
        marks.append(Mark(number, " ".join(f"{a:g},{b:g}" for a, b in points), *points[-1]))
    return Chart(title, x, "lines", across, up, [name for name, _ in known], marks)


def _axis(
    values: Sequence[float], start: int, end: int, *, linear: bool = False
) -> tuple[Callable[[float], float], Ticks]:
    """Where values lie between two places, and ticks. It is logarithmic if the values are far apart."""
    logarithmic = not linear and min(values) > 0 and max(values) > WIDE * min(values)
    scaled: Callable[[float], float] = math.log10 if logarithmic else float
    ticks = _decades(values) if logarithmic else _steps(values)
    low, high = scaled(ticks[0]), scaled(ticks[-1])

    def place(value: float) -> float:
        return round(start + (end - start) * (scaled(value) - low) / (high - low), 1)

    return place, [(place(tick), f"{tick:g}") for tick in ticks]


def _decades(values: Sequence[float]) -> list[float]:
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(first, last + 1)]


def _steps(values: Sequence[float]) -> list[float]:
    """Up to about seven round numbers around the values."""
    low, high = min(values), max(values)
    rough = max(high - low, abs(high) * 0.01, 1e-9) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _device(rows: Sequence[Row]) -> str:
    """The device on which most rows were timed: speeds on others cannot be compared."""
    found = [device for row in rows if row.path and (device := (row.record.speed or {}).get("device"))]
    return max(found, key=found.count) if found else ""


def _fps(device: str) -> Callable[[Row], float | None]:
    return lambda row: (row.record.speed or {}).get("fps") if (row.record.speed or {}).get("device") == device else None


def _parameters(row: Row) -> float | None:
    return None if row.record.parameters is None else row.record.parameters / 1e6


def _hours(row: Row) -> float | None:
    return total_hours(row.record.training)
