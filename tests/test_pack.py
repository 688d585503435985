"""`vosbench pack`: what a submission holds, and that a bad one is refused with all that is wrong."""

import io
import json
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pytest
from PIL import Image as Pillow

from vosbench.evaluation.predictions.label_maps import open_source
from vosbench.evaluation.predictions.rle import write_rle
from vosbench.evaluation.protocols.protocol import SubmissionFormat
from vosbench.tasks import pack
from vosbench.video.images import read_label_map, write_label_map
from vosbench.video.palette import PALETTE
from vosbench.video.video import Image, LabelMap, Video

Command = Callable[..., Any]
SIZE = (24, 40)


def labels_of(*boxes: tuple[int, int]) -> LabelMap:
    """A label map with a square of each (id, left)."""
    labels = np.zeros(SIZE, np.uint8)
    for id_, left in boxes:
        labels[8:16, left : left + 8] = id_
    return labels


def copy_masks(annotations: Path, target: Path) -> Path:
    """Predictions: the annotations themselves."""
    shutil.copytree(annotations, target)
    return target


def content(path: Path) -> dict[str, LabelMap]:
    """The label maps in a zip, which have to be indexed PNGs with the VOC palette, stored as they are."""
    found = {}
    with ZipFile(path) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            assert (entry.compress_type, entry.date_time) == (ZIP_STORED, (1980, 1, 1, 0, 0, 0))
            assert entry.external_attr >> 16 == 0o644
            image = Pillow.open(io.BytesIO(archive.read(entry)))
            assert (image.format, image.mode, image.getpalette()) == ("PNG", "P", PALETTE)
            found[entry.filename] = np.asarray(image)
    return found


class Davis(NamedTuple):
    """A data set in DAVIS layout, right predictions for it, and the command's arguments."""

    root: Path
    masks: Path

    @property
    def arguments(self) -> list[str]:
        return ["pack", "dataset=davis2017", f"dataset.root={self.root}", f"predictions={self.masks}"]


@pytest.fixture
def good(davis: Path, tmp_path: Path) -> Davis:
    """b's object 2 starts late and is not given, so it is taken out of the predictions."""
    masks = copy_masks(davis / "Annotations/480p", tmp_path / "masks")
    for path in sorted((masks / "b").iterdir()):
        write_label_map(path, np.where(read_label_map(path) == 2, 0, read_label_map(path)))
    return Davis(davis, masks)


def test_a_davis_submission(good: Davis, command: Command) -> None:
    Pillow.fromarray(read_label_map(good.masks / "a/00003.png")).save(
        good.masks / "a/00003.png"
    )  # grey: ids all the same
    result = command(*good.arguments, "output=there/submission.zip")
    assert result.status == 0, result.err
    assert "15 label maps of 3 sequences" in result.out
    found = content(Path("there/submission.zip"))
    assert list(found) == [
        f"{name}/{i:05}.png" for name, count in {"a": 6, "b": 5, "c": 4}.items() for i in range(count)
    ]
    for name, labels in found.items():
        np.testing.assert_array_equal(labels, read_label_map(good.masks / name))
    assert [path.name for path in Path("there").iterdir()] == ["submission.zip"]


def test_the_same_label_maps_give_the_same_file(good: Davis, command: Command) -> None:
    assert command(*good.arguments, "output=a.zip").status == 0
    assert command(*good.arguments, "output=a.json").status == 0
    first = Path("a.zip").read_bytes()
    assert command(*good.arguments, "output=a.zip").status == 0  # the same is no error
    assert command(*good.arguments[:-1], "predictions=a.json", "output=b.zip").status == 0
    assert first == Path("a.zip").read_bytes() == Path("b.zip").read_bytes()


