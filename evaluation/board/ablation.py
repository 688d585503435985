"""A paper's table beside ours: which results are its rows, and both printed as one table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from vosbench.evaluation.board.columns import UNKNOWN, Column, of
from vosbench.evaluation.board.names import overridden, weights
from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.board.sheet import Sheet
from vosbench.evaluation.published.printing import cells
from vosbench.evaluation.published.schema import Table
from vosbench.evaluation.results.records import restrictions
from vosbench.runs.names import key_of
from vosbench.util.errors import UserError

Needed = Mapping[str, frozenset[str]]  # by key of the paper's row: the overrides that make it


@dataclass(frozen=True)
class Ours:
    """Results of one method on one data set, by key of the paper's row. other: overrides that all of them have."""

    where: tuple[str, ...]
    other: tuple[str, ...]
    rows: dict[str, Row] = field(default_factory=dict)


def ours_of(table: Table, rows: Sequence[Row], scales: Sequence[Needed]) -> list[Ours]:
    """The results that are rows of the paper's table.

    rows    results, those of several seeds as one
    scales  for each size of the experiment, the overrides that make each row. A result is a row if it has these, and no
            others of the keys that vary in the table
    """
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], Ours] = {}
    for row, needed in ((row, needed) for row in rows for needed in scales):
        if row.path is None or row.record.algorithm != table.name.rpartition("_")[0]:
            continue
        keys = {key_of(word) for words in needed.values() for word in words}
        own = frozenset(word for word in row.overrides if key_of(word) in keys)
        other = tuple(sorted(word for word in overridden(row) if key_of(word) not in keys))
        for name in (name for name, words in needed.items() if words == own):
            where = (*row.kind, row.annotations or "", row.record.method, weights(row))
            found.setdefault((where, other), Ours(where, other)).rows[name] = row
    return sorted(found.values(), key=lambda each: (-len(each.rows), each.where, each.other))


def beside(table: Table, ours: Sequence[Ours]) -> Sheet:
    """The paper's table as it is printed, with columns of ours. Raises UserError if there is no result of ours."""
    if not ours:
        raise UserError(
            f"no result here is a row of {table.title}: make them with vosbench benchmark sweep={table.sweep} "
            "scale=mini, or without scale=mini at the paper's size"
        )
    headers, rows = cells(table)
    extended, notes = [list(row) for row in rows], [f"{table.title}: {table.source}.", *table.notes]
    for place, each in enumerate(ours, 1):
        mark = f"ours {place}" if len(ours) > 1 else "ours"
        shown = _columns(table, each)
        headers = [*headers, *(f"{mark}: {column.header}" for column in shown)]
        for line, row in zip(extended, table.rows, strict=True):
            found = each.rows.get(row.key)
            line += [(column.cell(found) if found else "") or UNKNOWN for column in shown]
        notes += [f"{mark}: {_described(each)}.", *_agreement(table, each, mark)]
    texts = sum(column.field in ("system", "setting") for column in table.columns)
    return Sheet(f"{table.title} beside ours: {table.caption}", headers, extended, notes, max(1, texts))


def _columns(table: Table, ours: Ours) -> list[Column]:
    """The headline with its interval, and speed and training where the paper has them."""
    rows = list(ours.rows.values())
    printed = {column.field for column in table.columns}
    wanted = [rows[0].measure.label, "95 %", "Seeds"]
    wanted += ["FPS"] if "fps" in printed else []
    wanted += ["Steps", "Hours"] if "minutes_per_epoch" in printed else []
    return [column for column in of(rows, mixed=False) if column.header.split(" (")[0] in wanted]


def _described(ours: Ours) -> str:
    row = next(iter(ours.rows.values()))
    record = row.record
    parts = [f"{record.method} ({weights(row)})" if weights(row) else record.method]
    parts += [f"{record.dataset} {record.split}", record.resolution, *restrictions(record.subset, record.inference)]
    return ", ".join([*parts, *ours.other])


def _agreement(table: Table, ours: Ours, mark: str) -> Iterator[str]:
    """Whether our rows are in the paper's order, on each of its data sets."""
    for where in table.results:
        scores = {
            row.key: next(iter(row.scores[where.dataset].values())) for row in table.rows if where.dataset in row.scores
        }
        pairs = [pair for pair in combinations(ours.rows, 2) if pair[0] in scores and pair[1] in scores]
        signs = [
            (_sign(scores[one] - scores[other]), _sign(ours.rows[one].headline - ours.rows[other].headline))
            for one, other in pairs
        ]
        told = [(theirs, own) for theirs, own in signs if theirs]
        if told:
            alike = sum(theirs == own for theirs, own in told)
            yield f"{mark}: {alike} of {len(told)} pairs of rows are in the paper's order on {where.dataset}."


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)
