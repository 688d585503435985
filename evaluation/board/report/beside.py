"""What lies beside the records of a board's rows: pictures, facts about videos, and curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vosbench.evaluation.board.names import names
from vosbench.evaluation.board.report.curves import Found, measures_over_time, read_curves
from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.results.picture_index import Facts, Picture, read_facts, read_pictures

METHODS = 6  # most methods in plots, sequence tables and pictures: more cannot be told apart


@dataclass(frozen=True)
class Beside:
    """One measured row, by its short name."""

    name: str
    row: Row
    pictures: list[Picture]
    facts: dict[str, Facts]
    curves: Found


def compared(rows: Sequence[Row]) -> list[Row]:
    """The rows that plots, sequence tables and pictures compare: the first that were measured."""
    return [row for row in rows if row.path][:METHODS]


def read_beside(rows: Sequence[Row], known: set[bytes]) -> list[Beside]:
    """What lies beside the record of each row. `known`: see `read_pictures`."""
    measures = measures_over_time(rows)
    found = []
    for name, row in zip(names(rows, marked=True), rows, strict=True):
        folder = row.path.with_suffix("") if row.path else Path()
        found.append(Beside(name, row, read_pictures(folder, known), read_facts(folder), read_curves(row, measures)))
    return found