def test_coco_rle(good: Davis, command: Command) -> None:
    assert command(*good.arguments, "output=a.json").status == 0
    folder, file = open_source(good.masks), open_source(Path("a.json"))
    for name, count in {"a": 6, "b": 5, "c": 4}.items():
        left, right = folder.sequence(name), file.sequence(name)
        assert left
        assert right
        assert sorted(left.names) == list(right.names) == [f"{i:05}" for i in range(count)]
        for frame in left.names:
            np.testing.assert_array_equal(left.read(frame), right.read(frame))


def test_another_file_is_not_replaced_unasked(good: Davis, command: Command) -> None:
    Path("a.zip").write_text("somebody's")
    command(*good.arguments, "output=a.zip").error(1, "a.zip exists and holds other label maps", "overwrite=true")
    assert Path("a.zip").read_text() == "somebody's"
    assert command(*good.arguments, "output=a.zip", "overwrite=true").status == 0
    assert len(content(Path("a.zip"))) == 15
    assert not [path for path in Path().iterdir() if path.name.startswith(".a.zip")]


def problems(result: Any) -> list[str]:
    """The problems that the command ended with."""
    lines = result.err.splitlines()
    assert result.status == 1, result.err
    assert "nothing was written" in lines[0], result.err
    return [line.removeprefix("  - ") for line in lines[1:]]


def spoil(masks: Path) -> None:
    """Every defect there is, in the predictions of the fixture `good`."""
    a, b = masks / "a", masks / "b"
    (a / "00001.png").unlink()
    write_label_map(a / "00009.png", read_label_map(a / "00000.png"))
    Pillow.new("RGB", (64, 48)).save(a / "00002.png")
    Pillow.new("RGB", (64, 48)).save(a / "00003.png")
    Pillow.new("I;16", (64, 48)).save(a / "00004.png")
    (a / "00005.png").write_bytes((a / "00005.png").read_bytes()[:60])
    (a / "notes.txt").write_text("stray")
    write_label_map(b / "00000.png", np.roll(read_label_map(b / "00000.png"), 1))
    write_label_map(b / "00001.png", np.zeros((24, 32), np.uint8))
    write_label_map(b / "00002.png", np.full((48, 64), 255, np.uint8))
    write_label_map(b / "00003.png", np.full((48, 64), 2, np.uint8))
    write_label_map(b / "00004.png", np.arange(48 * 64).reshape(48, 64).astype(np.uint8))
    shutil.move(masks / "c", masks / "d")


def test_all_that_is_wrong_is_said_at_once(good: Davis, command: Command) -> None:
    spoil(good.masks)
    found = problems(command(*good.arguments, "output=there/a.zip"))
    expected = [
        "1 sequence(s) that the data set does not have: d",
        "1 of 3 sequences are missing: c",
        "a: 1 stray file(s), not <frame>.png: notes.txt",
        "a, 1 frame(s) (00009): frames that the video does not have",
        "a, 1 frame(s) (00001): frames without label map",
        "a, 2 frame(s) (00002, 00003): mask * has mode RGB, not an indexed PNG *",
        "a, 1 frame(s) (00004): mask * has mode I;16*",
        "a, 1 frame(s) (00005): cannot read mask *",
        "b, 1 frame(s) (00000): not the mask that is given there: copy the data set's annotation of this frame",
        "b, 1 frame(s) (00001): 24×32 (rows×columns), the frame is 48×64: save it at the original size",
        "b, 1 frame(s) (00002): id 255 is none of its objects 1 (255 is void in annotations: save objects as 1, 2, …)",
        "b, 1 frame(s) (00003): id 2 is none of its objects 1",
        "b, 1 frame(s) (00004): many ids that are none of its objects 1, as in a smoothed mask: save object ids",
    ]
    for line, pattern in zip(found, expected, strict=True):
        assert fnmatchcase(line, pattern), (line, pattern)
    assert not list(Path("there").iterdir())


