"""Leaderboards from result records: which results are comparable, and the confidence of their differences."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from vosbench.evaluation.board import columns
from vosbench.evaluation.board.columns import UNKNOWN, Column
from vosbench.evaluation.board.names import names
from vosbench.evaluation.board.notes import notes_on
from vosbench.evaluation.board.rows import COMPARABLE, Row
from vosbench.evaluation.board.seeds import grouped
from vosbench.evaluation.board.statistics import Interval, bootstrap, paired_difference
from vosbench.evaluation.results.records import restrictions
from vosbench.util.errors import UserError, unknown

Mixed = Literal["supervision"] | bool


@dataclass(frozen=True)
class Board:
    """One table: rows with the best first, and notes for the reader.

    mixed  the rows are of several kinds
    only   the headers of the columns to show, in order; (): all
    """

    title: str
    rows: list[Row]
    mixed: bool = False
    notes: list[str] = field(default_factory=list)
    only: Sequence[str] = ()

    @cached_property
    def columns(self) -> list[Column]:
        """The columns to show that are not empty."""
        found = columns.of(self.rows, mixed=self.mixed)
        wanted = [name.casefold() for name in self.only]
        chosen = [column for column in found if column.header.casefold() in wanted]
        return sorted(chosen, key=lambda column: wanted.index(column.header.casefold())) if wanted else found

    @cached_property
    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Headers, and each row's cells as text; scores in percent."""
        lines = [[column.cell(row) or UNKNOWN for column in self.columns] for row in self.rows]
        return [column.header for column in self.columns], lines


def boards(
    rows: Sequence[Row],
    *,
    mixed: Mixed = False,
    baseline: str | None = None,
    published: Sequence[Row] = (),
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Board]:
    """One board for each data set (with the part of it and the annotations that were scored), split, protocol,
    resolution and kind of frames, and for methods that learned from masks; a single board of all results if `mixed`.

    mixed     "supervision": only methods that learned from masks and others share a board
    baseline  a method or run that each row of its board is also compared with

    Raises UserError if no row is of this method or run, or several rows of one board are.
    """
    rows = grouped(rows)
    if baseline and not any(baseline in _called(row) for row in rows):
        known = sorted({name for row in rows for name in _called(row)})
        raise UserError(f"baseline={baseline} is no method or run here: choose from {', '.join(known)}")
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(_group(row, mixed), []).append(row)
    made = [
        board(group, mixed=mixed, baseline=baseline, published=published, resamples=resamples, seed=seed)
        for _, group in sorted(groups.items())
    ]
    for tell in (_with_supervision, _with_annotations):
        titles = Counter(each.title for each in made)
        made = [tell(each) if titles[each.title] > 1 else each for each in made]
    return made


def only(boards: Sequence[Board], headers: Sequence[str]) -> list[Board]:
    """The boards with these columns alone. Raises UserError for a name that no column has."""
    known = {column.header.casefold(): column.header for board in boards for column in board.columns}
    for header in headers:
        if header.casefold() not in known:
            raise UserError(unknown("column", header, list(known.values())))
    return [replace(board, only=headers) for board in boards]


def board(
    rows: Sequence[Row],
    *,
    mixed: Mixed = False,
    baseline: str | None = None,
    published: Iterable[Row] = (),
    resamples: int = 10_000,
    seed: int = 0,
) -> Board:
    """One table: measured rows with their intervals, and published rows that were scored on the same frames.

    Raises UserError for an ambiguous baseline and, unless `mixed`, if rows are of several kinds, naming what differs.
    """
    kinds = sorted({_group(row, "supervision" if mixed else False) for row in rows})
    if len(kinds) > 1 and mixed is not True:
        raise UserError(f"these results differ in {_differences(kinds)}: make separate tables, or mixed=true for one")
    sorts, places = {row.is_supervised for row in rows}, {row.kind for row in rows}
    quoted = [row for row in published if row.kind in places and (mixed or row.is_supervised in sorts)]
    ranked_by = _common_score([*rows, *quoted])
    rows, quoted = ([replace(row, ranked_by=ranked_by) for row in some] for some in (rows, quoted))
    reference = _baseline(rows, baseline)
    best = {sort: _best(row for row in rows if row.is_supervised == sort) for sort in sorts}
    measured = [_measured(row, best[row.is_supervised], reference, resamples, seed) for row in rows]
    ordered = sorted([*measured, *quoted], key=lambda row: row.rank)
    ordered = [replace(row, name=name) for row, name in zip(ordered, names(ordered), strict=True)]
    several = len({_kind(row) for row in rows}) > 1
    notes = notes_on(ordered, _best(measured), resamples, seed, None if reference else baseline)
    return Board("mixed results" if several else _title(ordered), ordered, several, notes)


