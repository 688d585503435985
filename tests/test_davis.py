"""The DAVIS layout: lists, masks, resolutions, custom folders, and what is said about damaged ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vosbench.datasets.davis import Davis
from vosbench.video import folder_video
from vosbench.video.images import write_label_map


def mask(object_id: int = 1, column: int = 2) -> np.ndarray:
    labels = np.zeros((16, 24), np.uint8)
    labels[4:9, column : column + 6] = object_id
    return labels


def write_video(root: Path, name: str, masks: list[np.ndarray | None], resolution: str = "480p") -> None:
    images, labels = root / "JPEGImages" / resolution / name, root / "Annotations" / resolution / name
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for index, annotation in enumerate(masks):
        Image.new("RGB", (24, 16), (10 * index, 50, 200)).save(images / f"{index:05d}.jpg", quality=95)
        if annotation is not None:
            write_label_map(labels / f"{index:05d}.png", annotation)


def write_list(root: Path, text: str, path: str = "2017/val.txt") -> None:
    file = root / "ImageSets" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two DAVIS-2017 videos of three frames; in the second, object 2 appears at frame 1."""
    write_video(tmp_path, "bear", [mask(), mask(), mask()])
    write_video(tmp_path, "dogs", [mask(1), mask(1) + mask(2, 12), mask(2, 12)])
    write_list(tmp_path, "dogs\nbear\n\n")
    return tmp_path


def test_videos_come_in_the_list_s_order_with_frames_and_masks(root: Path) -> None:
    data = Davis(root, "val", 2017)
    assert [video.name for video in data.videos] == ["dogs", "bear"]
    assert (data.name, data.split, data.resolution, data.frames, data.protocol) == (
        "davis2017",
        "val",
        "480p",
        "all",
        "davis",
    )
    dogs = data.videos[0]
    assert dogs.frame_names == ("00000", "00001", "00002")
    assert dogs.frame(2).shape == (16, 24, 3)
    assert np.abs(dogs.frame(2)[0, 0].astype(int) - (20, 50, 200)).max() < 6
    np.testing.assert_array_equal(dogs.annotation(1), mask(1) + mask(2, 12))


@pytest.mark.parametrize("path", ["2016/val.txt", "480p/val.txt", "val.txt"])
def test_2016_lists_are_found_under_each_of_their_names(root: Path, path: str) -> None:
    write_list(root, "bear\n", path)
    assert [video.name for video in Davis(root, "val", 2016).videos] == ["bear"]


def test_list_of_path_pairs_is_read(root: Path) -> None:
    lines = [
        f"/JPEGImages/480p/{v}/0000{i}.jpg /Annotations/480p/{v}/0000{i}.png" for v in ("bear", "dogs") for i in (0, 1)
    ]
    write_list(root, "\n".join(lines), "480p/train.txt")
    assert [video.name for video in Davis(root, "train", 2016).videos] == ["bear", "dogs"]


def test_2016_masks_of_0_and_255_are_object_1(root: Path) -> None:
    write_video(root, "camel", [mask(255)])
    write_list(root, "camel", "2016/val.txt")
    camel = Davis(root, "val", 2016).videos[0]
    np.testing.assert_array_equal(camel.annotation(0), mask(1))
    np.testing.assert_array_equal(camel.given(0), mask(1))


def test_only_the_first_frame_is_given_unless_objects_may_start_late(root: Path) -> None:
    early, late = (Davis(root, "val", 2017, late_objects=late).videos[0] for late in (False, True))
    np.testing.assert_array_equal(early.given(0), mask(1))
    assert early.given(1) is None
    np.testing.assert_array_equal(late.given(1), mask(2, 12))
    assert late.given(2) is None


def test_custom_folder_needs_neither_list_nor_resolution(tmp_path: Path) -> None:
    write_video(tmp_path, "b", [mask(), None], resolution="")
    write_video(tmp_path, "a", [mask()], resolution="")
    data = Davis(tmp_path, resolution=None)
    assert [video.name for video in data.videos] == ["a", "b"]
    assert (data.name, data.split, data.resolution) == (tmp_path.name, "all", "original")
    assert data.videos[1].annotation(1) is None


