"""YouTube-VOS: meta.json, objects that start late, 6 and 30 fps, seen categories, bad meta.json files."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from PIL import Image

from vosbench.cli import configuration
from vosbench.datasets.youtube_vos import YoutubeVos
from vosbench.util.errors import Problems
from vosbench.video.images import read_label_map, write_label_map

Command = Callable[..., Any]
SLOW = ("00000", "00005", "00010", "00015")
FAST = tuple(f"{index:05d}" for index in range(16))
SIZE = (32, 48)


def labels(*ids: int) -> np.ndarray:
    """Object 2 left, object 5 right, object 7 below."""
    found = np.zeros(SIZE, np.uint8)
    for id_ in ids:
        row, column = {2: (4, 6), 5: (6, 28), 7: (22, 20)}[id_]
        found[row : row + 8, column : column + 12] = id_
    return found


def write_frames(folder: Path, stems: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    for stem in stems:
        Image.fromarray(noise).save(folder / f"{stem}.jpg")


def write_video(split: Path, name: str, masks: Mapping[str, np.ndarray]) -> None:
    write_frames(split / "JPEGImages" / name, SLOW)
    folder = split / "Annotations" / name
    folder.mkdir(parents=True)
    for stem, mask in masks.items():
        write_label_map(folder / f"{stem}.png", mask)


def write_meta(split: Path, videos: Mapping[str, Mapping[Any, tuple[str | None, tuple[str, ...]]]]) -> None:
    """videos: object id → (category, frames), by name."""
    content = {
        name: {"objects": {str(id_): {"category": about, "frames": list(stems)} for id_, (about, stems) in ids.items()}}
        for name, ids in videos.items()
    }
    split.mkdir(parents=True, exist_ok=True)
    (split / "meta.json").write_text(json.dumps({"videos": content}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two valid videos with ids 2 and 5, at 6 and at 30 fps, and a train meta.json with one of their categories.

    early: object 5 is listed from 00005 on, and 00000 shows it already, as it does 7, which is never listed.
    hidden: object 5 is listed from 00005 on, where its annotation does not show it; 00010 does. 00015 is not listed.
    """
    root = tmp_path / "ytvos"
    write_video(root / "valid", "early", {"00000": labels(2, 5, 7), "00005": labels(2, 5)})
    write_video(root / "valid", "hidden", {"00000": labels(2), "00005": labels(2), "00010": labels(5)})
    for name in ("early", "hidden"):
        write_frames(root / "valid_all_frames/JPEGImages" / name, FAST)
    early = {2: ("dog", SLOW), 5: ("ape", SLOW[1:])}
    write_meta(root / "valid", {"hidden": {5: ("ape", SLOW[1:3]), 2: ("dog", SLOW[:3])}, "early": early})
    write_meta(root / "train", {"other": {1: ("dog", SLOW), 2: ("cat", SLOW)}})
    return root


def ids(labels: np.ndarray | None) -> list[int]:
    return [] if labels is None else np.unique(labels[labels > 0]).tolist()


def given(video: Any) -> dict[str, list[int]]:
    return {name: found for index, name in enumerate(video.frame_names) if (found := ids(video.given(index)))}


def test_meta_says_which_objects_and_frames_there_are(root: Path) -> None:
    data = YoutubeVos(root)
    assert (data.name, data.split, data.frames, data.protocol, data.resolution) == (
        "youtube_vos",
        "valid",
        "annotated",
        "youtube-vos",
        "original",
    )
    early, hidden = data.videos
    assert (early.name, early.frame_names, early.listed) == ("early", SLOW, frozenset(SLOW))
    assert (hidden.name, hidden.frame_names, hidden.listed) == ("hidden", SLOW[:3], frozenset(SLOW[:3]))
    assert given(early) == {"00000": [2], "00005": [5]}
    assert given(hidden) == {"00000": [2], "00010": [5]}
    np.testing.assert_array_equal(early.given(1), labels(5))
    assert [ids(early.annotation(index)) for index in range(4)] == [[2], [2, 5], [], []]