def test_problems_of_many_sequences_share_a_line(good: Davis, command: Command) -> None:
    names = [f"v{i}" for i in range(7)]
    for name in names:
        for folder in (good.root / "JPEGImages/480p", good.root / "Annotations/480p", good.masks):
            shutil.copytree(folder / "c", folder / name)
        for path in (good.masks / name).iterdir():
            Pillow.new("RGB", (64, 48)).save(path)
    (good.root / "ImageSets/2017/val.txt").write_text("".join(f"{name}\n" for name in ("a", "b", "c", *names)))
    found = problems(command(*good.arguments, "output=a.zip"))
    assert len(found) == 1
    assert found[0].startswith("7 sequences (v0, v1, v2, v3, v4, …), 28 frames: mask ")
    assert "<sequence>/<frame>.png has mode RGB" in found[0]


@pytest.mark.parametrize("wrapped", ["Annotations", "submission/Annotations"])
def test_sequences_in_another_folder_are_found(good: Davis, command: Command, wrapped: str, tmp_path: Path) -> None:
    inner = tmp_path / "outer" / wrapped
    inner.parent.mkdir(parents=True)
    shutil.move(good.masks, inner)
    for given in (tmp_path / "outer", inner / "a"):
        found = problems(command(*good.arguments[:-1], f"predictions={given}", "output=a.zip"))
        assert found[0] == f"the sequences seem to lie in {inner}: give that folder"
        assert "3 of 3 sequences are missing: a, b, c" in found
    assert not Path("a.zip").exists()


@pytest.mark.parametrize("part", ["sequences=[a,b]", "exclude=[c]", "max_frames=3", "frames=annotated"])
def test_a_part_of_a_data_set_is_no_submission(good: Davis, command: Command, part: str) -> None:
    result = command(*good.arguments, f"dataset.{part}", "output=a.zip")
    result.error(1, "a submission holds the whole data set", f"dataset.{part.split('=')[0]}=")
    assert not Path("a.zip").exists()


def test_coco_rle_is_no_submission(good: Davis, command: Command) -> None:
    """Ids, given masks and further frames are as a server would not take them; the protocol has no submissions."""
    write_label_map(good.masks / "b/00000.png", np.full((48, 64), 7, np.uint8))
    write_label_map(good.masks / "b/00006.png", np.full((48, 64), 7, np.uint8))
    assert command(*good.arguments, "output=a.zip").status == 1
    result = command(*good.arguments, "output=a.json", "dataset.protocol=vip")
    assert result.status == 0, result.err
    assert "1 frame(s) that are not asked for were left out: b/00006" in result.out
    maps = open_source(Path("a.json")).sequence("b")
    assert maps is not None
    assert list(maps.names) == [f"{i:05}" for i in range(5)]
    np.testing.assert_array_equal(maps.read("00000"), np.full((48, 64), 7, np.uint8))
    command(*good.arguments, "output=a.json", "format=davis").error(1, "format=davis is of submissions", "leave it out")


def test_coco_rle_of_masks_without_a_label(good: Davis, command: Command) -> None:
    """Nobody needs to know the objects: a data set whose annotations are withheld will do."""
    for path in sorted((good.root / "Annotations/480p").glob("*/*.png")):
        path.unlink()
    result = command(*good.arguments, "output=a.json")
    assert result.status == 0, result.err


@pytest.mark.parametrize("part", ["sequences=[a,b]", "exclude=[c]", "max_frames=3", "frames=annotated"])
def test_coco_rle_of_a_part(good: Davis, command: Command, part: str) -> None:
    result = command(*good.arguments, f"dataset.{part}", "output=a.json")
    assert result.status == 0, result.err
    held = json.loads(Path("a.json").read_text())["videos"]
    expected = {"a": 6, "b": 5, "c": 4} if part.startswith(("max", "fr")) else {"a": 6, "b": 5}
    most = 3 if part.startswith("max") else 6
    assert {video["name"]: len(video["file_names"]) for video in held} == {k: min(v, most) for k, v in expected.items()}


