"""Validation during training: by the protocol of the data set, without surprises after hours."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vosbench.datasets.davis import Davis
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.predictions.label_maps import PngFolder
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.scoring.evaluate import evaluate
from vosbench.training.validation import check_videos, means, score_video
from vosbench.util.errors import Problems
from vosbench.video.images import read_label_map, write_label_map

Command = Callable[..., Any]
TINY = [
    *("train", "method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "data=collage"),
    *("data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.clips.size=32", "data.batch_size=2"),
    *(
        "trainer.accelerator=cpu",
        "trainer.devices=1",
        "trainer.max_steps=1",
        "trainer.val_check_interval=1",
        "name=one",
    ),
]
NO_VALIDATION = "~data.validation"
RUN = Path("runs/mamp_small/one")


def validation(target: str, **settings: object) -> list[str]:
    """Overrides that validate on another data set."""
    values = ",".join(f"{key}:{value}" for key, value in settings.items())
    return [NO_VALIDATION, f"+data.validation={{_target_:vosbench.datasets.{target},{values}}}"]


def logged() -> dict[str, str]:
    (row,) = csv.DictReader((RUN / "metrics.csv").read_text().splitlines())
    return row


def youtube(davis: Path, root: Path) -> Path:
    """The same videos in the layout of YouTube-VOS."""
    for kind in ("JPEGImages", "Annotations"):
        shutil.copytree(davis / kind / "480p", root / "valid" / kind)
    return root


@pytest.mark.parametrize("late", ["false", "true"])
def test_objects_that_start_late_under_a_protocol_that_ignores_them(command: Command, davis: Path, late: str) -> None:
    """Ids above those of the first frame are an error under `davis`; here that would be at the first validation."""
    done = command(*TINY, *validation("davis.Davis", root=davis, split="val", year=2017, late_objects=late))
    assert done.status == 0, done.err
    assert 0 <= float(logged()["val/J&F"]) <= 1
    assert (RUN / "checkpoints/best.ckpt").is_file()


def test_generated_videos_with_late_objects(command: Command) -> None:
    size = ["data.validation.size=[48,64]", "data.validation.videos=3", "data.validation.length=12"]
    done = command(*TINY, *size, "data.validation.late_objects=true")
    assert done.status == 0, done.err
    assert float(logged()["val/J&F"]) == pytest.approx(
        (float(logged()["val/J"]) + float(logged()["val/F"])) / 2, abs=1e-6
    )


def test_youtube_vos_scores_late_objects(command: Command, davis: Path, tmp_path: Path) -> None:
    root = youtube(davis, tmp_path / "ytvos")
    done = command(*TINY, *validation("youtube_vos.YoutubeVos", root=root))
    assert done.status == 0, done.err
    assert 0 <= float(logged()["val/J&F"]) <= 1
    assert "no G" not in done.out


def test_vip_is_monitored_by_its_own_measure(command: Command, davis: Path) -> None:
    done = command(*TINY, *validation("davis.Davis", root=davis, split="val", year=2017, protocol="vip"))
    assert done.status == 0, done.err
    row = logged()
    assert 0 <= float(row["val/IoU"]) <= 1
    assert "val/J&F" not in row
    assert (RUN / "checkpoints/best.ckpt").is_file()


def test_videos_that_cannot_be_scored_are_listed_before_work_begins(command: Command, davis: Path) -> None:
    for path in sorted((davis / "Annotations/480p/a").iterdir())[2:]:
        path.unlink()
    shutil.rmtree(davis / "Annotations/480p/c")
    done = command(*TINY, *validation("davis.Davis", root=davis, split="val", year=2017))
    done.error(
        1, "data.validation: 2 video(s) cannot be scored under protocol davis", "a: 2 annotated frame(s)", "  - video c"
    )
    assert "training from step" not in done.out
    youtube_vos = validation("davis.Davis", root=davis, split="val", year=2017, protocol="youtube-vos", exclude="[c]")
    assert command(*TINY, *youtube_vos).status == 0  # which takes two frames


def test_the_score_is_that_of_the_protocol(davis: Path) -> None:
    for name in ("davis", "vos-benchmark", "youtube-vos", "davis-unsupervised"):
        protocol, dataset = protocol_named(name), Davis(davis, "val", 2017, late_objects=True)
        masks = davis.parent / f"masks-{name}"
        objects: dict[ObjectKey, dict[str, float]] = {}
        for video in dataset.videos:
            (masks / video.name).mkdir(parents=True)
            maps = [np.roll(read_label_map(path), 3, 1) for path in sorted(video.annotations.values())]
            if not protocol.late_objects:
                maps = [np.where(labels == 1, labels, 0).astype(np.uint8) for labels in maps]
            for stem, labels in zip(video.frame_names, maps, strict=True):
                write_label_map(masks / video.name / f"{stem}.png", labels)
            objects |= score_video(video, maps, protocol)
        expected = evaluate(dataset, PngFolder(masks), protocol, 0)
        assert objects == expected.objects
        found = means(objects, protocol)
        assert found == pytest.approx({label: expected.scores[f"{label}-Mean"] for label in ("J", "F", "J&F")})


def test_only_listed_frames_are_scored(davis: Path, tmp_path: Path) -> None:
    from vosbench.video.folder_video import FolderVideo

    (video, *_) = Davis(davis, "val", 2017).videos
    listed = FolderVideo(video.name, video.frames, video.annotations, listed=frozenset(video.frame_names[:4]))
    maps = [read_label_map(path) for path in sorted(video.annotations.values())]
    maps[-1] = np.zeros_like(maps[-1])
    perfect = score_video(listed, maps, protocol_named("youtube-vos"))
    assert perfect[ObjectKey("a", 1)]["J-Mean"] == 1
    assert score_video(video, maps, protocol_named("youtube-vos"))[ObjectKey("a", 1)]["J-Mean"] < 1
    with pytest.raises(Problems, match="1 video"):
        check_videos(
            [FolderVideo("a", video.frames, video.annotations, listed=frozenset(["00000"]))], protocol_named("davis")
        )
