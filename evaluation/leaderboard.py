"""Leaderboards from result records: who is compared with whom, how sure it is, and the rows as csv, Markdown and LaTeX."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from vosbench.evaluation import records
from vosbench.evaluation.records import Record
from vosbench.evaluation.statistics import Interval, bootstrap, paired_difference

HEADLINE = "J&F-Mean"
COMPARABLE = ("dataset", "split", "protocol", "resolution", "frames")
UNKNOWN = "–"


@dataclass(frozen=True)
class Row:
    """One result. `path` is its record's file, or None for a number quoted from `source`, whose objects are not known.

    run            the run's folder, relative to the folder that was searched
    interval       95 % of J&F over sequences; to_best and to_baseline: of the paired differences in J&F (all fractions)
    """

    record: Record
    run: str = ""
    path: Path | None = None
    source: str = ""
    interval: Interval | None = None
    to_best: Interval | None = None
    to_baseline: Interval | None = None

    def headline(self) -> dict[str, float]:
        """J&F of each object."""
        return {name: (values["J-Mean"] + values["F-Mean"]) / 2 for name, values in self.record.objects.items()}


@dataclass(frozen=True)
class Board:
    """One table: rows that may be compared, the best first, and what a reader must know beside the numbers."""

    title: str
    rows: list[Row]
    mixed: bool = False
    notes: list[str] = field(default_factory=list)


def load(runs: Path) -> list[Row]:
    """Every record under `runs`. Raises ValueError when there is none, or one cannot be read."""
    paths = sorted(runs.glob("**/results/*.json"))
    if not paths:
        raise ValueError(f"no result record (**/results/*.json) in {runs}: run vosbench benchmark or evaluate first, or set runs")
    folders = [path.parents[1] for path in paths]
    names = [str(folder.relative_to(runs)) if folder != runs else folder.resolve().name for folder in folders]
    return [Row(records.read(path), run, path) for path, run in zip(paths, names, strict=True)]


def load_published() -> list[Row]:
    """Numbers quoted from papers (published.yaml), as fractions."""
    tables = cast(list[dict[str, Any]], OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("published.yaml"))))
    return [_quoted(table, result) for table in tables for result in table["results"]]


def _quoted(table: dict[str, Any], result: dict[str, Any]) -> Row:
    scores = {name: value / 100 for name, value in result.items() if isinstance(value, float)}
    where = {key: table[key] for key in ("dataset", "split", "protocol", "resolution")}
    record = Record(method=result["method"], supervision=result["supervision"], scores=scores, objects={}, frames="all", **where)
    return Row(record, source="; ".join(filter(None, [table["source"], result.get("note")])))


def boards(rows: Sequence[Row], *, mixed: bool = False, **settings: Any) -> list[Board]:
    """One board for each data set, split, protocol, resolution and kind of frames; `mixed`: a single one. Settings: see `board`."""
    if mixed:
        return [board(rows, mixed=True, **settings)]
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(_comparable(row), []).append(row)
    return [board(group, **settings) for _, group in sorted(groups.items())]


def board(
    rows: Sequence[Row],
    *,
    mixed: bool = False,
    baseline: str | None = None,
    published: Iterable[Row] = (),
    resamples: int = 10_000,
    seed: int = 0,
) -> Board:
    """One table of measured rows, with intervals, and of the published ones that were scored on the same frames.

    baseline  method or run that each row is also compared with, where it is among the rows
    Raises ValueError naming what differs when rows are not comparable, unless `mixed`; and for an ambiguous baseline.
    """
    kinds = {_comparable(row) for row in rows}
    if len(kinds) > 1 and not mixed:
        differing = [f"{key} ({', '.join(sorted(set(values)))})" for key, *values in zip(COMPARABLE, *kinds, strict=True)
                     if len(set(values)) > 1]  # fmt: skip
        raise ValueError(f"these results differ in {'; '.join(differing)}: make separate tables, or allow it with mixed=true")
    ordered = sorted(rows, key=lambda row: (-row.record.scores[HEADLINE], row.record.method, row.run))
    reference = _find(baseline, ordered)
    best = ordered[0].headline()
    compared = [
        replace(
            row,
            interval=bootstrap(own := row.headline(), resamples, seed),
            to_best=None if row is ordered[0] else paired_difference(own, best, resamples, seed),
            to_baseline=None if row in (None, reference) or reference is None else paired_difference(own, reference.headline(), resamples, seed),
        )
        for row in ordered
    ]
    quoted = [row for row in published if _comparable(row) in kinds]
    everything = sorted([*compared, *quoted], key=lambda row: -row.record.scores[HEADLINE])
    title = "mixed results" if len(kinds) > 1 else "{} {}, {}, {} frames, protocol {}".format(*_reordered(next(iter(kinds))))
    return Board(title, everything, len(kinds) > 1, _notes(compared, quoted))
