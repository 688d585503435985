"""`vosbench benchmark`: predicts a data set, scores the label maps or joints, and records scores, speed and memory.

It resumes per video: the timings of finished videos are stored beside their label maps.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vosbench.evaluation.predictions.joints import JointFolder
from vosbench.evaluation.predictions.label_maps import PngFolder
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.results.provenance import provenance
from vosbench.evaluation.results.scoring_run import ScoringRun
from vosbench.evaluation.scoring.evaluate import check_compares, check_lengths
from vosbench.inference.device import device_name
from vosbench.inference.prediction_folder import ChangedCode, Prediction, PredictionFolder
from vosbench.inference.predictor import Predictor, PredictorOptions
from vosbench.runs.claims import TRIES, unlockable, wait_for
from vosbench.runs.identity import digest
from vosbench.settings.making import made
from vosbench.settings.options import FileName, Placed, Where
from vosbench.video.leftovers import check_all_read
from vosbench.video.video import Dataset

log = logging.getLogger(__name__)

TIMED = (
    "image in memory to label map in memory: padding, encoding, flow, matching, upsampling; "
    "not reading, writing or scoring"
)
WARMUP = "the first frame of each sequence is not counted"


@dataclass(frozen=True, kw_only=True)
class Options(PredictorOptions):
    """The keys of conf/benchmark.yaml, which explains them."""

    run: Where[FileName]
    subject: Where[str]
    overwrite: Where[bool]
    changed_code: Where[ChangedCode]
    dataset: Placed[dict[str, Any]]
    protocol: Placed[str | None]
    workers: Where[int]
    cache: Where[FileName | None]
    pictures: Where[int]


def run(options: Options) -> None:
    """Writes the record `<run>/results/<dataset>-<split>-<protocol>.json` and prints its scores."""
    dataset: Dataset = made(options.dataset, "dataset")
    protocol = protocol_named(options.protocol or dataset.protocol)
    check_all_read(dataset.videos)
    check_compares(dataset, protocol)
    check_lengths(dataset, protocol)
    folder = PredictionFolder(Path(options.run, "predictions", f"{dataset.name}-{dataset.split}"))
    predictor = Predictor.load(options)
    predictions = _predict_all(predictor, dataset, folder, options)
    scoring = ScoringRun(
        dataset=dataset,
        source=JointFolder(folder.root) if protocol.compares == "joints" else PngFolder(folder.root),
        protocol=protocol,
        run=Path(options.run),
        settings=options.dataset,
        workers=options.workers,
        cache=options.cache,
        pictures=options.pictures,
    )
    hashes = {
        **scoring.hashes(),
        "method": digest({k: v for video in dataset.videos for k, v in predictor.recipe_for(video).items()}),
        "checkpoint": predictor.checkpoint.sha256,
    }
    hashes["code"] = digest([hashes["code"], *sorted(digest(each.fingerprint.code) for each in predictions)])
    commits = folder.commits(video.name for video in dataset.videos)
    origin = provenance("benchmark", options.overrides, options.seed, hashes, commits)
    facts = _facts(options, predictor, predictions) | {"remarks": _remarks(predictor, dataset, folder)}
    scoring.make(facts, origin, overwrite=options.overwrite)


def _facts(options: Options, predictor: Predictor, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """What a record says about the method besides its scores."""
    return {
        "method": options.subject,
        **predictor.facts,
        "parameters": sum(parameter.numel() for parameter in predictor.method.parameters()),
        "speed": speed(predictions, predictor),
    }


def _remarks(predictor: Predictor, dataset: Dataset, folder: PredictionFolder) -> list[str]:
    """A remark if label maps made by other code were kept."""
    other = [video.name for video in dataset.videos if not folder.has(video.name, predictor.fingerprint(video))]
    if not other:
        return []
    commits = ", ".join(folder.commits(other)) or "unknown"
    return [f"{len(other)} of {len(dataset.videos)} videos were predicted by other code (commit {commits})"]


def _predict_all(
    predictor: Predictor, dataset: Dataset, folder: PredictionFolder, options: Options
) -> list[Prediction]:
    """The predictions of all videos, once this process and any others that work on them have finished.

    Raises UserError if a video that no process works on cannot be claimed.
    """
    overwrite, tries = options.overwrite, 0
    while others := predictor.predict(dataset.videos, folder, overwrite=overwrite, changed_code=options.changed_code):
        overwrite = False  # label maps that others make meanwhile are new
        claims = {name: folder.claim(name) for name in others}
        tries = 0 if any(claim.held() for claim in claims.values()) else tries + 1
        if tries == TRIES:
            raise unlockable(claims[others[0]])
        wait_for(claims)
    return [prediction for video in dataset.videos if (prediction := folder.read(video.name)) is not None]


def speed(predictions: Sequence[Prediction], predictor: Predictor) -> dict[str, Any]:
    """The record's `speed`: frames per second over all frames, the mean of the sequences' rates, and percentiles of the
    latency. All are None if every sequence has only its first frame, which is not timed."""
    latencies = [np.array(prediction.latency_ms) for prediction in predictions if prediction.latency_ms]
    every = np.concatenate(latencies) if latencies else None
    cuda = predictor.device.type == "cuda"
    sizes = sorted({f"{height}x{width}" for height, width in (prediction.size for prediction in predictions)})
    return {
        "device": device_name(predictor.device),
        "precision": predictor.precision,
        "size": ", ".join(sizes),
        "fps": None if every is None else float(1000 * len(every) / every.sum()),
        "latency_ms": {
            f"p{share}": None if every is None else float(np.percentile(every, share)) for share in (50, 95)
        },
        "fps_sequence_mean": float(np.mean([1000 / values.mean() for values in latencies])) if latencies else None,
        "peak_memory_mb": max(prediction.peak_memory_mb for prediction in predictions),
        "peak_memory_kind": "cuda" if cuda else "rss",
        "warmup": WARMUP,
        "timed": TIMED,
    }
