"""Leaderboards from result records: which results are comparable, and the confidence of their differences."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from vosbench.evaluation.board import columns
from vosbench.evaluation.board.columns import UNKNOWN
from vosbench.evaluation.board.rows import COMPARABLE, Row
from vosbench.evaluation.board.statistics import Interval, bootstrap, paired_difference
from vosbench.evaluation.results.records import restrictions
from vosbench.util.errors import UserError


@dataclass(frozen=True)
class Board:
    """One table: rows with the best first, and notes for the reader. `mixed`: the rows are of several kinds."""

    title: str
    rows: list[Row]
    mixed: bool = False
    notes: list[str] = field(default_factory=list)

    @cached_property
    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Headers, and each row's cells as text; scores in percent."""
        chosen = columns.of(self.rows, mixed=self.mixed)
        return [header for header, _ in chosen], [[cell(row) or UNKNOWN for _, cell in chosen] for row in self.rows]


def boards(
    rows: Sequence[Row],
    *,
    mixed: bool = False,
    baseline: str | None = None,
    published: Sequence[Row] = (),
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Board]:
    """One board for each data set (with the part of it and the annotations that were scored), split, protocol,
    resolution and kind of frames; a single board of all results if `mixed`.

    baseline  a method or run that each row of its board is also compared with

    Raises UserError if no row is of this method or run, or several rows of one board are.
    """
    if baseline and not any(baseline in (row.record.method, row.run) for row in rows):
        known = sorted({row.record.method for row in rows} | {row.run for row in rows})
        raise UserError(f"baseline={baseline} is no method or run here: choose from {', '.join(known)}")
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(() if mixed else _kind(row), []).append(row)
    made = [
        board(group, mixed=mixed, baseline=baseline, published=published, resamples=resamples, seed=seed)
        for _, group in sorted(groups.items())
    ]
    titles = Counter(each.title for each in made)
    return [_told_apart(each) if titles[each.title] > 1 else each for each in made]


def board(
    rows: Sequence[Row],
    *,
    mixed: bool = False,
    baseline: str | None = None,
    published: Iterable[Row] = (),
    resamples: int = 10_000,
    seed: int = 0,
) -> Board:
    """One table: measured rows with their intervals, and published rows that were scored on the same frames.

    Raises UserError for an ambiguous baseline and, unless `mixed`, if rows are of several kinds, naming what differs.
    """
    kinds = sorted({_kind(row) for row in rows})
    if len(kinds) > 1 and not mixed:
        raise UserError(f"these results differ in {_differences(kinds)}: make separate tables, or mixed=true for one")
    quoted = [row for row in published if row.kind in {row.kind for row in rows}]
    ranked_by = _common_score([*rows, *quoted])
    rows, quoted = ([replace(row, ranked_by=ranked_by) for row in some] for some in (rows, quoted))
    reference, sorts = _baseline(rows, baseline), {row.is_supervised for row in rows}
    best = {sort: _best(row for row in rows if row.is_supervised == sort) for sort in sorts}
    measured = [_measured(row, best[row.is_supervised], reference, resamples, seed) for row in rows]
    ordered = sorted([*measured, *quoted], key=lambda row: row.rank)
    several = len(kinds) > 1
    notes = _notes(ordered, _best(measured), resamples, seed)
    return Board("mixed results" if several else _title(ordered), ordered, several, notes)


def _kind(row: Row) -> tuple[str, ...]:
    """The kind of a row, by the fields COMPARABLE and the annotations. Only rows of one kind may share a table."""
    return *row.kind, row.annotations or ""


def _title(rows: Sequence[Row]) -> str:
    """The title: what all rows have in common."""
    record, sizes = rows[0].record, {row.record.inference for row in rows}
    parts = [f"{record.dataset} {record.split}", record.resolution, f"{record.frames} frames"]
    parts += restrictions(record.subset, sizes.pop() if len(sizes) == 1 else None)
    return ", ".join([*parts, f"protocol {rows[0].protocol_title}"])


