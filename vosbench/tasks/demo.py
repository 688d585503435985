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

    run: str
    methods: list[str]
    baselines: list[str]
    steps: int
    frames: int
    seed: int
    precision: str


def run(options: Options) -> None:
    """Writes `<run>/leaderboard.{csv,md,tex,html}`; the report shows overlays over time of every row."""
    runs = Path(options.run, "runs")
    videos = ("dataset=collage", f"dataset.max_frames={options.frames}")
    rows: dict[str, Path] = {}
    for method in options.methods:
        trained = _train(options, method, f"runs={runs}")
        for name, checkpoint in (("trained", trained), ("untrained", "none")):
            settings = (f"checkpoint={checkpoint}", f"seed={options.seed}", f"precision={options.precision}")
            rows[f"{method}, {name}"] = _command(
                "benchmark", f"method={method}", f"name={name}", *videos, *settings, f"runs={runs}"
            )
    for method in options.baselines:
        rows[method] = _command("benchmark", f"method={method}", *videos, f"runs={runs}")
    found = boards(load(runs), mixed=False, baseline=None, published=(), resamples=10000, seed=0)
    dataset: Dataset = instantiate(_compose("predict", *videos)["dataset"])
    maps = {name: folder / "predictions" / f"{dataset.name}-{dataset.split}" for name, folder in rows.items()}
    figures = [(f"Overlays over time: {video.name}", sheet(video, maps)) for video in dataset.videos]
    write(found, Path(options.run), figures, title="vosbench demo")
    show(found)
    log.info("report: %s", Path(options.run, "leaderboard.html"))


def sheet(video: Video, rows: dict[str, Path]) -> bytes:
    """One row of overlays for the truth and for each data set's folder of label maps, at five moments, as PNG."""
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


def _train(options: Options, method: str, *changes: str) -> Path:
    steps, precision = f"trainer.max_steps={options.steps}", f"trainer.precision={options.precision}"
    validation = f"trainer.val_check_interval={options.steps}"  # once, at the end
    alone = "trainer.devices=1"  # other processes would repeat the whole demo
    settings = (
        alone,
        f"method={method}",
        "data=collage",
        "name=train",
        f"seed={options.seed}",
        steps,
        precision,
        validation,
    )
    return _command("train", *settings, *changes)


def _command(verb: str, *changes: str) -> Path:
    """Runs a verb in this process, as its command would, and returns its run folder."""
    log.info("\n$ vosbench %s", shlex.join([verb, *changes]))
    module = configuration.task(verb)
    options = configuration.options(module, _compose(verb, *changes))
    Path(options.run).mkdir(parents=True, exist_ok=True)
    module.run(options)
    return Path(options.run)


def _compose(verb: str, *changes: str) -> dict[str, Any]:
    return configuration.resolve(configuration.compose(verb, changes))
