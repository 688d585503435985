"""Tables of the report as plain data: headers with their sides, and cells as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vosbench.evaluation.board.columns import UNKNOWN, is_text, percent
from vosbench.evaluation.board.leaderboard import Board
from vosbench.evaluation.board.names import names
from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.protocols.protocol import Measure

ATTRIBUTES = "Attributes"
QUALIFYING = ("95 %", "Supervision")
DETAILS = ("ms ", "GPU MB", "Param. M", "Steps", "Hours", "Run")


@dataclass(frozen=True)
class Header:
    """`is_text`: its column is aligned left and sorted as text. `stays`: it stays in sight when the table scrolls."""

    text: str
    is_text: bool
    stays: bool = False


@dataclass(frozen=True)
class Table:
    """`what` it shows, for those who cannot see it. The first column names the rows, and stays in sight."""

    what: str
    headers: list[Header]
    rows: list[list[str]]


def board_table(board: Board) -> Table:
    """The board's cells, with the columns in the order of what a reader looks for: a narrow screen shows the first."""
    headers, rows = board.cells
    key = board.rows[0].measure.label
    order = list(range(len(headers)))
    if not board.only:
        order.sort(key=lambda place: _rank(headers[place], place, key))
    made = [Header(headers[place], is_text(headers[place]), headers[place] == key) for place in order]
    return Table(f"Scores: {board.title}", made, [[row[place] for place in order] for row in rows])


def _rank(header: str, place: int, key: str) -> int:
    """How far to the right a column stands: names, the headline, what qualifies it, other numbers, texts, details."""
    if place == 0:
        return 0
    if header == key:
        return 1
    if header in QUALIFYING:
        return 2
    if header.startswith(DETAILS) or header.endswith(("-Recall", "-Decay")):
        return 5
    return 4 if is_text(header) else 3


def sequence_table(rows: Sequence[Row], attributes: Mapping[str, Sequence[str]]) -> Table | None:
    """The mean over each sequence's objects (J&F), with a column for each row of the board."""
    found = _objects(rows)
    if found is None:
        return None
    measure, values = found
    means = [_sequence_means(each, measure) for each in values]
    body = [[name, *(_percent(each.get(name)) for each in means)] for name in sorted(set().union(*means))]
    headers = [Header("Sequence", True), *(Header(name, False) for name in names(rows, marked=True))]
    if any(attributes.get(name) for name, *_ in body):
        headers.append(Header(ATTRIBUTES, True))
        body = [[name, *cells, ", ".join(attributes.get(name, ()))] for name, *cells in body]
    return Table(f"{measure.label} by sequence", headers, body)


def object_table(rows: Sequence[Row]) -> Table | None:
    """The parts (J and F) of each object."""
    found = _objects(rows)
    if found is None:
        return None
    measure, values = found
    body = [
        [key.title, *(_percent(each.get(key, {}).get(part)) for each in values for part in measure.parts)]
        for key in sorted({key for each in values for key in each}, key=str)
    ]
    parts = [Measure(part).label for part in measure.parts]
    headers = [Header(f"{name}: {part}", False) for name in names(rows, marked=True) for part in parts]
    return Table(f"{' and '.join(parts)} of {len(body)} objects", [Header("Object", True), *headers], body)


def _objects(rows: Sequence[Row]) -> tuple[Measure, list[dict[ObjectKey, dict[str, float]]]] | None:
    """The measure that is a mean over objects, and each row's objects that have it; None if there are none."""
    measure = next((row.rules.plain_mean for row in rows if row.rules and row.rules.plain_mean), None)
    if measure is None:
        return None
    values = [{key: each for key, each in row.objects.items() if measure.has(each)} for row in rows]
    return (measure, values) if any(values) else None


def _sequence_means(objects: Mapping[ObjectKey, Mapping[str, float]], measure: Measure) -> dict[str, float]:
    grouped: dict[str, list[float]] = {}
    for key, values in objects.items():
        grouped.setdefault(key.sequence, []).append(measure.of(values))
    return {sequence: float(np.mean(values)) for sequence, values in grouped.items()}


def _percent(value: float | None) -> str:
    return percent(value) or UNKNOWN
