"""Rows of tables: each is a result record, measured here or quoted from a paper."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from vosbench.evaluation.board.statistics import Interval, Sample
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.protocols.protocol import Measure, Protocol, known_protocol
from vosbench.evaluation.results import records
from vosbench.evaluation.results.records import Record
from vosbench.runs.names import key_of
from vosbench.util.errors import UserError
from vosbench.util.wording import printable, some

log = logging.getLogger(__name__)
COMPARABLE = ("dataset", "split", "protocol", "resolution", "frames", "propagation", "subset")
OWN = "own"  # propagation of a method that has its own way


@dataclass(frozen=True)
class Row:
    """One result. `path` is its record's file, or None for a number quoted from papers, whose objects are unknown.

    run            the run's folder, relative to the folder that was searched
    sources        the tables that a number is quoted from, short ("MAMP 1") → with authors and title
    remark         a caveat about a quoted number
    seeds          the rows of single seeds that this is the mean of; (): it is of one
    name           what its table calls it
    ranked_by      the score that ranks its board; "": its protocol's first
    interval       95 % of the headline over sequences; to_best and to_baseline: 95 % of paired differences (fractions)
    to_best        supervised rows are compared with the best of them, the others with the best of the others
    """

    record: Record
    run: str = ""
    path: Path | None = None
    sources: dict[str, str] = field(default_factory=dict)
    remark: str = ""
    seeds: "tuple[Row, ...]" = ()
    name: str = ""
    interval: Interval | None = None
    to_best: Interval | None = None
    to_baseline: Interval | None = None
    ranked_by: str = ""

    @property
    def kind(self) -> tuple[str, ...]:
        """The fields COMPARABLE, as text, which results of one kind have in common."""
        values = (getattr(self.record, key) for key in COMPARABLE[:-1])
        return (*(OWN if value is None else str(value) for value in values), self.part or "all videos")

    @property
    def part(self) -> str | None:
        """The part of the data set that was scored; None: all of it."""
        return records.part_of_set(self.record.subset)

    @property
    def annotations(self) -> str | None:
        """A hash of the annotations it was scored against: those of the part of the data set that was scored."""
        found = ((self.record.provenance or {}).get("hashes") or {}).get("annotations")
        return None if found is None else str(found)

    @property
    def is_supervised(self) -> bool:
        """Whether it learned from masks or labels. Such rows do not compete with rows that did not or do not say."""
        return self.record.supervision == "supervised"

    def is_comparable(self, other: "Row") -> bool:
        """Whether both were scored on the same objects against the same annotations."""
        return set(self.record.objects) == set(other.record.objects) and self.annotations == other.annotations

    @property
    def typed_name(self) -> list[str]:
        """The name that its run was given on the command line, if any."""
        overrides = (self.record.provenance or {}).get("overrides") or []
        return [override.partition("=")[2] for override in overrides if key_of(override) == "name"][-1:]

    @property
    def overrides(self) -> list[str]:
        """What was typed for its training, if its weights say so, and for its prediction."""
        sources = (self.record.training, self.record.provenance)
        return list(dict.fromkeys(each for source in sources for each in (source or {}).get("overrides") or []))

    @cached_property
    def rules(self) -> Protocol | None:
        """Its protocol; None if the record names one that this version does not have."""
        return known_protocol(self.record.protocol)

    @property
    def protocol_title(self) -> str:
        return self.rules.title if self.rules else self.record.protocol

    @cached_property
    def measure(self) -> Measure:
        """The headline measure, which ranks its board."""
        name = self.ranked_by or next(iter(self.record.scores))
        return self.rules.measure(name) if self.rules else Measure(name)

    @property
    def headline(self) -> float:
        return self.record.scores[self.measure.name]

    @property
    def rank(self) -> tuple[float, str, str]:
        """The sort key of rows, best first."""
        return self.measure.rank(self.headline), self.record.method, self.run

    @cached_property
    def objects(self) -> dict[ObjectKey, dict[str, float]]:
        return {ObjectKey.parse(name): values for name, values in self.record.objects.items()}

    @cached_property
    def headlines(self) -> dict[ObjectKey, float]:
        """Each object's share of the headline; empty if the headline is not a mean over objects."""
        measure = self.measure
        return {key: measure.of(values) for key, values in self.objects.items() if measure.has(values)}

    @cached_property
    def sample(self) -> Sample | None:
        """The headlines of each seed; None if the headline is not a mean over objects."""
        seeds = [replace(row, ranked_by=self.ranked_by).headlines for row in self.seeds] or [self.headlines]
        return Sample.of(seeds, self.groups)

    def spread(self, score: str) -> float | None:
        """The standard deviation of a score over seeds; None for a single one."""
        values = [row.record.scores[score] for row in self.seeds if score in row.record.scores]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    @cached_property
    def groups(self) -> dict[ObjectKey, str]:
        """For each object, the group whose mean the headline averages; empty if it has no groups."""
        group = self.measure.groups
        if group is None:
            return {}
        return {key: str(self.objects[key].get(group, "unknown")) for key in self.headlines}


def load(*runs: Path) -> list[Row]:
    """Every record in some folders. A file that is no record, or one of another version, is left out with a warning.

    Raises UserError if there is none that can be read.
    """
    if len(runs) > 1 and (missing := [folder for folder in runs if not folder.is_dir()]):
        log.warning("there is no folder %s: its results are missing here", some(missing))
    found = {path.resolve(): (path, folder) for folder in runs for path in records_in(folder)}
    where = some([str(folder) for folder in runs])
    if not found:
        raise UserError(f"no result record (**/results/*.json) in {where}: run vosbench benchmark first, or set runs")
    several = len(runs) > 1
    rows = [row for path, folder in found.values() if (row := _row(path, folder, several)) is not None]
    if not rows:
        raise UserError(f"none of {len(found)} result records in {where} can be read: evaluate again, or set runs")
    return rows


def load_runs(runs: Path, folders: Iterable[Path]) -> list[Row]:
    """Every record of some run folders, named by their place in `runs`."""
    paths = (path for folder in folders for path in sorted(folder.glob("results/*.json")))
    return [row for path in paths if (row := _row(path, runs, several=False)) is not None]


def records_in(folder: Path) -> list[Path]:
    """The files of all records in a folder."""
    return sorted(folder.glob("**/results/*.json"))


def _row(path: Path, runs: Path, several: bool) -> Row | None:
    """The row of a record. None if it cannot be read, which is said."""
    name = _run_name(path.parents[1], runs)
    try:
        return Row(records.read(path), printable(str(runs / name) if several else name), path)
    except UserError as error:
        log.warning("left out: %s", error)
        return None


def _run_name(folder: Path, runs: Path) -> str:
    return str(folder.relative_to(runs)) if folder != runs and folder.is_relative_to(runs) else folder.resolve().name
