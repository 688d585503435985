"""Scores the same label maps with the official DAVIS scorer, package `davis2017`, to compare it with ours.

Pont-Tuset et al., "The 2017 DAVIS Challenge", arXiv 1704.00675. It is not on the package index;
docs/evaluation.md says how to get it.
"""

import contextlib
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.predictions.label_maps import Source, read_as_scored
from vosbench.evaluation.protocols.protocol import Protocol, all_protocols
from vosbench.util.errors import UserError
from vosbench.video.images import write_label_map
from vosbench.video.video import Dataset

FOLDERS = {"unsupervised": "Annotations_unsupervised"}  # by task; else Annotations
STATISTICS = {"Mean": "M", "Recall": "R", "Decay": "D"}
REPOSITORY = "https://github.com/davisvideochallenge/davis2017-evaluation"


def check(protocol: Protocol) -> type[Any]:
    """The package's class. Raises UserError for protocols it does not have, or if it is not installed, saying how
    to."""
    if protocol.official_task is None:
        known = ", ".join(each.name for each in all_protocols() if each.official_task)
        raise UserError(f"scorer=official scores protocols {known}, not {protocol.name}")
    try:
        from davis2017.evaluation import DAVISEvaluation  # type: ignore[import-not-found]
    except ImportError as error:
        raise UserError(f"scorer=official needs a package ({error}): pip install git+{REPOSITORY}") from error
    return cast(type[Any], DAVISEvaluation)


def score(
    dataset: Dataset, source: Source, protocol: Protocol
) -> tuple[dict[str, float], dict[ObjectKey, dict[str, float]]]:
    """The official scores of the data set and of each object, under our names, as fractions.

    The package only reads a folder of its own layout at 480p, and takes 255 as void, so it is given copies of the label
    maps as vosbench reads them. It holds whole sequences in memory. Raises UserError like `check`.
    """
    evaluation = check(protocol)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        _write_copies(dataset, source, root, FOLDERS.get(protocol.official_task or "", "Annotations"))
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                found = evaluation(str(root), protocol.official_task, "val", codalab=True).evaluate(
                    str(root / "results")
                )
        except SystemExit as error:  # with status 0, if it rejects the masks
            raise UserError(f"the official scorer stopped and said: {printed.getvalue()}") from error
    scores = {
        f"{name}-{statistic}": float(np.mean(found[name][key]))
        for name in "JF"
        for statistic, key in STATISTICS.items()
    }
    objects = {
        ObjectKey.parse(key): {f"{name}-Mean": float(found[name]["M_per_object"][key]) for name in "JF"}
        for key in found["J"]["M_per_object"]
    }
    mean = protocol.measures[0]
    return {mean.name: mean.of(scores), **scores}, objects


def _write_copies(dataset: Dataset, source: Source, root: Path, annotations: str) -> None:
    listed = root / "ImageSets/2017/val.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("".join(f"{video.name}\n" for video in dataset.videos), encoding="utf-8")
    for video in dataset.videos:
        folders = root / annotations / "480p" / video.name, root / "results" / video.name
        for folder in folders:
            folder.mkdir(parents=True)
        maps = source.sequence(video.name)
        for index, frame in enumerate(video.frame_names):
            annotation = video.annotation(index)
            if annotation is None or maps is None:
                continue
            prediction = read_as_scored(maps, video, frame)
            for folder, labels in zip(folders, (annotation, prediction), strict=True):
                write_label_map(folder / f"{frame}.png", labels)