def test_all_frames_are_those_of_the_30_fps_folder(root: Path) -> None:
    early, hidden = YoutubeVos(root, frames="all").videos
    assert (early.frame_names, early.listed) == (FAST, frozenset(SLOW))
    assert (hidden.frame_names, hidden.listed) == (FAST, frozenset(SLOW[:3]))
    assert early.frames[0].parent == root / "valid_all_frames/JPEGImages/early"
    assert given(hidden) == {"00000": [2], "00010": [5]}
    for file in (root / "valid_all_frames").rglob("*.jpg"):
        file.unlink()
    for folder in (root / "valid_all_frames/JPEGImages/early", root / "valid_all_frames/JPEGImages/hidden"):
        folder.rmdir()
    (root / "valid_all_frames/JPEGImages").rmdir()
    assert [video.frame_names for video in YoutubeVos(root, frames="all").videos] == [SLOW, SLOW]


@pytest.mark.parametrize("frames", ["annotated", "all"])
def test_prediction_saves_listed_frames_at_their_size_and_no_id_before_it_starts(
    command: Command, root: Path, frames: str
) -> None:
    settings = ["dataset=youtube_vos", f"dataset.root={root}", f"dataset.frames={frames}", "device=cpu"]
    done = command("predict", "method=flow_warp", *settings, "overlay=true", "output=out")
    assert done.status == 0, done.err
    found = {name: sorted(Path("out", name).iterdir()) for name in ("early", "hidden")}
    assert [path.stem for path in found["early"]] == list(SLOW)
    assert [path.stem for path in found["hidden"]] == list(SLOW[:3])
    maps = {name: [read_label_map(path) for path in paths] for name, paths in found.items()}
    assert {labels.shape for labels in maps["early"] + maps["hidden"]} == {SIZE}
    assert [ids(labels) for labels in maps["early"]] == [[2], [2, 5], [2, 5], [2, 5]]
    assert [ids(labels) for labels in maps["hidden"]] == [[2], [2], [2, 5]]
    np.testing.assert_array_equal(maps["early"][1] == 5, labels(5) == 5)
    assert Path("out/early-overlay.mp4").is_file()


def test_without_meta_everything_comes_from_the_files(root: Path) -> None:
    (root / "valid/meta.json").unlink()
    early, hidden = YoutubeVos(root).videos
    assert (early.frame_names, early.listed, dict(early.seen)) == (SLOW, None, {})
    assert given(early) == {"00000": [2, 5, 7]}
    assert given(hidden) == {"00000": [2], "00010": [5]}
    every = YoutubeVos(root, frames="all").videos[0]
    assert (every.frame_names, every.listed) == (FAST, frozenset(SLOW))


def test_frames_and_videos_can_be_left_out(root: Path) -> None:
    (short,) = YoutubeVos(root, sequences=["hidden"], max_frames=2).videos
    assert (short.frame_names, short.listed) == (SLOW[:2], frozenset(SLOW[:2]))
    (first,) = YoutubeVos(root, exclude=["hidden"], max_frames=1, frames="all").videos
    assert (first.frame_names, first.listed, given(first)) == (("00000",), frozenset(["00000"]), {"00000": [2]})
    with pytest.raises(ValueError, match=r"no sequences cat: choose from early, hidden"):
        YoutubeVos(root, sequences=["cat"])


