"""`vosbench evaluate`: scores a folder of label maps and writes one result record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vosbench.evaluation.board.statistics import sequence_of
from vosbench.evaluation.predictions.label_maps import open_source
from vosbench.evaluation.results import records
from vosbench.evaluation.results.recording import Recording
from vosbench.evaluation.scoring import official
from vosbench.inference.prediction_folder import PredictionFolder
from vosbench.util.errors import UserError
from vosbench.util.making import made
from vosbench.video.video import Dataset


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/evaluate.yaml, which explains them."""

    run: str
    overrides: list[str]
    dataset: dict[str, Any]
    predictions: str | None
    protocol: str | None
    scorer: str
    workers: int
    cache: str | None
    pictures: int
    overwrite: bool
    method_name: str
    supervision: str | None
    training_data: str | None
    checkpoint: str | None


def run(options: Options) -> None:
    """Raises UserError for unusable predictions, and for a record of this run that was made from other files."""
    if options.scorer not in ("vosbench", "official"):
        raise UserError(f"scorer={options.scorer}: choose from vosbench, official")
    dataset: Dataset = made(options.dataset, "dataset")
    protocol = options.protocol or dataset.protocol
    if options.scorer == "official":
        official.check(protocol)
    folder = Path(options.predictions or Path(options.run) / "predictions" / f"{dataset.name}-{dataset.split}")
    recording = Recording(
        dataset=dataset,
        source=open_source(folder),
        protocol=protocol,
        run=Path(options.run),
        settings=options.dataset,
        workers=options.workers,
        cache=options.cache,
        pictures=options.pictures,
    )
    if folder.resolve() in recording.path.resolve().parents:
        raise UserError(f"the results would be written into {folder}, which is read: choose another run folder")
    noted = PredictionFolder(folder).facts(video.name for video in dataset.videos)
    facts = {
        "method": options.method_name,
        "supervision": options.supervision or noted.get("supervision"),
        "training_data": options.training_data or noted.get("training_data"),
        "checkpoint": options.checkpoint or noted.get("checkpoint"),
    }
    provenance = records.provenance(options.overrides, None, recording.hashes())
    record = recording.make(facts, provenance, overwrite=options.overwrite)
    if options.scorer == "official":
        show_differences(record, *official.score(dataset, recording.source, protocol))


def show_differences(
    record: records.Record, scores: Mapping[str, float], objects: Mapping[str, Mapping[str, float]]
) -> None:
    """Prints our scores (fractions) beside the official scorer's, and the largest difference of any object's mean."""
    table = Table(
        title=f"{record.dataset} {record.split}: vosbench and the official scorer, protocol {record.protocol}"
    )
    for header in ("", "vosbench", "official", "difference"):
        table.add_column(header, justify="right")
    for name, ours in record.scores.items():
        table.add_row(name, f"{ours:.12f}", f"{scores[name]:.12f}", f"{ours - scores[name]:+.1e}")
    # Sorted in each sequence: under davis-unsupervised the official tool numbers objects as their proposals.
    kinds = {(sequence_of(key), name) for key, values in objects.items() for name in values}
    worst = max(
        abs(ours - theirs)
        for kind in kinds
        for ours, theirs in zip(*(_sorted(found, *kind) for found in (record.objects, objects)), strict=True)
    )
    Console().print(table, f"largest difference of an object's J or F: {worst:.1e} ({len(objects)} objects)")


def _sorted(objects: Mapping[str, Mapping[str, float]], sequence: str, measure: str) -> list[float]:
    return sorted(values[measure] for key, values in objects.items() if sequence_of(key) == sequence)