def test_what_is_wrong_with_masks_is_wrong_for_coco_rle_too(good: Davis, command: Command) -> None:
    spoil(good.masks)
    found = problems(command(*good.arguments, "output=a.json"))
    expected = [
        "1 sequence(s) that the data set does not have: d",
        "1 of 3 sequences are missing: c",
        "a: 1 stray file(s), not <frame>.png: notes.txt",
        "a, 1 frame(s) (00001): frames without label map",
        "a, 2 frame(s) (00002, 00003): mask * has mode RGB, not an indexed PNG *",
        "a, 1 frame(s) (00004): mask * has mode I;16*",
        "a, 1 frame(s) (00005): cannot read mask *",
        "b, 1 frame(s) (00001): 24×32 (rows×columns), the frame is 48×64: save it at the original size",
    ]
    for line, pattern in zip(found, expected, strict=True):
        assert fnmatchcase(line, pattern), (line, pattern)
    restricted = problems(command(*good.arguments, "output=a.json", "dataset.sequences=[a,b]"))
    assert restricted == found[2:]
    assert not Path("a.json").exists()


def test_what_cannot_be_packed(good: Davis, command: Command) -> None:
    command(*good.arguments, "output=a.tar").error(1, "output=a.tar must end in .zip")
    command(*good.arguments, "output=a.zip", "dataset.protocol=vip").error(
        1, "vip is no format", "davis, youtube-vos; or output=<file>.json"
    )
    command(*good.arguments, "output=a.zip", "format=coco").error(1, "coco is no format", "davis, youtube-vos")
    command(*good.arguments[:-1], "predictions=none", "output=a.zip").error(1, "predictions folder none does not exist")
    shutil.rmtree(good.root / "Annotations/480p/c")
    found = problems(command(*good.arguments, "output=a.zip"))
    assert len(found) == 1
    assert found[0].startswith(
        "c: the data set does not say what objects there are: the video has no mask in its first"
    )
    assert not Path("a.zip").exists()


class Unlabelled(Video):
    """A generated video for which nobody gives a mask."""

    name = "a"
    frame_names = ("00000", "00001")

    def frame(self, index: int) -> Image:
        return np.zeros((48, 64, 3), np.uint8)


def test_a_video_that_is_not_in_files(good: Davis) -> None:
    submission = pack.Submission(
        [Unlabelled()], open_source(good.masks), SubmissionFormat(top="Annotations/", listed_only=True)
    )
    passed = {name: [frame for frame, _ in frames] for name, frames in submission.label_maps()}
    assert passed == {"a": ["00000", "00001"]}
    assert submission.left_out == [f"a/{i:05}" for i in range(2, 6)]
    assert submission.problems() == [
        "2 sequence(s) that the data set does not have: b, c",
        "a: the data set does not say what objects there are: it has no masks to start from",
    ]


def test_rle_that_does_not_decode_is_named(good: Davis, command: Command) -> None:
    assert command(*good.arguments, "output=a.json").status == 0
    held = json.loads(Path("a.json").read_text())
    for index in (1, 2):
        held["annotations"][0]["segmentations"][index]["counts"] = "3"
    Path("a.json").write_text(json.dumps(held))
    found = problems(command(*good.arguments[:-1], "predictions=a.json", "output=a.zip"))
    assert len(found) == 1
    assert found[0].startswith("a, 2 frame(s) (00001, 00002): a.json: <sequence>/<frame>: object 1: its RLE does not")


class YoutubeVos(NamedTuple):
    """A data set in YouTube-VOS layout and right predictions for it."""

    root: Path
    masks: Path

    @property
    def arguments(self) -> list[str]:
        dataset = ["dataset=youtube_vos", f"dataset.root={self.root}", "dataset.split=valid"]
        return ["pack", *dataset, f"predictions={self.masks}", "output=a.zip"]