def _kind(row: Row) -> tuple[str, ...]:
    """The kind of a row, by the fields COMPARABLE and the annotations. Only rows of one kind may share a table."""
    return *row.kind, row.annotations or ""


def _group(row: Row, mixed: Mixed) -> tuple[str, ...]:
    """What the rows of a board have in common."""
    sort = "supervised" if row.is_supervised else "not supervised"
    return {True: (), "supervision": _kind(row)}.get(mixed, (*_kind(row), sort))


def _called(row: Row) -> tuple[str, ...]:
    """What `baseline` may call a row."""
    return row.record.method, *(each.run for each in row.seeds or (row,))


def _title(rows: Sequence[Row]) -> str:
    """The title: what all rows have in common."""
    record, sizes = rows[0].record, {row.record.inference for row in rows}
    parts = [f"{record.dataset} {record.split}", record.resolution, f"{record.frames} frames"]
    parts += restrictions(record.subset, sizes.pop() if len(sizes) == 1 else None)
    propagated = [f"propagation {record.propagation}"] if record.propagation else []
    return ", ".join([*parts, f"protocol {rows[0].protocol_title}", *propagated])


def _with_supervision(board: Board) -> Board:
    """The board with a title that also says whether its methods learned from masks."""
    sorts = {row.is_supervised for row in board.rows}
    return replace(board, title=f"{board.title}, {'supervised' if sorts == {True} else 'not supervised'}")


def _with_annotations(board: Board) -> Board:
    """The board with a title that also says which annotations its rows were scored against."""
    annotations = next((row.annotations for row in board.rows if row.annotations), "unknown")
    return replace(board, title=f"{board.title}, annotations {annotations[:8]}")


def _best(rows: Iterable[Row]) -> Row:
    return min(rows, key=lambda row: row.measure.rank(row.headline))


def _measured(row: Row, best: Row, reference: Row | None, resamples: int, seed: int) -> Row:
    """The row with its intervals; there is no difference to a row scored on other objects."""

    def compare(other: Row | None, *, tested: bool) -> Interval | None:
        if other is None or row is other or not row.is_comparable(other):
            return None
        return paired_difference(row.sample, other.sample, resamples, seed, tested=tested)

    interval = bootstrap(row.sample, resamples, seed)
    to_best, to_baseline = compare(best, tested=False), compare(reference, tested=True)
    return replace(row, interval=interval, to_best=to_best, to_baseline=to_baseline)


def _common_score(rows: Sequence[Row]) -> str:
    """The first score of the first row that all rows have (a row may have J&F but no G); "" if there is none."""
    return next((name for name in rows[0].record.scores if all(name in row.record.scores for row in rows)), "")


def _differences(kinds: Sequence[tuple[str, ...]]) -> str:
    columns = zip((*COMPARABLE, "annotations", "supervision"), zip(*kinds, strict=True), strict=True)
    return "; ".join(
        f"{key} ({', '.join(sorted(value[:40] or 'unknown' for value in set(values)))})"
        for key, values in columns
        if len(set(values)) > 1
    )


def _baseline(rows: Sequence[Row], name: str | None) -> Row | None:
    found = [row for row in rows if name and name in _called(row)]
    if len(found) > 1:
        runs = ", ".join(row.run for row in found)
        raise UserError(f"baseline={name} names {len(found)} results of one table: name one of the runs {runs}")
    return found[0] if found else None
