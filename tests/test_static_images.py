"""Still images with masks: tiny copies of each set's layout, read as it is, and the messages for what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vosbench.datasets.coco import Coco
from vosbench.datasets.static_images import StaticImages
from vosbench.util.errors import Problems
from vosbench.video.images import write_label_map
from vosbench.video.palette import PALETTE

Command = Callable[..., Any]
SIZE = (24, 32)


def labels() -> np.ndarray:
    """Object 7 of 4×4, object 3 of 10×10 pixels with a void border, one pixel of object 5."""
    ids = np.zeros(SIZE, np.uint8)
    ids[2:6, 2:6], ids[9:21, 9:21], ids[10:20, 10:20], ids[0, 31] = 7, 255, 3, 5
    return ids


def grey() -> np.ndarray:
    """A square of white whose border is 127 outside and 128 inside."""
    mask = np.zeros(SIZE, np.uint8)
    mask[4:16, 4:16], mask[5:15, 5:15], mask[6:14, 6:14] = 127, 128, 255
    return mask


def photograph(path: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)).save(path)


def mask(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make_ecssd(root: Path) -> None:
    for name in ("0001", "0002"):
        photograph(root / f"images/{name}.jpg")
        mask(root / f"ground_truth_mask/{name}.png", grey())


def make_msra10k(root: Path) -> None:
    for name in ("1001", "984"):
        photograph(root / f"Imgs/{name}.jpg")
        mask(root / f"Imgs/{name}.png", grey())


def make_pascal_s(root: Path) -> None:
    for name in ("1", "2"):
        photograph(root / f"datasets/imgs/pascal/{name}.jpg")
        mask(root / f"datasets/masks/pascal/{name}.png", grey())


def make_voc2012(root: Path) -> None:
    for name in ("2007_000032", "2007_000039", "2007_000063"):
        photograph(root / f"JPEGImages/{name}.jpg")
    for name in ("2007_000032", "2007_000039"):
        (root / "SegmentationObject").mkdir(exist_ok=True)
        write_label_map(root / f"SegmentationObject/{name}.png", labels())
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/trainval.txt").write_text("2007_000032\n2007_000039\n")
    (root / "ImageSets/Segmentation/train.txt").write_text("2007_000039\n")


def square(row: int, column: int, side: int) -> list[list[float]]:
    """The outline of rows row … row + side − 1."""
    x, y = float(column), float(row)
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def make_coco(root: Path, split: str = "train2017") -> None:
    """1: a square within a larger one, a thin one and a crowd; 2: a crowd only; 3: a tiny one; 4: run lengths."""
    names = [f"{number:012}.jpg" for number in (1, 2, 3, 4)]
    for name in names:
        photograph(root / split / name)
    runs = [SIZE[0] * 4, SIZE[0] * 2, SIZE[0] * (SIZE[1] - 6)]  # down the columns: columns 4 and 5
    entries = [
        (1, square(8, 8, 4), 16, 0),
        (1, square(4, 4, 12), 144, 0),
        (1, {"size": list(SIZE), "counts": runs}, 400, 1),
        (1, square(20, 28, 2), 4, 0),
        (2, {"size": list(SIZE), "counts": runs}, 48, 1),
        (3, square(0, 0, 1), 1, 0),
        (4, {"size": list(SIZE), "counts": runs}, 48, 0),
        (4, [], 50, 0),
    ]
    content = {
        "images": [
            {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
            for number, name in enumerate(names, 1)
        ],
        "annotations": [
            {"id": number, "image_id": image, "segmentation": segments, "area": area, "iscrowd": crowd}
            for number, (image, segments, area, crowd) in enumerate(entries)
        ],
    }
    (root / "annotations").mkdir()
    (root / f"annotations/instances_{split}.json").write_text(json.dumps(content))


MAKERS = {
    "ECSSD": make_ecssd,
    "MSRA10K_Imgs_GT": make_msra10k,
    "PASCAL-S": make_pascal_s,
    "VOCdevkit/VOC2012": make_voc2012,
    "COCO": make_coco,
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All five sets, where the presets look for them."""
    for name, make in MAKERS.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        make(tmp_path / "data" / name)
    monkeypatch.setenv("VOSBENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("root", "images", "masks", "names"),
    [
        ("ECSSD", "images", "ground_truth_mask", ["0001", "0002"]),
        ("MSRA10K_Imgs_GT", "Imgs", "Imgs", ["1001", "984"]),
        ("PASCAL-S", "datasets/imgs/pascal", "datasets/masks/pascal", ["1", "2"]),
    ],
)
def test_saliency_masks_are_thresholded_at_half(
    data: Path, root: str, images: str, masks: str, names: list[str]
) -> None:
    found = StaticImages(data / root, images, masks)
    assert [video.name for video in found.videos] == names
    video = found.videos[0]
    assert video.frame(0).shape == (*SIZE, 3)
    assert video.frame_names == ("00000",)
    expected = np.zeros(SIZE, np.uint8)
    expected[5:15, 5:15] = 1
    np.testing.assert_array_equal(video.annotation(0), expected)
    np.testing.assert_array_equal(video.given(0), expected)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P"])