@pytest.fixture
def late(tmp_path: Path) -> YoutubeVos:
    """A video with objects 2 and, from its frame 00010 on, 5; frames 00000, 00005, 00010 and 00015 are listed. Images
    of all frames up to 00017 are there, and so are label maps of them."""
    valid, masks = tmp_path / "ytvos/valid", tmp_path / "masks"
    for folder in (valid / "Annotations/bear", masks / "bear"):
        folder.mkdir(parents=True)
    for folder, frames in ((valid, range(0, 20, 5)), (tmp_path / "ytvos/valid_all_frames", range(18))):
        (folder / "JPEGImages/bear").mkdir(parents=True)
        for frame in frames:
            Pillow.new("RGB", SIZE[::-1]).save(folder / f"JPEGImages/bear/{frame:05}.jpg")
    for frame in range(18):
        boxes = [(2, 2 + frame // 5)] + [(5, 30)] * (frame >= 10)
        write_label_map(masks / f"bear/{frame:05}.png", labels_of(*boxes))
    for frame in (0, 10):
        shutil.copy(masks / f"bear/{frame:05}.png", valid / f"Annotations/bear/{frame:05}.png")
    listed = {"2": ["00000", "00005", "00010", "00015"], "5": ["00010", "00015"]}
    objects = {id_: {"category": "bear", "frames": frames} for id_, frames in listed.items()}
    (valid / "meta.json").write_text(json.dumps({"videos": {"bear": {"objects": objects}}}))
    return YoutubeVos(tmp_path / "ytvos", masks)


@pytest.mark.parametrize("frames", ["annotated", "all"])
def test_a_youtube_vos_submission(late: YoutubeVos, command: Command, frames: str) -> None:
    result = command(*late.arguments, f"dataset.frames={frames}")
    assert result.status == 0, result.err
    assert "14 frame(s) that are not asked for were left out: bear/00001, bear/00002" in result.out
    found = content(Path("a.zip"))
    assert list(found) == [f"Annotations/bear/{frame:05}.png" for frame in (0, 5, 10, 15)]
    assert [np.unique(labels).tolist() for labels in found.values()] == [[0, 2], [0, 2], [0, 2, 5], [0, 2, 5]]


def test_all_frames_if_the_format_says_so(late: YoutubeVos, command: Command) -> None:
    result = command(*late.arguments, "dataset.frames=all", "format=davis")
    assert result.status == 0, result.err
    assert list(content(Path("a.zip"))) == [f"bear/{frame:05}.png" for frame in range(18)]


def test_objects_appear_when_they_are_introduced(late: YoutubeVos, command: Command) -> None:
    write_label_map(late.masks / "bear/00005.png", labels_of((2, 3), (5, 30)))
    write_label_map(late.masks / "bear/00010.png", labels_of((2, 2), (5, 31)))
    write_label_map(late.masks / "bear/00015.png", labels_of((2, 2), (3, 30)))
    assert problems(command(*late.arguments)) == [
        "bear, 1 frame(s) (00005): object 5 is there before frame 00010, which introduces it",
        "bear, 1 frame(s) (00010): not the mask that is given there: copy the data set's annotation of this frame",
        "bear, 1 frame(s) (00015): id 3 is none of its objects 2, 5",
    ]


def test_objects_given_before_may_move_where_another_is_given(late: YoutubeVos, command: Command) -> None:
    write_label_map(late.masks / "bear/00010.png", labels_of((2, 12), (5, 30)))
    assert command(*late.arguments).status == 0
    np.testing.assert_array_equal(content(Path("a.zip"))["Annotations/bear/00010.png"], labels_of((2, 12), (5, 30)))


def test_predictions_of_another_tool_as_coco_rle(late: YoutubeVos, command: Command, tmp_path: Path) -> None:
    frames = [(f"{frame:05}", read_label_map(late.masks / f"bear/{frame:05}.png")) for frame in (0, 5, 10)]
    write_rle(tmp_path / "a.json", [("bear", frames), ("goat", frames)])
    assert problems(command(*late.arguments, "predictions=a.json")) == [
        "1 sequence(s) that the data set does not have: goat",
        "bear, 1 frame(s) (00015): frames without label map",
    ]
