"""`vosbench benchmark`: predicts a data set, scores it, and records both with speed and memory.

It resumes per video: timings of videos that are done are kept beside their label maps.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vosbench.evaluation.predictions.label_maps import PngFolder
from vosbench.evaluation.results import records
from vosbench.evaluation.results.recording import Recording
from vosbench.inference.prediction_folder import ChangedCode, Prediction, PredictionFolder
from vosbench.inference.predictor import Predictor, PredictorOptions
from vosbench.runs.identity import digest
from vosbench.util.making import made
from vosbench.util.options import Placed, Where
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

    run: Where[str]
    overrides: Where[list[str]]
    subject: Where[str]
    overwrite: Where[bool]
    changed_code: Where[ChangedCode]
    dataset: Placed[dict[str, Any]]
    protocol: Placed[str | None]
    workers: Where[int]
    cache: Where[str | None]
    pictures: Where[int]


def run(options: Options) -> None:
    """Writes the record `<run>/results/<dataset>-<split>-<protocol>.json` and prints its scores."""
    dataset: Dataset = made(options.dataset, "dataset")
    folder = PredictionFolder(Path(options.run, "predictions", f"{dataset.name}-{dataset.split}"))
    predictor = Predictor.load(options)
    predictions = _predict_all(predictor, dataset, folder, options)
    recording = Recording(
        dataset=dataset,
        source=PngFolder(folder.root),
        protocol=options.protocol or dataset.protocol,
        run=Path(options.run),
        settings=options.dataset,
        workers=options.workers,
        cache=options.cache,
        pictures=options.pictures,
    )
    hashes = {**recording.hashes(), "method": digest(predictor.recipe), "checkpoint": predictor.checkpoint.sha256}
    provenance = records.provenance(options.overrides, options.seed, hashes)
    recording.make(_facts(options, predictor, predictions), provenance, overwrite=options.overwrite)


def _facts(options: Options, predictor: Predictor, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """What a record says of the method beside its scores."""
    return {
        "method": options.subject,
        **predictor.facts,
        "parameters": sum(parameter.numel() for parameter in predictor.method.parameters()),
        "speed": speed(predictions, predictor),
    }


def _predict_all(
    predictor: Predictor, dataset: Dataset, folder: PredictionFolder, options: Options
) -> list[Prediction]:
    """Records of all videos, once this process and any others that work on them are done."""
    overwrite = options.overwrite
    while others := predictor.predict(dataset.videos, folder, overwrite=overwrite, changed_code=options.changed_code):
        overwrite = False  # what the others make meanwhile is new
        log.info("waiting for %s", ", ".join(f"{name} ({folder.claim(name).holder()})" for name in others))
        while any(folder.claim(name).held() for name in others):
            time.sleep(1)
    return [prediction for video in dataset.videos if (prediction := folder.read(video.name)) is not None]


def speed(predictions: Sequence[Prediction], predictor: Predictor) -> dict[str, Any]:
    """The record's `speed`: frames per second over all frames, the mean over sequences of their own, latency
    percentiles."""
    latencies = [np.array(prediction.latency_ms) for prediction in predictions if prediction.latency_ms]
    every = np.concatenate(latencies)
    cuda = predictor.device.type == "cuda"
    sizes = sorted({f"{height}x{width}" for height, width in (prediction.size for prediction in predictions)})
    return {
        "device": torch.cuda.get_device_name(predictor.device) if cuda else f"cpu, {torch.get_num_threads()} threads",
        "precision": predictor.precision,
        "size": ", ".join(sizes),
        "fps": float(1000 * len(every) / every.sum()),
        "latency_ms": {"p50": float(np.percentile(every, 50)), "p95": float(np.percentile(every, 95))},
        "fps_sequence_mean": float(np.mean([1000 / values.mean() for values in latencies])),
        "peak_memory_mb": max(prediction.peak_memory_mb for prediction in predictions),
        "peak_memory_kind": "cuda" if cuda else "rss",
        "warmup": WARMUP,
        "timed": TIMED,
    }
