"""One scoring run: from label maps to a record with tables and pictures. `evaluate` and `benchmark` share it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from vosbench.evaluation.predictions.joints import JointFolder
from vosbench.evaluation.predictions.label_maps import Source, hash_annotations, hash_predictions
from vosbench.evaluation.protocols.protocol import Protocol, protocol_named
from vosbench.evaluation.results import picture_index, pictures, records
from vosbench.evaluation.results.records import Record
from vosbench.evaluation.results.score_tables import write_tables
from vosbench.evaluation.scoring.evaluate import Scores, evaluate
from vosbench.runs.code import sources
from vosbench.runs.identity import digest
from vosbench.util.terminal import Terminal
from vosbench.util.wording import counted
from vosbench.video.video import Dataset

# Fields about what was scored, not how well: they can be corrected without scoring again.
LABELS = (
    *("method", "algorithm", "supervision", "training_data", "checkpoint", "training"),
    *("resolution", "frames", "subset", "inference", "propagation", "remarks"),
)
RESTRICTING = ("sequences", "exclude", "max_frames")  # settings that restrict a data set
ACROSS = 8  # if there are more scores, they are printed one below the other
NARROWEST = 44  # columns of a table, whose title is broken into lines of its width
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoringRun:
    """Label maps, or joints, to be scored under a protocol.

    run       the folder whose `results/` gets record, tables and pictures
    settings  of the data set; if they leave out videos or frames, predictions for these are no mistake
    workers, cache, pictures: as in conf/evaluate.yaml
    """

    dataset: Dataset
    source: Source | JointFolder
    protocol: Protocol
    run: Path
    settings: Mapping[str, Any]
    workers: int
    cache: str | None
    pictures: int

    @property
    def path(self) -> Path:
        return records.path_of(self.run, self.dataset.name, self.dataset.split, self.protocol.name)

    def hashes(self) -> dict[str, str]:
        """Hashes of what a score depends on: predictions, annotations, and the code that scores them."""
        return {
            "predictions": hash_predictions(self.source, (video.name for video in self.dataset.videos)),
            "annotations": hash_annotations(self.dataset),
            "code": digest(sources(["vosbench.evaluation.scoring.sequence", self.protocol.score.__module__])),
        }

    def subset(self) -> dict[str, int | None] | None:
        """The part of the data set that is scored; None: all of it."""
        videos, frames = len(self.dataset.videos), self.settings.get("max_frames")
        whole = getattr(self.dataset, "whole", videos)  # a user's own data set may not have it
        every = self.settings.get("every", 1)
        if videos == whole and not frames and every == 1:
            return None
        return {"videos": videos, "of": whole, "max_frames": frames} | ({"every": every} if every > 1 else {})

    def make(self, facts: Mapping[str, Any], provenance: Mapping[str, Any], *, overwrite: bool) -> Record:
        """Makes and prints the record. If one from the same inputs exists, only its labels are updated.

        facts  further fields of the record

        Raises UserError for a record from other inputs, saying what differs, unless `overwrite`; and like `evaluate`.
        """
        where = {"resolution": self.dataset.resolution, "frames": self.dataset.frames, "subset": self.subset()}
        fields = {**facts, **where}
        drawn = not self.pictures or picture_index.is_current(self.path.with_suffix(""))
        if not overwrite and records.is_current(self.path, provenance["hashes"]) and drawn:
            return self._labelled({key: value for key, value in fields.items() if key in LABELS})
        scores = evaluate(
            self.dataset,
            self.source,
            self.protocol,
            self.workers,
            ignore_extra=any(self.settings.get(key) for key in RESTRICTING) or self.settings.get("every", 1) > 1,
            cache=Path(self.cache) if self.cache else None,
        )
        record = Record(
            **fields,
            dataset=self.dataset.name,
            split=self.dataset.split,
            protocol=self.protocol.name,
            scores=scores.scores,
            objects={str(key): values for key, values in scores.objects.items()},
            provenance=dict(provenance),
        )
        self._write(record, scores)
        show(record)
        log.info("wrote %s", self.path)
        return record

    def _labelled(self, labels: Mapping[str, Any]) -> Record:
        stored = records.read(self.path)
        record = replace(stored, **labels)
        if record != stored:
            records.write(record, records.read_frames(self.path), self.path)
        show(record)
        what = "nothing to do" if record == stored else "only labelled anew"
        log.info("%s was made from these very files: %s", self.path, what)
        return record

    def _write(self, record: Record, scores: Scores) -> None:
        """Writes tables and pictures into the folder of the record's name, and then the record."""
        folder = self.path.with_suffix("")
        write_tables(scores, record.split, folder)
        pictures.write_pictures(self.dataset, self.source, scores, folder, self.pictures)
        records.write(record, records.arrays_of(scores.curves), self.path)


def show(record: Record) -> None:
    """Prints the scores in percent under the protocol, resolution and frames they hold for."""
    protocol = protocol_named(record.protocol)
    parts = [f"{record.dataset} {record.split}", record.resolution, f"{record.frames} frames"]
    parts += records.restrictions(record.subset, record.inference)
    parts += [f"propagation {record.propagation}"] if record.propagation else []
    headline = protocol.measure(next(iter(record.scores)))
    is_plain_mean = headline.parts and not headline.groups
    of = f", mean over {counted(len(record.objects), 'object')}" if is_plain_mean else ""
    title, caption = f"{record.method} on {', '.join(parts)}", f"protocol {protocol.title}, percent{of}"
    table = Table(title=title, caption=caption, min_width=NARROWEST)
    cells = {name: f"{100 * value:.1f}" for name, value in record.scores.items()}
    if len(cells) <= ACROSS:
        for name in cells:
            table.add_column(name, justify="right")
        table.add_row(*cells.values())
    else:
        for header in ("score", "percent"):
            table.add_column(header, justify="right")
        for row in cells.items():
            table.add_row(*row)
    Terminal().print(table)
    for remark in record.remarks:
        log.info("remark: %s", remark)