def test_an_object_that_no_annotation_shows_is_warned_of(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (video,) = YoutubeVos(root, sequences=["hidden"], max_frames=2).videos
    with caplog.at_level(logging.WARNING):
        assert given(video) == {"00000": [2]}
    assert "video hidden: no annotation shows its objects [5]" in caplog.text


def test_other_annotations_have_ids_of_their_own(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pseudo/early"
    folder.mkdir(parents=True)
    write_label_map(folder / "00001.png", np.full((4, 6), 9, np.uint8))
    early = YoutubeVos(root, frames="all", annotations=tmp_path / "pseudo").videos[0]
    assert ids(early.annotation(1)) == [9]
    assert early.annotation(0) is None
    with pytest.raises(ValueError, match="annotations folder nowhere does not exist"):
        YoutubeVos(root, annotations="nowhere")


def test_seen_are_the_categories_of_training(root: Path) -> None:
    def seen(**settings: Any) -> dict[int, bool]:
        return dict(YoutubeVos(root, **settings).videos[0].seen)

    assert seen() == {2: True, 5: False}
    assert seen(seen=["ape"]) == {2: False, 5: True}
    assert seen(seen=root / "valid/meta.json") == {2: True, 5: True}
    (root / "train/meta.json").unlink()
    assert seen() == {}
    (root / "valid").rename(root / "train2")
    (root / "train").rmdir()
    (root / "train2").rename(root / "train")
    assert seen(split="train") == {2: True, 5: True}
    with pytest.raises(ValueError, match=r"cannot read nowhere\.json"):
        seen(split="train", seen="nowhere.json")
    write_meta(root / "none", {"early": {2: (None, SLOW)}})
    with pytest.raises(ValueError, match=r"none/meta\.json names no categories"):
        seen(split="train", seen=root / "none/meta.json")


def test_everything_wrong_with_a_meta_is_said_at_once(command: Command, root: Path) -> None:
    objects = {0: ("dog", SLOW), 255: ("dog", SLOW), "x": ("dog", SLOW), 2: ("dog", SLOW), 3: ("ape", ("00015",))}
    write_meta(root / "valid", {"gone": {1: ("dog", SLOW)}, "early": objects, "hidden": {2: ("dog", ("00000", "9"))}})
    done = command("predict", "method=copy_first", "dataset=youtube_vos", f"dataset.root={root}", "device=cpu")
    assert done.status == 1
    lines = done.err.splitlines()
    assert str(root / "valid/meta.json") in lines[0]
    assert [line.removeprefix("  - ") for line in lines[1:]] == [
        f"1 videos are not in {root / 'valid/JPEGImages'}: gone",
        "video early: object id 0 is not 1 to 254",
        "video early: object id 255 is not 1 to 254",
        "video early: object id x is not 1 to 254",
        "video early: no mask from their first frames on, of objects 3",
        "video hidden: 1 listed frames have no image: 9",
    ]
    with pytest.raises(Problems) as error:
        YoutubeVos(root, exclude=["gone", "early"])
    assert error.value.found == ["video hidden: 1 listed frames have no image: 9"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read .*meta.json"),
        ("[]", "is no meta.json"),
        ('{"videos": {"early": {}}}', "video early: it has no objects; video early: it has no frames"),
        ('{"videos": {"early": {"objects": {"1": {"frames": [5]}}}}}', "object 1 has no list of frame names"),
    ],
)
def test_what_is_no_meta(root: Path, content: str, message: str) -> None:
    (root / "valid/meta.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        YoutubeVos(root)


def test_folders_that_are_not_there(root: Path) -> None:
    with pytest.raises(ValueError, match=r"has no test/JPEGImages.*one of: train, valid, valid_all_frames"):
        YoutubeVos(root, split="test")
    with pytest.raises(ValueError, match=r"nowhere does not exist: set dataset\.root"):
        YoutubeVos("nowhere")


def test_training_data_needs_images_alone(root: Path) -> None:
    (root / "valid_all_frames").rename(root / "train_all_frames")
    for file in (root / "train").iterdir():
        file.unlink()
    overrides = ["method=mamp", "data=youtube_vos", f"data.sources.youtube_vos.dataset.root={root}"]
    source = configuration.resolve(configuration.compose("train", overrides))["data"]["sources"]["youtube_vos"]
    data = instantiate(source["dataset"])
    assert [(video.name, video.frame_names) for video in data.videos] == [("early", FAST), ("hidden", FAST)]


@pytest.mark.real
@pytest.mark.parametrize("frames", ["annotated", "all"])
def test_the_real_sample(real_data: Path, frames: Any) -> None:
    videos = YoutubeVos(real_data / "youtube-vos-sample", frames=frames).videos
    assert [(video.name, len(video.frame_names), video.listed) for video in videos] == [
        ("19904980af", 19, None),
        ("4df42f72c9", 29, None),
    ]
    assert [given(video) for video in videos] == [{"00000": [1, 2, 3]}, {"00000": [1]}]
    assert videos[0].frame(18).shape == (720, 1280, 3)
