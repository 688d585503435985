"""VIP: class masks of some frames, every kind of list, frames without a mask, and what is said of missing parts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vosbench.datasets.vip import Vip
from vosbench.util.errors import Problems
from vosbench.video.images import read_label_map, write_label_map

Command = Callable[..., Any]
STEMS = tuple(f"{index:012d}" for index in range(1, 8))
ANNOTATED = (STEMS[1], STEMS[3], STEMS[5])


def labels(*classes: int) -> np.ndarray:
    found = np.zeros((32, 48), np.uint8)
    for position, class_ in enumerate(classes):
        found[4:24, 4 + 12 * position : 14 + 12 * position] = class_
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two videos of seven frames, three of them annotated; class 19 first appears at the second of these."""
    root = tmp_path / "VIP_Fine"
    noise = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)
    for name in ("videos1", "videos2"):
        masks = root / "Annotations/Category_ids" / name
        for folder in (masks, root / "Images" / name):
            folder.mkdir(parents=True)
        for stem in STEMS:
            Image.fromarray(noise).save(root / "Images" / name / f"{stem}.jpg")
        for stem, classes in zip(ANNOTATED, [(5, 13), (5, 13, 19), (5,)], strict=True):
            write_label_map(masks / f"{stem}.png", labels(*classes))
    (root / "lists").mkdir()
    (root / "lists/val_videos.txt").write_text("videos2\n")
    return root


def given(video: Any) -> dict[str, list[int]]:
    found = {name: video.given(index) for index, name in enumerate(video.frame_names)}
    return {name: np.unique(labels).tolist() for name, labels in found.items() if labels is not None}


def test_annotated_frames_and_the_classes_of_the_first(root: Path) -> None:
    data = Vip(root)
    assert (data.name, data.split, data.frames, data.protocol, data.resolution) == (
        "vip",
        "val",
        "annotated",
        "vip",
        "original",
    )
    (video,) = data.videos
    assert (video.name, video.frame_names, video.listed) == ("videos2", ANNOTATED, frozenset(ANNOTATED))
    assert given(video) == {ANNOTATED[0]: [0, 5, 13]}
    np.testing.assert_array_equal(video.annotation(1), labels(5, 13, 19))


def test_all_frames_begin_at_the_first_mask(root: Path) -> None:
    (video,) = Vip(root, frames="all").videos
    assert (video.frame_names, video.listed) == (STEMS[1:], frozenset(ANNOTATED))
    assert given(video) == {STEMS[1]: [0, 5, 13]}
    (short,) = Vip(root, frames="all", max_frames=2).videos
    assert (short.frame_names, short.listed) == (STEMS[1:3], frozenset(ANNOTATED[:1]))


@pytest.mark.parametrize("name", ["lists/val_videos.txt", "lists/val_id.txt", "lists/val.txt", "val.txt"])
@pytest.mark.parametrize("text", ["videos1\n", "videos1/000000000002\nvideos1/000000000004\n"])
def test_lists_of_either_kind_are_found(root: Path, name: str, text: str) -> None:
    (root / "lists/val_videos.txt").unlink()
    (root / name).write_text(text)
    assert [video.name for video in Vip(root).videos] == ["videos1"]


def test_every_folder_without_a_list_and_the_other_name_of_images(root: Path) -> None:
    (root / "Images").rename(root / "JPEGImages")
    assert [video.name for video in Vip(root, split=None).videos] == ["videos1", "videos2"]
    assert [video.name for video in Vip(root, split=None, exclude=["videos1"]).videos] == ["videos2"]


def test_prediction_saves_annotated_frames(command: Command, root: Path) -> None:
    settings = ["dataset=vip", f"dataset.root={root}", "dataset.frames=all", "device=cpu", "output=out"]
    done = command("predict", "method=flow_warp", *settings)
    assert done.status == 0, done.err
    files = sorted(Path("out/videos2").iterdir())
    assert [path.stem for path in files] == list(ANNOTATED)
    assert all(np.unique(read_label_map(path)).tolist() == [0, 5, 13] for path in files)


def test_what_is_missing_is_said(root: Path) -> None:
    with pytest.raises(ValueError, match=r"test_videos\.txt does not exist: set dataset\.split"):
        Vip(root, split="test")
    with pytest.raises(ValueError, match="annotations folder nowhere does not exist"):
        Vip(root, annotations="nowhere")
    (root / "lists/val.txt").write_text("videos3 \n videos4")
    (root / "lists/val_videos.txt").unlink()
    with pytest.raises(ValueError, match=r"2 listed videos are not in .*Images: videos3, videos4"):
        Vip(root)
    for file in (root / "Annotations").rglob("*.png"):
        file.unlink()
    with pytest.raises(Problems) as error:
        Vip(root, split=None)
    assert error.value.found == ["video videos1 has no mask of a frame", "video videos2 has no mask of a frame"]
    (root / "Images").rename(root / "Frames")
    with pytest.raises(ValueError, match="has no folder Images"):
        Vip(root)
