"""Leaderboards from result records: who may be compared with whom, and how sure the differences are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from vosbench.evaluation.board.statistics import Interval, bootstrap, paired_difference, sequence_of
from vosbench.evaluation.protocols.protocol import described, why_unofficial
from vosbench.evaluation.results import records
from vosbench.evaluation.results.records import Record
from vosbench.util.errors import UserError

COMPARABLE = ("dataset", "split", "protocol", "resolution", "frames")


@dataclass(frozen=True)
class Row:
    """One result. `path` is its record's file, or None for a number quoted from `source`, whose objects are not known.

    run            the run's folder, relative to the folder that was searched
    remark         what is odd about a quoted number
    ranked_by      the score that ranks its board; "": the first that its protocol gives
    interval       95 % of J&F over sequences; to_best and to_baseline: of the paired differences in J&F (all fractions)
    to_best        supervised rows are compared with the best of them, the others with the best of the others
    """

    record: Record
    run: str = ""
    path: Path | None = None
    source: str = ""
    remark: str = ""
    interval: Interval | None = None
    to_best: Interval | None = None
    to_baseline: Interval | None = None
    ranked_by: str = ""

    @property
    def kind(self) -> tuple[str, ...]:
        """Only rows of one kind may share a table."""
        return tuple(str(getattr(self.record, key)) for key in COMPARABLE)

    @property
    def is_supervised(self) -> bool:
        """Whether it learned from masks, so that it does not compete with those that did not, or do not say."""
        return self.record.supervision == "supervised"

    @property
    def headline_name(self) -> str:
        return self.ranked_by or next(iter(self.record.scores))

    @property
    def annotations(self) -> str | None:
        """A hash of what it was scored against: the frames and masks of the data set as it was restricted."""
        found = (self.record.provenance or {}).get("hashes", {}).get("annotations")
        return None if found is None else str(found)

    @property
    def headline(self) -> float:
        return self.record.scores[self.headline_name]

    def headlines(self) -> dict[str, float]:
        """J&F by object; nothing under a protocol that does not score objects by J and F."""
        objects = self.record.objects.items()
        return {name: (values["J-Mean"] + values["F-Mean"]) / 2 for name, values in objects if "J-Mean" in values}

    def groups(self) -> dict[str, str]:
        """By object, the group whose mean the headline averages: G is over seen and unseen categories."""
        objects = self.record.objects.items()
        return {name: str(values["seen"]) for name, values in objects} if self.headline_name == "G" else {}


@dataclass(frozen=True)
class Board:
    """One table: rows, the best first, and what a reader must know beside them. `mixed`: they are of several kinds."""

    title: str
    rows: list[Row]
    mixed: bool = False
    notes: list[str] = field(default_factory=list)


def load(runs: Path) -> list[Row]:
    """Every record under `runs`. Raises UserError when there is none, or one cannot be read."""
    paths = sorted(runs.glob("**/results/*.json"))
    if not paths:
        raise UserError(f"no result record (**/results/*.json) in {runs}: run vosbench benchmark first, or set runs")
    return [Row(records.read(path), _run_name(path.parents[1], runs), path) for path in paths]


def load_published() -> list[Row]:
    """Numbers quoted from papers (published.yaml), as fractions."""
    tables = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("published.yaml")))
    return [_quoted(table, result) for table in cast(list[dict[str, Any]], tables) for result in table["results"]]


def boards(
    rows: Sequence[Row],
    *,
    mixed: bool = False,
    baseline: str | None = None,
    published: Sequence[Row] = (),
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Board]:
    """One board for each data set, split, protocol, resolution and kind of frames; with `mixed` a single one of all.

    baseline  a method or run that each row is also compared with, where it is on the same board
    Raises UserError when no row is of this method or run, or several are on one board.
    """
    if baseline and not any(baseline in (row.record.method, row.run) for row in rows):
        known = sorted({row.record.method for row in rows} | {row.run for row in rows})
        raise UserError(f"baseline={baseline} is no method or run here: choose from {', '.join(known)}")
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(() if mixed else row.kind, []).append(row)
    return [
        board(group, mixed=mixed, baseline=baseline, published=published, resamples=resamples, seed=seed)
        for _, group in sorted(groups.items())
    ]


def board(
    rows: Sequence[Row],
    *,
    mixed: bool = False,
    baseline: str | None = None,
    published: Iterable[Row] = (),
    resamples: int = 10_000,
    seed: int = 0,
) -> Board:
    """One table of measured rows with their intervals, and of those published ones that were scored on the same frames.

    Raises UserError naming what differs when rows are not of one kind, unless `mixed`; and for an ambiguous baseline.
    """
    kinds = sorted({row.kind for row in rows})
    if len(kinds) > 1 and not mixed:
        raise UserError(f"these results differ in {_differences(kinds)}: make separate tables, or mixed=true for one")
    quoted = [row for row in published if row.kind in kinds]
    ranked_by = _common_score([*rows, *quoted])
    rows, quoted = ([replace(row, ranked_by=ranked_by) for row in some] for some in (rows, quoted))
    reference, sorts = _baseline(rows, baseline), {row.is_supervised for row in rows}
    best = {sort: _best(row for row in rows if row.is_supervised == sort) for sort in sorts}
    measured = [_measured(row, best[row.is_supervised], reference, resamples, seed) for row in rows]
    ordered = sorted([*measured, *quoted], key=lambda row: (-row.headline, row.record.method, row.run))
    dataset, split, protocol, resolution, frames = kinds[0]
    title = f"{dataset} {split}, {resolution}, {frames} frames, protocol {described(protocol)}"
    several = len(kinds) > 1
    notes = _notes(ordered, _best(measured), resamples, seed)
    return Board("mixed results" if several else title, ordered, several, notes)


def _best(rows: Iterable[Row]) -> Row:
    return max(rows, key=lambda row: row.headline)


def _measured(row: Row, best: Row, reference: Row | None, resamples: int, seed: int) -> Row:
    """The row with its intervals; no difference to a row that was scored on something else."""

    def compare(other: Row | None) -> Interval | None:
        if other is None or row is other or not _is_comparable(row, other):
            return None
        return paired_difference(row.headlines(), other.headlines(), resamples, seed, row.groups())

    interval = bootstrap(row.headlines(), resamples, seed, row.groups())
    return replace(row, interval=interval, to_best=compare(best), to_baseline=compare(reference))


def _common_score(rows: Sequence[Row]) -> str:
    """The first score of the first row that all have: G may be missing where J&F is known. "" if there is none."""
    return next((name for name in rows[0].record.scores if all(name in row.record.scores for row in rows)), "")


def _run_name(folder: Path, runs: Path) -> str:
    return str(folder.relative_to(runs)) if folder != runs else folder.resolve().name


def _quoted(table: dict[str, Any], result: dict[str, Any]) -> Row:
    scores = {name: round(value / 100, 6) for name, value in result.items() if isinstance(value, float)}
    where = {key: table[key] for key in COMPARABLE}
    facts: dict[str, Any] = {key: result.get(key) for key in ("supervision", "training_data")}
    record = Record(method=result["method"], scores=scores, objects={}, **facts, **where)
    return Row(record, source=table["source"], remark=result.get("note", ""))


def _differences(kinds: Sequence[tuple[str, ...]]) -> str:
    columns = zip(COMPARABLE, zip(*kinds, strict=True), strict=True)
    return "; ".join(f"{key} ({', '.join(sorted(set(values)))})" for key, values in columns if len(set(values)) > 1)


def _baseline(rows: Sequence[Row], name: str | None) -> Row | None:
    found = [row for row in rows if name and name in (row.record.method, row.run)]
    if len(found) > 1:
        runs = ", ".join(row.run for row in found)
        raise UserError(f"baseline={name} names {len(found)} results of one table: name one of the runs {runs}")
    return found[0] if found else None


def _is_comparable(row: Row, other: Row) -> bool:
    return set(row.record.objects) == set(other.record.objects) and row.annotations == other.annotations


def _notes(rows: Sequence[Row], best: Row, resamples: int, seed: int) -> list[str]:
    sequences = len({sequence_of(name) for name in best.record.objects})
    how = f"bootstrap over sequences ({sequences} in the best row, {resamples:,} resamples, seed {seed})."
    why = "One sequence" if best.record.objects else "No objects"
    if best.record.objects and not best.headlines():
        why = f"{best.headline_name} is no mean over objects"
    notes = [f"95 %: {how}" if best.interval and best.interval.low is not None else f"{why}: no interval can be given."]
    other = [row for row in rows if row.path and not _is_comparable(row, best)]
    if other:
        what = "over other objects, frames or annotations than the best row's"
        notes.append(f"{len(other)} result(s) are {what}: do not compare their means.")
    if len({row.is_supervised for row in rows}) > 1:
        what = "Supervised methods learned from masks, the others did not, or do not say"
        notes.append(f"{what}: Δ best is to the best of the same sort.")
    sources = sorted({row.source for row in rows if row.source})
    notes += [f"† quoted, not measured: {source}." for source in sources]
    notes += [f"† {row.record.method}: {row.remark}." for row in rows if row.remark]
    protocols = sorted({row.record.protocol for row in rows})
    return notes + [f"{described(name)}: {reason}." for name in protocols if (reason := why_unofficial(name))]