def test_saliency_masks_of_every_mode(tmp_path: Path, mode: str) -> None:
    photograph(tmp_path / "images/a.jpg")
    picture = Image.fromarray((grey() >= 128).astype(np.uint8) * (1 if mode == "P" else 255))
    if mode == "P":
        picture.putpalette(PALETTE)  # 1 is dark red
    else:
        picture = picture.convert(mode)
    (tmp_path / "masks").mkdir()
    picture.save(tmp_path / "masks/a.png")
    (video,) = StaticImages(tmp_path).videos
    np.testing.assert_array_equal(video.annotation(0), grey() >= 128)


def test_objects_are_numbered_from_the_largest_on_without_void(data: Path) -> None:
    root = data / "VOCdevkit/VOC2012"

    def read(**options: Any) -> np.ndarray:
        lists = "ImageSets/Segmentation"
        found = StaticImages(root, "JPEGImages", "SegmentationObject", "objects", lists, "trainval", **options)
        assert [video.name for video in found.videos] == ["2007_000032", "2007_000039"]
        shown = found.videos[1].annotation(0)
        assert shown is not None
        return shown

    expected = np.zeros(SIZE, np.uint8)
    expected[10:20, 10:20], expected[2:6, 2:6], expected[0, 31] = 1, 2, 3
    np.testing.assert_array_equal(read(), expected)
    np.testing.assert_array_equal(read(objects=1), expected == 1)
    np.testing.assert_array_equal(read(least=0.01), np.where(expected == 3, 0, expected))


def test_a_list_names_the_images(data: Path) -> None:
    root = data / "VOCdevkit/VOC2012"
    options = ("JPEGImages", "SegmentationObject", "objects", "ImageSets/Segmentation")
    assert [video.name for video in StaticImages(root, *options, "train").videos] == ["2007_000039"]
    with pytest.raises(ValueError, match=r"val.txt does not exist: set dataset.split to one of: train, trainval"):
        StaticImages(root, *options, "val")
    (root / "ImageSets/Segmentation/val.txt").write_text("2007_000063\n2007_000039\nlost\n")
    with pytest.raises(Problems, match=r"2 images of .*val.txt are not there with their masks.*2007_000063, lost"):
        StaticImages(root, *options, "val")


