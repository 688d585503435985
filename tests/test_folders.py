"""Folders of frames and masks are read whole, or what is not read is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vosbench.datasets.davis import Davis
from vosbench.datasets.static_images import StaticImages
from vosbench.datasets.video_folder import VideoFolder, open_video
from vosbench.datasets.vip import Vip
from vosbench.datasets.youtube_vos import YoutubeVos
from vosbench.util.errors import UserError
from vosbench.video.leftovers import check_all_read
from vosbench.video.palette import PALETTE
from vosbench.video.part import Part
from vosbench.video.video import check_sizes

Command = Callable[..., Any]
SIZE = (16, 24)


def frames(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", SIZE[::-1], (9, 9, 9)).save(folder / name)
    return folder


def mask(path: Path, id_: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = Image.fromarray(np.zeros(SIZE, np.uint8))
    labels.paste(id_, (2, 2, 9, 9))
    labels.putpalette(PALETTE)
    labels.save(path)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return frames(tmp_path / "clip", *(f"{index:05}.jpg" for index in range(4)))


def ids(video: Any) -> list[list[int]]:
    """The objects that each frame gives."""
    given = [video.given(index) for index in range(len(video.frame_names))]
    return [[] if labels is None else sorted(set(np.unique(labels).tolist()) - {0}) for labels in given]


def test_frames_of_all_formats_are_read_and_other_files_ignored(tmp_path: Path) -> None:
    names = ("00000.jpg", "00001.WEBP", "00002.bmp", "00003.Png", "00004.tif", "00005.ppm", "00006.JPEG")
    folder = frames(tmp_path / "clip", *names)
    for name in ("Thumbs.db", "readme.txt", ".DS_Store", "._00000.jpg", "desktop.ini", "folder.ico"):
        (folder / name).write_text("x")
    (folder / "00007.jpg").mkdir()
    video = open_video(folder, mask(tmp_path / "first.png"))
    assert video.frame_names == tuple(f"{index:05}" for index in range(7))
    assert {video.frame(index).shape for index in range(7)} == {(*SIZE, 3)}


def test_frames_that_cannot_be_read_are_named(clip: Path, tmp_path: Path, command: Command) -> None:
    for name in ("00001.heic", "00002.GIF"):
        (clip / name).write_bytes(b"x")
    words = ("2 picture(s) that cannot be read as frames", "clip/00001.heic", "clip/00002.GIF", "convert them")
    first = mask(tmp_path / "first.png")
    command("predict", "method=copy_first", f"input={clip}", f"mask={first}", "run=out").error(1, *words)
    assert not list(Path("out").rglob("*.png"))
    for path in clip.glob("*.jpg"):
        path.unlink()
    with pytest.raises(UserError, match=r"clip holds no images .*, only 00001.heic"):
        open_video(clip)


def test_masks_in_other_endings_are_read(clip: Path, tmp_path: Path) -> None:
    for index, suffix in enumerate((".png", ".PNG", ".bmp", ".tif")):
        mask(tmp_path / f"masks/{index:05}{suffix}", index + 1)
    assert ids(open_video(clip, tmp_path / "masks")) == [[1], [2], [3], [4]]


def test_masks_that_are_not_used_are_named(clip: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    mask(masks / "00000.png")
    for name in ("notes.txt", "Thumbs.db"):
        (masks / name).touch()
    assert ids(open_video(clip, masks)) == [[1], [], [], []]
    mask(masks / "0002.png")
    with pytest.raises(UserError, match=r"1 mask\(s\) not named like a frame: 0002.png; .*for example 00000.png"):
        open_video(clip, masks)
    (masks / "0002.png").unlink()
    frames(masks, "00002.jpg")
    with pytest.raises(UserError, match=r"cannot be read as masks: 00002.jpg; save object ids as indexed PNGs"):
        open_video(clip, masks)
    (masks / "00002.jpg").unlink()
    mask(masks / "00000.PNG")
    with pytest.raises(UserError, match=r"two images of one name \(00000.PNG and 00000.png\)"):
        open_video(clip, masks)


def test_masks_of_frames_that_are_left_out_are_no_mistake(clip: Path, tmp_path: Path) -> None:
    for index in range(4):
        mask(tmp_path / f"masks/{index:05}.png", index + 1)
    video = open_video(clip, tmp_path / "masks", Part(stop=2))
    assert ids(video) == [[1], [2]]


@pytest.mark.parametrize("spelling", ["plain", "link", "dots"])
def test_a_mask_among_the_frames_is_none_of_them(clip: Path, tmp_path: Path, spelling: str) -> None:
    own = mask(clip / "0_first_mask.png")
    (tmp_path / "link.png").symlink_to(own)
    given = {"plain": own, "link": tmp_path / "link.png", "dots": clip / ".." / "clip" / own.name}[spelling]
    video = open_video(clip, given)
    assert video.frame_names == ("00000", "00001", "00002", "00003")
    assert ids(video) == [[1], [], [], []]


def test_a_mask_beside_its_frame(clip: Path) -> None:
    assert ids(open_video(clip, mask(clip / "00000.png"))) == [[1], [], [], []]


def test_frames_and_masks_in_one_folder(clip: Path) -> None:
    with pytest.raises(UserError, match=r"is the folder of the frames, and no .png there is named like a .jpg"):
        open_video(clip, clip)
    mask(clip / "00000.png")
    mask(clip / "00002.png", 2)
    video = open_video(clip, clip)
    assert len(video.frame_names) == 4
    assert ids(video) == [[1], [], [2], []]


def test_a_first_mask_with_another_frame_s_name_is_doubtful(
    clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert ids(open_video(clip, mask(tmp_path / "00002.png"))) == [[1], [], [], []]
    assert "00002.png is taken for the first frame, 00000" in caplog.text


def test_given_masks_are_judged(clip: Path, tmp_path: Path) -> None:
    grey = np.zeros(SIZE, np.uint8)
    grey[4:12, 4:12], grey[3, 4:12], grey[12, 4:12], grey[4:12, 3] = 255, 64, 128, 192
    Image.fromarray(grey).save(tmp_path / "first.png")
    with pytest.raises(UserError, match=r"first.png has 4 grey levels.*give each pixel the id of one object"):
        open_video(clip, tmp_path / "first.png")
    Image.fromarray(grey).save(tmp_path / "first.jpg")
    with pytest.raises(UserError, match=r"first.jpg is a JPEG"):
        open_video(clip, tmp_path / "first.jpg")


def make_davis(root: Path, *videos: str, count: int = 5) -> Path:
    for video in videos:
        for index in range(count):
            frames(root / "JPEGImages" / video, f"{index:05}.jpg")
            mask(root / "Annotations" / video / f"{index:05}.png")
    return root


def test_annotations_of_a_data_set_are_judged(tmp_path: Path, command: Command) -> None:
    root = make_davis(tmp_path / "soft", "a")
    grey = np.zeros(SIZE, np.uint8)
    grey[4:12, 4:12], grey[3, 4:12], grey[4:12, 3] = 255, 64, 128
    for index in range(5):
        Image.fromarray(grey).save(root / f"Annotations/a/{index:05}.png")
    words = ["dataset=davis2017", f"dataset.root={root}", "dataset.split=null", "dataset.resolution=null", "run=out"]
    says = ("Annotations/a/00000.png has 3 grey levels", "give each pixel the id of one object")
    command("predict", "method=copy_first", *words).error(1, *says)
    command("predict", "method=copy_first", *words, "dataset.binary=true", "name=b").error(1, *says)
    make_davis(tmp_path / "hard", "a")
    predictions = tmp_path / "hard/Annotations"
    command("evaluate", *words, f"predictions={predictions}", "workers=0").error(1, "has 3 grey levels")


def test_what_a_data_set_lacks_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = make_davis(tmp_path, "a", "b", "c")
    mask(root / "Annotations/a/00009.png")
    mask(root / "Annotations/b/0.png")
    (root / "Annotations/b/00003.png").unlink()
    for path in (root / "Annotations/c").iterdir():
        path.unlink()
    check_all_read(Davis(root, resolution=None).videos)
    orphans, bare, unlabelled = [record.getMessage() for record in caplog.records]
    assert "2 mask(s) have no frame of their name and are not used" in orphans
    assert "a/00009.png" in orphans
    assert "b/0.png" in orphans
    assert "1 frame(s) have no mask, while most of their video have" in bare
    assert "JPEGImages/b/00003.jpg" in bare
    assert unlabelled == "1 of 3 videos have no masks: c"
    caplog.clear()
    check_all_read(Davis(root, resolution=None).videos, masks=False)
    assert not caplog.records


@pytest.mark.parametrize("kept", [range(1), range(0, 11, 5), range(0, 11, 2), range(11)])
def test_videos_annotated_in_part_are_no_mistake(tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: range) -> None:
    root = make_davis(tmp_path, "a", count=11)
    for index in set(range(11)) - set(kept):
        (root / f"Annotations/a/{index:05}.png").unlink()
    for dataset in (Davis(root, resolution=None), Davis(root, resolution=None, max_frames=3)):
        check_all_read(dataset.videos)
    check_all_read(Davis(root, resolution=None, frames="annotated").videos)
    assert not caplog.records


def test_pictures_that_no_data_set_reads_are_named(tmp_path: Path) -> None:
    root = make_davis(tmp_path, "a", "b")
    (root / "JPEGImages/a/00007.heic").touch()
    (root / "Annotations/b/00003.jpg").touch()
    videos = Davis(root, resolution=None).videos
    with pytest.raises(UserError) as error:
        check_all_read(videos)
    said = " ".join(error.value.lines())
    assert "1 picture(s) that cannot be read as frames" in said
    assert "a/00007.heic" in said
    assert "1 picture(s) that cannot be read as masks" in said
    assert "b/00003.jpg" in said
    with pytest.raises(UserError, match=r"^1 picture\(s\) that cannot be read as frames: \S*a/00007.heic: convert"):
        check_all_read(videos, masks=False)


def test_other_layouts_name_them_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_davis(tmp_path / "valid", "a")
    (tmp_path / "valid/JPEGImages/a/00007.heic").touch()
    mask(tmp_path / "valid/Annotations/a/9.PNG")
    (video,) = YoutubeVos(tmp_path).videos
    assert [path.name for path in video.leftovers.unread_frames] == ["00007.heic"]
    assert [path.name for path in video.leftovers.orphans] == ["9.PNG"]
    (tmp_path / "valid/meta.json").write_text(
        '{"videos": {"a": {"objects": {"1": {"frames": ["00000", "00001", "00002", "00003"]}}}}}'
    )
    (tmp_path / "valid/Annotations/a/00002.png").unlink()
    (video,) = YoutubeVos(tmp_path).videos
    assert [path.name for path in video.leftovers.bare] == ["00002.jpg"]
    (tmp_path / "valid/JPEGImages").rename(tmp_path / "valid/Images")
    (tmp_path / "valid/Annotations").rename(tmp_path / "valid/ids")
    (tmp_path / "valid/Annotations").mkdir()
    (tmp_path / "valid/ids").rename(tmp_path / "valid/Annotations/Category_ids")
    (part,) = Vip(tmp_path / "valid", split=None).videos
    assert [path.name for path in part.leftovers.orphans] == ["9.PNG"]


def test_a_folder_of_videos_says_what_lies_beside_them(
    clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames(tmp_path, "poster.png")
    assert [video.name for video in VideoFolder(tmp_path).videos] == ["clip"]
    assert "1 images outside of frame folders are not read: poster.png" in caplog.text
    with pytest.raises(UserError, match="only images: give the folder above it to read clip as a video"):
        VideoFolder(clip)


def test_still_images(tmp_path: Path) -> None:
    frames(tmp_path / "images", "a.webp", "b.JPG")
    for name in ("a.PNG", "b.bmp"):
        mask(tmp_path / "masks" / name)
    assert [video.name for video in StaticImages(tmp_path, masks_are="objects").videos] == ["a", "b"]
    frames(tmp_path / "images", "b.png")
    with pytest.raises(UserError, match=r"two images of one name \(b.JPG and b.png\)"):
        StaticImages(tmp_path)
    (tmp_path / "images/b.png").rename(tmp_path / "images/c.heic")
    with pytest.raises(UserError, match=r"1 images cannot be read: .*c.heic"):
        StaticImages(tmp_path)


def test_frames_of_two_sizes_are_an_error_before_work_begins(clip: Path, tmp_path: Path, command: Command) -> None:
    Image.new("RGB", (32, 20)).save(clip / "00003.jpg")
    words = (f"input={clip}", f"mask={mask(tmp_path / 'first.png')}", "method=copy_first", "run=out")
    says = ("clip/00003.jpg is 20×32, the first frame 16×24", "bring the frames of a video to one size")
    done = command("predict", *words)
    done.error(1, *says)
    assert len(done.err.splitlines()) == 1
    assert not list(Path("out").rglob("*.png"))
    command("draw", *words).error(1, *says)


def test_turned_frames_have_one_size(clip: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE).save(clip / "00003.jpg", exif=exif)
    check_sizes([open_video(clip)])


@pytest.mark.parametrize("labels", [True, False])
def test_training_names_pictures_that_are_not_read(tmp_path: Path, labels: bool) -> None:
    from vosbench.training.datamodule import ClipData

    root = make_davis(tmp_path, "a")
    (root / ("Annotations" if labels else "JPEGImages") / "a/00004.heic").touch()
    data: Any = {
        "sources": {"own": {"dataset": {"_target_": "vosbench.datasets.davis.Davis", "root": str(root)}, "repeat": 1}},
        "clips": {"size": 8, "labels": labels},
        "batch_size": 1,
        "workers": 0,
    }
    data["sources"]["own"]["dataset"]["resolution"] = None
    data["clips"]["sampler"] = {"_target_": "vosbench.datasets.sampling.Stills"}
    with pytest.raises(UserError, match=r"cannot be read as (masks|frames): \S*a/00004.heic"):
        ClipData(data, seed=0)
