"""`vosbench evaluate`: scores a folder of label maps and writes one result record."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table

import vosbench
from vosbench.evaluation import official, records
from vosbench.evaluation.label_maps import Source, hash_annotations, hash_predictions, open_source
from vosbench.evaluation.pictures import write_pictures
from vosbench.evaluation.protocols import described
from vosbench.evaluation.scoring import Scores, evaluate
from vosbench.evaluation.statistics import sequence_of
from vosbench.videos import Dataset

log = logging.getLogger(__name__)


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
    """Raises ValueError for unusable predictions, and for a record of this run that was made from other files."""
    if options.scorer not in ("vosbench", "official"):
        raise ValueError(f"scorer={options.scorer}: choose from vosbench, official")
    dataset: Dataset = instantiate(options.dataset)
    protocol = options.protocol or dataset.protocol
    if options.scorer == "official":
        official.check(protocol)
    folder = Path(options.predictions or Path(options.run) / "predictions" / f"{dataset.name}-{dataset.split}")
    source = open_source(folder)
    path = records.path_of(Path(options.run), dataset.name, dataset.split, protocol)
    if folder.resolve() in path.resolve().parents:
        raise ValueError(f"the results would be written into {folder}, which is read: choose another run folder")
    hashes = input_hashes(dataset, source)
    if not options.overwrite and records.is_current(path, hashes):
        log.info("%s was made from these very files: nothing to do", path)
        show(record := records.read(path))
    else:
        record = _score(options, dataset, source, protocol, hashes, path)
    if options.scorer == "official":
        show_differences(record, *official.score(dataset, source, protocol))


def _score(
    options: Options, dataset: Dataset, source: Source, protocol: str, hashes: Mapping[str, str], path: Path
) -> records.Record:
    scores = evaluate(
        dataset,
        source,
        protocol,
        options.workers,
        ignore_extra=is_restricted(options.dataset),
        cache=Path(options.cache) if options.cache else None,
    )
    record = records.Record(
        method=options.method_name,
        supervision=options.supervision,
        training_data=options.training_data,
        checkpoint=options.checkpoint,
        dataset=dataset.name,
        split=dataset.split,
        protocol=protocol,
        resolution=dataset.resolution,
        frames=dataset.frames,
        scores=scores.scores,
        objects=scores.objects,
        provenance=records.provenance(options.overrides, None, hashes),
    )
    write_pictures(dataset, source, scores, path.with_suffix(""), options.pictures)
    publish(record, scores, path)
    return record


def input_hashes(dataset: Dataset, source: Source) -> dict[str, str]:
    """What a score depends on: both kinds of label maps, and the version that scores them."""
    return {
        "predictions": hash_predictions(source, (video.name for video in dataset.videos)),
        "annotations": hash_annotations(dataset),
        "version": vosbench.__version__,
    }


def is_restricted(dataset: Mapping[str, Any]) -> bool:
    """Whether a data set's settings leave videos or frames out: predictions of the whole set are then no mistake."""
    return any(dataset.get(key) for key in ("sequences", "exclude", "max_frames"))


def publish(record: records.Record, scores: Scores, path: Path) -> None:
    """Writes the record at `path`, its CSV tables in the folder of the same name, and prints its scores."""
    records.write_tables(scores, record.split, path.with_suffix(""))
    records.write(record, scores.frames, path)
    show(record)
    log.info("wrote %s", path)


def show(record: records.Record) -> None:
    """Prints the scores in percent under the protocol, resolution and frames they hold for."""
    title = f"{record.method} on {record.dataset} {record.split}, {record.resolution}, {record.frames} frames"
    caption = f"protocol {described(record.protocol)}, percent, mean over {len(record.objects)} objects"
    table = Table(title=title, caption=caption)
    for measure in record.scores:
        table.add_column(measure, justify="right")
    table.add_row(*(f"{100 * value:.1f}" for value in record.scores.values()))
    Console().print(table)


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