def test_images_without_mask_are_left_out_and_a_warning_says_so(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = data / "ECSSD"
    StaticImages(root, masks="ground_truth_mask")
    assert not caplog.records
    photograph(root / "images/0003.jpg")
    photograph(root / "images/._0001.jpg")
    assert len(StaticImages(root, masks="ground_truth_mask").videos) == 2
    assert "3 images of" in caplog.text
    assert "make 2 pairs" in caplog.text


def test_images_can_be_chosen(data: Path) -> None:
    root = data / "ECSSD"
    names = {"masks": "ground_truth_mask"}
    assert [v.name for v in StaticImages(root, **names, sequences=["0002"]).videos] == ["0002"]  # type: ignore[arg-type]
    assert [v.name for v in StaticImages(root, **names, exclude=["0002"]).videos] == ["0001"]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no images 17: it has, for example, 0001, 0002"):
        StaticImages(root, **names, sequences=["17"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no image with an object is left"):
        StaticImages(root, **names, exclude=["0001", "0002"])  # type: ignore[arg-type]


def test_nothing_is_opened_before_it_is_asked_for(tmp_path: Path) -> None:
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        (tmp_path / folder).mkdir()
        for index in range(3000):
            (tmp_path / folder / f"{index}.{suffix}").touch()
    found = StaticImages(tmp_path)
    assert len(found.videos) == 3000
    with pytest.raises(ValueError, match=r"cannot read image .*images.0\.jpg"):
        found.videos[0].frame(0)
    with pytest.raises(ValueError, match=r"masks.0\.png"):
        found.videos[0].annotation(0)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none does not exist: set dataset.root"):
        StaticImages(tmp_path / "none")
    photograph(tmp_path / "images/a.jpg")
    with pytest.raises(ValueError, match=r"has no folder masks of masks: set dataset.masks \(folders there: images\)"):
        StaticImages(tmp_path)
    mask(tmp_path / "masks/b.png", grey())
    with pytest.raises(ValueError, match=r"no image .* has a mask of its name"):
        StaticImages(tmp_path)
    for pixels, are, remedy in [
        ((grey() > 0).astype(np.uint8), "saliency", "values 0 and 1, .*set dataset.masks_are=objects"),
        ((grey() > 0).astype(np.uint8) * 255, "objects", "0 and 255 .void. only: set dataset.masks_are=saliency"),
        (grey()[:-2], "saliency", "mask .*a.png is 22×32.*, its frame .* is 24×32"),
    ]:
        mask(tmp_path / "masks/a.png", pixels)
        (video,) = StaticImages(tmp_path, masks_are=are).videos
        with pytest.raises(ValueError, match=remedy):
            video.annotation(0)
    with pytest.raises(ValueError, match="masks_are=grey: choose objects or saliency"):
        StaticImages(tmp_path, masks_are="grey")
    with pytest.raises(ValueError, match=r"objects=255, least=0.0: give 1 to 254"):
        StaticImages(tmp_path, objects=255)


def test_coco_objects_are_painted_from_the_largest_on(data: Path) -> None:
    found = Coco(data / "COCO", least=0.003)
    assert [video.name for video in found.videos] == ["000000000001", "000000000004"]
    expected = np.zeros(SIZE, np.uint8)
    expected[4:16, 4:16], expected[8:12, 8:12], expected[20:22, 28:30] = 1, 2, 3
    np.testing.assert_array_equal(found.videos[0].annotation(0), expected)
    bands = np.zeros(SIZE, np.uint8)
    bands[:, 4:6] = 1
    np.testing.assert_array_equal(found.videos[1].annotation(0), bands)
    (largest,) = Coco(data / "COCO", objects=1, sequences=["000000000001"]).videos
    np.testing.assert_array_equal(largest.annotation(0), (expected > 0) & (expected < 3))
    assert "000000000003" in {video.name for video in Coco(data / "COCO").videos}


def test_coco_run_lengths_may_be_compressed(data: Path) -> None:
    from pycocotools import mask as coco_mask

    path = data / "COCO/annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    pixels = labels() == 3
    runs = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    entry = {"size": runs["size"], "counts": runs["counts"].decode()}
    content["annotations"] = [{"image_id": 4, "segmentation": entry, "area": 100, "iscrowd": 0}]
    path.write_text(json.dumps(content))
    (video,) = Coco(data / "COCO").videos
    np.testing.assert_array_equal(video.annotation(0), pixels)


def test_coco_images_may_lie_in_images(data: Path) -> None:
    root = data / "COCO"
    (root / "images").mkdir()
    (root / "train2017").rename(root / "images/train2017")
    assert Coco(root).videos[0].frame(0).shape == (*SIZE, 3)
    with pytest.raises(ValueError, match=r"has no folder elsewhere of images: set dataset.images"):
        Coco(root, images="elsewhere")
    with pytest.raises(ValueError, match="has no folder val2017 of images"):
        Coco(root, split="val2017")


def test_a_check_opens_the_files_of_images(data: Path, command: Command) -> None:
    """The hash is of what they hold, and nothing is said twice of a damaged one."""

    def hashed(*problems: str) -> str:
        outcome = command("check", "dataset=static_ecssd", "workers=0")
        assert [line.split(":")[0] for line in outcome.err.splitlines()[1:]] == [f"  - {kind}" for kind in problems]
        return str(next(line for line in outcome.out.splitlines() if "sha256" in line))

    path, before = data / "ECSSD/images/0001.jpg", hashed("too few frames to be scored")
    path.write_bytes(path.read_bytes() + b"more")
    assert hashed("too few frames to be scored") != before
    path.write_bytes(b"no image")
    hashed("frames that cannot be read", "no object to start from", "too few frames to be scored")


def test_what_is_wrong_with_coco_is_named(data: Path) -> None:
    root = data / "COCO"
    photograph(root / "train2017/000000000001.jpg", size=(24, 30))
    with pytest.raises(ValueError, match=r"000000000001.jpg is 24×30 .* annotations are for 24×32"):
        Coco(root).videos[0].annotation(0)
    with pytest.raises(ValueError, match=r"cannot read .*instances_none.json"):
        Coco(root, file="annotations/instances_none.json")
    path = root / "annotations/instances_train2017.json"
    for content in ("[]", '{"images": []}', '{"images": [], "annotations": [{"image_id": 1, "caption": "a dog"}]}'):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"no instances of COCO's kind .*give an instances_\*.json"):
            Coco(root)
    path.write_text('{"images": [')
    with pytest.raises(ValueError, match=r"cannot read .*instances_train2017.json"):
        Coco(root)


TRAIN = [
    *("train", "method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "trainer.max_steps=1"),
    *("data=munet_static", "data.clips.size=32", "data.batch_size=2", "data.workers=0", "trainer.accelerator=cpu"),
]


def test_sets_that_are_not_there_can_be_left_out_of_training(data: Path, command: Command) -> None:
    (data / "ECSSD").rename(data / "gone")
    command(*TRAIN).error(1, "ECSSD does not exist", "VOSBENCH_DATA")
    without = command(*TRAIN, "~data.sources.ecssd")
    assert without.status == 0, without.err


@pytest.mark.slow
def test_the_presets_find_their_sets(data: Path, command: Command) -> None:
    for name, count in {"ecssd": 2, "msra10k": 2, "pascal_s": 2, "voc2012": 2, "coco": 2}.items():
        outcome = command("check", f"dataset=static_{name}", "full=false", "workers=1")
        assert f"{count}, {count} annotated" in outcome.out, (name, outcome.err)
