"""`vosbench demo`: trains on the embedded data set, predicts, scores beside untrained copies and baselines, and
reports.

It runs the very commands a user would type, and prints them. Everything lies in the run folder; repeating it resumes.
"""

import logging
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from vosbench import configuration
from vosbench.evaluation.leaderboard import boards, load
from vosbench.evaluation.tables import show
from vosbench.images import read_label_map
from vosbench.tasks.leaderboard import write
from vosbench.videos import Dataset, Video
from vosbench.viz import contact_sheet, overlay, png_bytes

log = logging.getLogger(__name__)

MOMENTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of a video, shown in the report


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/demo.yaml, which explains them."""

    runs: str
    name: str
    run: str
    overrides: list[str]
    paths: dict[str, Any]
    methods: list[str]
    baselines: list[str]
    steps: int
    seed: int
    precision: str


def run(options: Options) -> None:
    """Writes `<run>/leaderboard.{csv,md,tex,html}`; the report shows overlays over time of every row."""
    runs = Path(options.run, "runs")
    shared = (f"runs={runs}", f"seed={options.seed}")
    rows: dict[str, Path] = {}
    for method in options.methods:
        trained = _command(
            "train",
            f"method={method}",
            "data=collage",
            "name=train",
            f"trainer.max_steps={options.steps}",
            f"trainer.val_check_interval={options.steps}",
            f"trainer.precision={options.precision}",
            *shared,
        )
        for name, checkpoint in (("trained", trained), ("untrained", "none")):
            precision = f"precision={options.precision}"
            rows[f"{method}, {name}"] = _benchmark(
                method, f"name={name}", f"checkpoint={checkpoint}", precision, *shared
            )
    for method in options.baselines:
        rows[method] = _benchmark(method, *shared)
    found = boards(load(runs), mixed=False, baseline=None, published=(), resamples=10000, seed=0)
    dataset: Dataset = instantiate(
        configuration.resolve(configuration.compose("predict", ["dataset=collage"]))["dataset"]
    )
    figures = [(f"Overlays over time: {video.name}", sheet(video, rows)) for video in dataset.videos]
    write(found, Path(options.run), figures, title="vosbench demo")
    show(found)
    log.info("report: %s", Path(options.run, "leaderboard.html"))


def sheet(video: Video, rows: dict[str, Path]) -> bytes:
    """One row of overlays for the truth and for each folder of label maps, at five moments of the video, as PNG."""
    indices = [round(moment * (len(video.frame_names) - 1)) for moment in MOMENTS]
    images = [video.frame(index) for index in indices]
    maps = [[video.annotation(index) for index in indices]]
    maps += [
        [read_label_map(folder / video.name / f"{video.frame_names[index]}.png") for index in indices]
        for folder in rows.values()
    ]
    pictures = [
        [image if labels is None else overlay(image, labels) for image, labels in zip(images, row, strict=True)]
        for row in maps
    ]
    return png_bytes(contact_sheet(pictures, [f"frame {index}" for index in indices], ["truth", *rows]))


def _benchmark(method: str, *changes: str) -> Path:
    """The folder of label maps that the benchmark of a method leaves."""
    folder = _command("benchmark", f"method={method}", "dataset=collage", *changes)
    return Path(folder, "predictions", "collage-val")


def _command(verb: str, *changes: str) -> str:
    """Runs a verb in this process, as its command would, and returns its run folder."""
    log.info("\n$ vosbench %s", shlex.join([verb, *changes]))
    module = configuration.task(verb)
    options = configuration.options(module, configuration.resolve(configuration.compose(verb, list(changes))))
    Path(options.run).mkdir(parents=True, exist_ok=True)
    module.run(options)
    return str(options.run)
