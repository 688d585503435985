"""`vosbench evaluate`: scores a folder of label maps or joints under a protocol and writes one result record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.predictions.joints import JointFolder
from vosbench.evaluation.predictions.label_maps import open_source
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.results.provenance import provenance
from vosbench.evaluation.results.records import Record
from vosbench.evaluation.results.scoring_run import ScoringRun
from vosbench.evaluation.scoring import official
from vosbench.evaluation.scoring.evaluate import check_compares
from vosbench.inference.prediction_folder import PredictionFolder
from vosbench.settings.making import made
from vosbench.settings.options import FileName, Placed, Where
from vosbench.util.errors import UserError
from vosbench.util.supervision import Supervision
from vosbench.util.terminal import Terminal
from vosbench.video.leftovers import check_all_read
from vosbench.video.video import Dataset


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/evaluate.yaml, which explains them."""

    run: Where[FileName]
    overrides: Where[list[str]]
    dataset: Placed[dict[str, Any]]
    predictions: FileName | None
    protocol: Placed[str | None]
    scorer: Where[str]
    workers: Where[int]
    cache: Where[FileName | None]
    pictures: Where[int]
    overwrite: Where[bool]
    method_name: str
    supervision: Where[Supervision | None]
    training_data: Where[str | None]
    checkpoint: Where[FileName | None]


def run(options: Options) -> None:
    """Raises UserError for unusable predictions, and if this run's record was made from other files."""
    if options.scorer not in ("vosbench", "official"):
        raise UserError(f"scorer={options.scorer}: choose from vosbench, official")
    dataset: Dataset = made(options.dataset, "dataset")
    protocol = protocol_named(options.protocol or dataset.protocol)
    if options.scorer == "official":
        official.check(protocol)
    check_all_read(dataset.videos)
    check_compares(dataset, protocol)
    folder = Path(options.predictions or Path(options.run) / "predictions" / f"{dataset.name}-{dataset.split}")
    if options.predictions is None and not folder.exists():
        raise UserError("give predictions=<folder of <sequence>/<frame>.png>: this run itself has predicted nothing")
    scoring = ScoringRun(
        dataset=dataset,
        source=JointFolder(folder) if protocol.compares == "joints" else open_source(folder),
        protocol=protocol,
        run=Path(options.run),
        settings=options.dataset,
        workers=options.workers,
        cache=options.cache,
        pictures=options.pictures,
    )
    if folder.resolve() in scoring.path.resolve().parents:
        raise UserError(f"the results would be written into {folder}, which is read: choose another run folder")
    names, predicted = [video.name for video in dataset.videos], PredictionFolder(folder)
    noted = predicted.facts(names)
    facts = {
        "method": options.method_name,
        "algorithm": noted.get("algorithm"),
        "inference": noted.get("inference"),
        "propagation": noted.get("propagation"),
        "supervision": options.supervision or noted.get("supervision"),
        "training_data": options.training_data or noted.get("training_data"),
        "checkpoint": options.checkpoint or noted.get("checkpoint"),
        "training": None if options.checkpoint else noted.get("training"),
    }
    origin = provenance("evaluate", options.overrides, None, scoring.hashes(), predicted.commits(names))
    record = scoring.make(facts, origin, overwrite=options.overwrite)
    if options.scorer == "official" and not isinstance(scoring.source, JointFolder):
        show_differences(record, *official.score(dataset, scoring.source, protocol))


def show_differences(
    record: Record, scores: Mapping[str, float], objects: Mapping[ObjectKey, Mapping[str, float]]
) -> None:
    """Prints our scores (fractions) beside the official scorer's, and the largest difference of any object's mean."""
    table = Table(
        title=f"{record.dataset} {record.split}: vosbench and the official scorer, protocol {record.protocol}"
    )
    for header in ("", "vosbench", "official", "difference"):
        table.add_column(header, justify="right")
    for name, score in record.scores.items():
        table.add_row(name, f"{score:.12f}", f"{scores[name]:.12f}", f"{score - scores[name]:+.1e}")
    # Sorted within each sequence: under davis-unsupervised the official tool numbers objects like their proposals.
    ours = {ObjectKey.parse(name): values for name, values in record.objects.items()}
    kinds = {(key.sequence, name) for key, values in objects.items() for name in values}
    worst = max(
        abs(one - other)
        for kind in kinds
        for one, other in zip(*(_sorted(found, *kind) for found in (ours, objects)), strict=True)
    )
    Terminal().print(table, f"largest difference of an object's J or F: {worst:.1e} ({len(objects)} objects)")


def _sorted(objects: Mapping[ObjectKey, Mapping[str, float]], sequence: str, measure: str) -> list[float]:
    return sorted(values[measure] for key, values in objects.items() if key.sequence == sequence)
