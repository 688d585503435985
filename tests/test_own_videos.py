"""`vosbench predict` for a user's own videos: parts, folders of them, and what is written beside label maps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vosbench.datasets.own_videos import open_videos
from vosbench.drawing.encoding import write_video
from vosbench.drawing.shown_objects import cut_out, numbered
from vosbench.evaluation.predictions.rle import RleFile
from vosbench.util.errors import UserError
from vosbench.video.images import read_label_map, write_label_map
from vosbench.video.part import Part
from vosbench.video.video_file import VideoFile

Command = Callable[..., Any]
SIZE = (48, 64)
COPY = ["predict", "method=copy_first", "device=cpu", "output=out"]


def frames(count: int = 8) -> list[np.ndarray]:
    """Each of one grey that tells its number."""
    return [np.full((*SIZE, 3), 20 * index, np.uint8) for index in range(count)]


def mask(path: Path, id_: int = 1) -> Path:
    labels = np.zeros(SIZE, np.uint8)
    labels[10:30, 20:40] = id_
    path.parent.mkdir(exist_ok=True)
    write_label_map(path, labels)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clips" / "grey.mp4"
    path.parent.mkdir()
    write_video(path, iter(frames()), fps=12.5)
    return path


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    for index, frame in enumerate(frames()):
        Image.fromarray(frame).save(path / f"{index:05}.png")
    return path


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_part_of_a_video(command: Command, clip: Path, tmp_path: Path, kind: str) -> None:
    """The mask is that of its first frame; frames keep their names."""
    path = clip if kind == "file" else folder(tmp_path / "grey")
    done = command(*COPY, f"input={path}", f"mask={mask(tmp_path / 'first.png', 3)}", "frames=2:5")
    assert (done.status, done.err) == (0, "")
    assert sorted(file.stem for file in Path("out/grey").iterdir()) == ["00002", "00003", "00004"]
    assert set(np.unique(read_label_map(Path("out/grey/00004.png")))) == {0, 3}
    (video,) = open_videos(path, tmp_path / "first.png", Part(2, 5))
    assert [round(float(video.frame(index).mean()) / 20) for index in range(3)] == [2, 3, 4]
    (other,) = open_videos(path, tmp_path / "first.png", Part(3, 6))
    assert video.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9:", "grey.mp4 has 8 frames, and none from 9 on"),
        ("5:5", "frames=5:5 has no frame"),
        ("5", "frames=5: give the first frame and the one after the last, such as frames=100:200"),
        (":", "frames=:: give the first frame"),
    ],
)
def test_parts_that_are_none(command: Command, clip: Path, tmp_path: Path, text: str, message: str) -> None:
    done = command(*COPY, f"input={clip}", f"mask={mask(tmp_path / 'first.png')}", f"frames={text}")
    assert done.status == 1
    assert message in done.err


def test_parts_are_of_ones_own_videos(command: Command, davis: Path) -> None:
    done = command(*COPY, "dataset=davis2017", f"dataset.root={davis}", "frames=2:5")
    assert "frames is a part of input=<video>: for a data set, set dataset.max_frames" in done.err
    done = command(*COPY, "dataset=davis2017", f"dataset.root={davis}", "colours=auto")
    assert "colours are those of mask=<PNG>, which a data set does not need" in done.err


def test_a_folder_of_videos(command: Command, clip: Path, tmp_path: Path) -> None:
    """Files and folders of frames, each with a mask of its own name, or a folder of masks."""
    folder(clip.parent / "stills")
    for place in ("grey.png", "stills/00000.png"):
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask(tmp_path / "masks" / place, 2)
    done = command(*COPY, f"input={clip.parent}", f"mask={tmp_path / 'masks'}", "rle=true")
    assert (done.status, done.err) == (0, "")
    assert {name: len(list(Path("out", name).iterdir())) for name in ("grey", "stills")} == {"grey": 8, "stills": 8}
    source = RleFile(Path("out/label_maps.json"))
    for name in ("grey", "stills"):
        sequence = source.sequence(name)
        assert sequence is not None
        np.testing.assert_array_equal(sequence.read("00007"), read_label_map(Path(f"out/{name}/00007.png")))
    assert [video["name"] for video in json.loads(Path("out/label_maps.json").read_text())["videos"]] == [
        "grey",
        "stills",
    ]


def test_masks_that_a_folder_of_videos_lacks(clip: Path, tmp_path: Path) -> None:
    folder(clip.parent / "stills")
    with pytest.raises(UserError, match="holds 2 videos: give mask=<folder> with a mask of the same name for each"):
        open_videos(clip.parent, mask(tmp_path / "first.png"))
    with pytest.raises(UserError, match=r"has no mask for stills: add them \(expected for example stills.png\)"):
        open_videos(clip.parent, mask(tmp_path / "masks" / "grey.png").parent)


def test_an_overlay_has_the_videos_own_rate(command: Command, clip: Path, tmp_path: Path) -> None:
    command(*COPY, f"input={clip}", f"mask={mask(tmp_path / 'first.png')}", "overlay=true")
    assert VideoFile(clip).rate == pytest.approx(12.5)
    assert VideoFile(Path("out/grey-overlay.mp4")).rate == pytest.approx(12.5)


def test_cut_outs(command: Command, clip: Path, tmp_path: Path) -> None:
    command(*COPY, f"input={clip}", f"mask={mask(tmp_path / 'first.png')}", "cutout=true")
    found = np.asarray(Image.open("out/grey-cutout/00004.png"))
    inside = read_label_map(Path("out/grey/00004.png")) > 0
    np.testing.assert_array_equal(found[..., 3], np.where(inside, 255, 0))
    assert abs(found[inside][:, :3].astype(int) - 80).max() < 12
    assert not found[~inside].any()


def test_a_folder_of_images_and_videos_may_be_either(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_video(folder / "one.mp4", iter([np.zeros((48, 64, 3), np.uint8)] * 2), fps=10)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "thumb.png")
    words = ["predict", "method=copy_first", f"input={folder}", "mask=masks"]
    command(*words).error(1, "holds images (thumb.png) and videos (one.mp4): move either elsewhere")
    (folder / "thumb.png").unlink()
    command("draw", "method=copy_first", f"input={folder}").error(1, "holds no frames but videos", "input=", "one.mp4")


@pytest.mark.parametrize("brightness", [0, 90, 255])
def test_ids_and_outlines_can_be_seen_on_anything(brightness: int) -> None:
    """The outline has a dark rim, the number is white with a dark rim."""
    labels = np.zeros((240, 320), np.uint8)
    labels[60:180, 80:240] = 2
    drawn = numbered(np.full((240, 320, 3), brightness, np.uint8), labels).astype(int)
    middle = drawn[100:140, 120:200].reshape(-1, 3)
    assert (middle.min(1) > 240).any()
    assert (middle.max(1) < 90).any()
    rim = drawn[59, 100:200]
    assert rim.max() < 40


def test_what_is_cut_out_of_void() -> None:
    labels = np.array([[0, 1], [255, 2]], np.uint8)
    image = np.full((2, 2, 3), 7, np.uint8)
    np.testing.assert_array_equal(cut_out(image, labels)[..., 3], [[0, 255], [0, 255]])


def test_void_beside_ids_is_told(clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[4:12, 4:12], labels[20:28, 4:12] = 2, 255
    write_label_map(tmp_path / "first.png", labels)
    open_videos(clip, tmp_path / "first.png")
    assert f"{tmp_path / 'first.png'}: 255 beside other ids is no object" in caplog.text