def _told_apart(board: Board) -> Board:
    """The board with a title that also says which annotations its rows were scored against."""
    annotations = next((row.annotations for row in board.rows if row.annotations), "unknown")
    return replace(board, title=f"{board.title}, annotations {annotations[:8]}")


def _best(rows: Iterable[Row]) -> Row:
    return min(rows, key=lambda row: row.measure.rank(row.headline))


def _measured(row: Row, best: Row, reference: Row | None, resamples: int, seed: int) -> Row:
    """The row with its intervals; there is no difference to a row scored on other objects."""

    def compare(other: Row | None) -> Interval | None:
        if other is None or row is other or not _is_comparable(row, other):
            return None
        return paired_difference(row.headlines, other.headlines, resamples, seed, row.groups)

    interval = bootstrap(row.headlines, resamples, seed, row.groups)
    return replace(row, interval=interval, to_best=compare(best), to_baseline=compare(reference))


def _common_score(rows: Sequence[Row]) -> str:
    """The first score of the first row that all rows have (a row may have J&F but no G); "" if there is none."""
    return next((name for name in rows[0].record.scores if all(name in row.record.scores for row in rows)), "")


def _differences(kinds: Sequence[tuple[str, ...]]) -> str:
    columns = zip((*COMPARABLE, "annotations"), zip(*kinds, strict=True), strict=True)
    return "; ".join(
        f"{key} ({', '.join(sorted(value[:40] or 'unknown' for value in set(values)))})"
        for key, values in columns
        if len(set(values)) > 1
    )


def _baseline(rows: Sequence[Row], name: str | None) -> Row | None:
    found = [row for row in rows if name and name in (row.record.method, row.run)]
    if len(found) > 1:
        runs = ", ".join(row.run for row in found)
        raise UserError(f"baseline={name} names {len(found)} results of one table: name one of the runs {runs}")
    return found[0] if found else None


def _is_comparable(row: Row, other: Row) -> bool:
    return set(row.record.objects) == set(other.record.objects) and row.annotations == other.annotations


def _notes(rows: Sequence[Row], best: Row, resamples: int, seed: int) -> list[str]:
    notes = [_interval_note(best, resamples, seed)]
    other = [row for row in rows if row.path and not _is_comparable(row, best)]
    if other:
        what = "over other objects, frames or annotations than the best row's"
        notes.append(f"{len(other)} result(s) are {what}: do not compare their means.")
    if len({row.is_supervised for row in rows}) > 1:
        what = "Supervised methods learned from masks or labels, the others did not, or do not say"
        notes.append(f"{what}: Δ best is to the best of the same sort.")
    if any(row.record.supervision == "flow-supervised" for row in rows):
        notes.append("Flow-supervised: no masks or labels of objects; the flow network learned from true flow.")
    if len({row.record.inference for row in rows if row.path}) > 1:
        notes.append("Methods saw the frames at different sizes (Seen at); all were scored at the original size.")
    sources = {short: source for row in rows for short, source in row.sources.items()}
    notes += [f"† {short}: quoted, not measured, from {sources[short]}." for short in sorted(sources)]
    notes += [f"† {row.record.method}: {row.remark}." for row in rows if row.remark]
    notes += [f"{row.record.method} ({row.run}): {remark}" for row in rows for remark in row.record.remarks]
    reasons = {row.protocol_title: row.rules.unofficial for row in rows if row.rules and row.rules.unofficial}
    return notes + [f"{title}: {reason}." for title, reason in sorted(reasons.items())]


def _interval_note(best: Row, resamples: int, seed: int) -> str:
    """A note on how the intervals were computed, or why there are none."""
    if best.interval and best.interval.low is not None:
        sequences = len({key.sequence for key in best.objects})
        return f"95 %: bootstrap over sequences ({sequences} in the best row, {resamples:,} resamples, seed {seed})."
    why = "One sequence" if best.objects else "No objects"
    if best.objects and not best.headlines:
        why = f"{best.measure.name} is no mean over objects"
    return f"{why}: no interval can be given."