def test_frames_sort_by_number_and_can_be_cut(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages" / "v").mkdir(parents=True)
    for index in (10, 9, 1):
        Image.new("RGB", (8, 8)).save(tmp_path / "JPEGImages" / "v" / f"frame{index}.png")
    assert Davis(tmp_path, resolution=None).videos[0].frame_names == ("frame1", "frame9", "frame10")
    assert Davis(tmp_path, resolution=None, max_frames=2).videos[0].frame_names == ("frame1", "frame9")


def test_annotated_frames_only(root: Path) -> None:
    write_video(root, "five", [mask(), None, None, mask(), None])
    data = Davis(root, None, 2017, frames="annotated", sequences=["five"])
    assert data.videos[0].frame_names == ("00000", "00003")


def test_sequences_and_exclude_restrict(root: Path) -> None:
    assert [video.name for video in Davis(root, "val", 2017, sequences=["bear"]).videos] == ["bear"]
    assert [video.name for video in Davis(root, "val", 2017, exclude=["bear"]).videos] == ["dogs"]


def test_other_annotations_may_be_smaller_for_training_but_not_to_predict_from(root: Path, tmp_path: Path) -> None:
    labels = tmp_path / "pseudo" / "bear"
    labels.mkdir(parents=True)
    write_label_map(labels / "00000.png", np.full((4, 6), 3, np.uint8))
    bear = Davis(root, "val", 2017, sequences=["bear"], annotations=tmp_path / "pseudo").videos[0]
    np.testing.assert_array_equal(bear.annotation(0), np.full((4, 6), 3))
    assert bear.annotation(1) is None
    with pytest.raises(ValueError, match=r"00000.png is 4×6"):
        bear.given(0)


def test_headers_are_opened_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def header(path: Path) -> tuple[int, int]:
        opened.append(path.name)
        return 16, 24

    monkeypatch.setattr(folder_video, "image_size", header)
    bear = Davis(root, "val", 2017, sequences=["bear"]).videos[0]
    assert bear.given(0) is not None
    assert opened == ["00000.jpg"]
    assert bear.size == bear.size == (16, 24)
    assert opened == ["00000.jpg"] * 2


def test_fingerprints_tell_frames_and_masks_apart(root: Path) -> None:
    def prints(**settings: Any) -> tuple[str, str]:
        video = Davis(root, "val", 2017, sequences=["bear"], **settings).videos[0]
        return video.fingerprint(), video.annotation_fingerprint()

    frames, masks = prints()
    assert prints(max_frames=2)[0] != frames
    assert prints(binary=True)[1] != masks
    write_label_map(root / "Annotations/480p/bear/00001.png", mask(1, 3))
    changed = prints()
    assert (changed[0], changed[1] != masks) == (frames, True)
    Image.new("RGB", (48, 32)).save(root / "JPEGImages/480p/bear/00001.jpg")
    assert prints()[0] != frames
    video = Davis(root, "val", 2017, sequences=["bear"]).videos[0]
    assert video.path == root / "JPEGImages/480p/bear"
    assert video.mask_folder == root / "Annotations/480p/bear"
    assert (video.size, video.frame_size(1)) == ((16, 24), (32, 48))


def test_missing_root_list_and_resolution_name_the_remedy(root: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere does not exist: set dataset.root"):
        Davis(root / "nowhere", "val", 2017)
    with pytest.raises(ValueError, match="has no folder JPEGImages"):
        Davis(root / "ImageSets", "val", 2017)
    with pytest.raises(ValueError, match=r"2017/test-dev.txt does not exist"):
        Davis(root, "test-dev", 2017)
    with pytest.raises(ValueError, match=r"no resolution 1080p: set dataset\.resolution to one of: 480p"):
        Davis(root, "val", 2017, "1080p")
    with pytest.raises(ValueError, match="max_frames=0"):
        Davis(root, "val", 2017, max_frames=0)


def test_all_missing_videos_are_listed_at_once(root: Path) -> None:
    write_list(root, "bear\nzebra\nyak\n")
    with pytest.raises(ValueError, match=r"2 listed videos are not in .*: yak, zebra"):
        Davis(root, "val", 2017)


def test_unknown_and_excluded_sequences_are_errors(root: Path) -> None:
    with pytest.raises(ValueError, match="has no sequences cat: choose from dogs, bear"):
        Davis(root, "val", 2017, sequences=["cat", "bear"])
    with pytest.raises(ValueError, match="no video is left"):
        Davis(root, "val", 2017, exclude=["dogs", "bear"])


def test_size_mismatch_is_found_when_the_mask_is_needed(root: Path) -> None:
    path = root / "Annotations/480p/bear/00001.png"
    write_label_map(path, np.ones((8, 12), np.uint8))
    bear = Davis(root, "val", 2017, sequences=["bear"]).videos[0]
    np.testing.assert_array_equal(bear.annotation(0), mask())
    with pytest.raises(ValueError, match=r"bear/00001.png is 8×12 \(rows×columns\), its frame .*00001.jpg is 16×24"):
        bear.annotation(1)


@pytest.mark.parametrize(("labels", "problem"), [(np.zeros((16, 24), np.uint8), "an empty mask"), (None, "no mask")])
def test_first_mask_missing_or_empty_is_an_error_only_when_predicting(
    root: Path, labels: np.ndarray | None, problem: str
) -> None:
    write_video(root, "ghost", [labels, mask()])
    ghost = Davis(root, sequences=["ghost"]).videos[0]
    np.testing.assert_array_equal(ghost.annotation(1), mask())
    with pytest.raises(ValueError, match=f"video ghost has {problem} in its first frame 00000"):
        ghost.given(0)
    late = Davis(root, sequences=["ghost"], late_objects=True).videos[0]
    np.testing.assert_array_equal(late.given(1), mask())


def test_rgb_mask_truncated_jpeg_and_empty_folder_name_the_file(root: Path) -> None:
    Image.new("RGB", (24, 16)).save(root / "Annotations/480p/bear/00000.png")
    jpeg = root / "JPEGImages/480p/bear/00001.jpg"
    jpeg.write_bytes(jpeg.read_bytes()[:300])
    bear = Davis(root, "val", 2017, sequences=["bear"]).videos[0]
    with pytest.raises(ValueError, match=r"bear/00000.png has mode RGB"):
        bear.annotation(0)
    with pytest.raises(ValueError, match=r"cannot read image .*bear/00001.jpg"):
        bear.frame(1)
    (root / "JPEGImages/480p/void").mkdir()
    with pytest.raises(ValueError, match="void holds no images"):
        Davis(root)


def test_two_images_of_one_name_are_an_error(root: Path) -> None:
    Image.new("RGB", (24, 16)).save(root / "JPEGImages/480p/bear/00000.png")
    with pytest.raises(ValueError, match="two images of one name"):
        Davis(root, "val", 2017)


@pytest.mark.real
def test_real_davis(real_data: Path) -> None:
    val = Davis(real_data / "davis2016-val10", "val", 2016)
    assert (len(val.videos), val.videos[0].name, len(val.videos[0].frame_names)) == (10, "blackswan", 50)
    first = val.videos[0].given(0)
    assert first is not None
    assert first.shape == val.videos[0].frame(0).shape[:2] == (480, 854)
    train = Davis(real_data / "davis2016-train-256p", "train", 2016, "256p")
    assert sum(len(video.frame_names) for video in train.videos) == 2079
    schoolgirls = Davis(real_data / "davis2017-240p", "train", 2017, "240p").videos[0]
    labels = schoolgirls.given(0)
    assert labels is not None
    assert np.unique(labels).tolist() == list(range(8))


def test_every_so_many_frames(tmp_path: Path) -> None:
    names = [f"{number:05}" for number in range(7)]
    for kind, ending in (("JPEGImages", "jpg"), ("Annotations", "png")):
        folder = tmp_path / kind / "480p/bear"
        folder.mkdir(parents=True)
        for name in names:
            Image.new("L" if ending == "png" else "RGB", (8, 6)).save(folder / f"{name}.{ending}")
    (video,) = Davis(tmp_path, every=3).videos
    assert list(video.frame_names) == ["00000", "00003", "00006"]
    assert video.annotation(1) is not None
    (short,) = Davis(tmp_path, every=3, max_frames=2).videos
    assert list(short.frame_names) == ["00000", "00003"]
    assert video.fingerprint() != Davis(tmp_path).videos[0].fingerprint()


def test_frames_and_annotations_of_another_size(root: Path) -> None:
    plain, data = Davis(root, "val", 2017), Davis(root, "val", 2017, resized=[32, 36])
    assert data.resolution == "480p, all resized to 32×36"
    before, video = plain.videos[0], data.videos[0]
    labels = np.asarray(Image.fromarray(mask(1) + mask(2, 12)).resize((36, 32), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(video.annotation(1), labels)
    assert (video.size, video.frame(2).shape) == ((32, 36), (32, 36, 3))
    assert video.fingerprint() != before.fingerprint()
    assert video.annotation_fingerprint() != before.annotation_fingerprint()
    with pytest.raises(ValueError, match=r"resized=\[480\]: give \[height, width\]"):
        Davis(root, "val", 2017, resized=[480])
