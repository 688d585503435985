"""`vosbench prepare`: sizes, the DAVIS layout it writes, going on after an interrupt, and never mixing sources."""

import shlex
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vosbench.cli import configuration
from vosbench.datasets.davis import Davis
from vosbench.tasks.prepare import Options, run
from vosbench.video.folder_video import FolderVideo
from vosbench.video.images import read_image, read_label_map, write_label_map


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two custom videos of 32×48: red left, green right; the mask is the left half, and only frame 0 of b has one."""
    root = tmp_path / "source"
    halves = np.zeros((32, 48, 3), np.uint8)
    halves[:, :24, 0] = halves[:, 24:, 1] = 200
    labels = np.where(np.arange(48) < 24, 3, 255).astype(np.uint8) * np.ones((32, 1), np.uint8)
    for video, masks in (("a", 2), ("b", 1)):
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / video).mkdir(parents=True)
        for index in range(2):
            Image.fromarray(halves).save(root / "JPEGImages" / video / f"{index:05d}.png")
        for index in range(masks):
            write_label_map(root / "Annotations" / video / f"{index:05d}.png", labels)
    return root


def options(source: Path, **changes: Any) -> Options:
    dataset = {"_target_": "vosbench.datasets.davis.Davis", "root": str(source), "resolution": None}
    keys: dict[str, Any] = {
        "dataset": dataset,
        "output": str(source.parent / "output"),
        "size": 16,
        "square": False,
        "quality": 95,
        "workers": 0,
        "overwrite": False,
    }
    return Options(**{**keys, **changes})


def test_prepared_set_is_a_davis_set_at_the_new_size(source: Path) -> None:
    run(options(source))
    data = Davis(source.parent / "output", "all", resolution="16p")
    a, b = data.videos
    assert (a.name, b.name, a.frame_names) == ("a", "b", ("00000", "00001"))
    frame = a.frame(0).astype(int)
    assert frame.shape == (16, 24, 3)
    assert np.abs(frame[8, 4] - (200, 0, 0)).max() < 12
    assert np.abs(frame[8, 20] - (0, 200, 0)).max() < 12
    expected = np.where(np.arange(24) < 12, 3, 255) * np.ones((16, 1))
    np.testing.assert_array_equal(a.annotation(0), expected)
    assert b.annotation(1) is None


@pytest.mark.parametrize(
    ("changes", "shape", "folder"),
    [({"square": True}, (16, 16), "16p"), ({"size": None}, (32, 48), "original"), ({"size": 64}, (64, 96), "64p")],
)
def test_square_unchanged_and_larger_sizes(
    source: Path, changes: dict[str, Any], shape: tuple[int, int], folder: str
) -> None:
    run(options(source, **changes))
    output = source.parent / "output"
    assert read_image(output / "JPEGImages" / folder / "a" / "00001.jpg").shape[:2] == shape
    assert read_label_map(output / "Annotations" / folder / "a" / "00001.png").shape == shape


def test_whole_videos_are_kept_and_changed_ones_are_an_error(source: Path) -> None:
    run(options(source))
    frame = source.parent / "output/JPEGImages/16p/a/00000.jpg"
    written = frame.stat().st_mtime_ns
    run(options(source))
    assert frame.stat().st_mtime_ns == written
    with pytest.raises(
        ValueError, match=r"16p/a was prepared otherwise \(quality 95 → 80; square false → true\): set overwrite=true"
    ):
        run(options(source, square=True, quality=80))
    noise = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)
    Image.fromarray(noise).save(source / "JPEGImages/b/00001.png")
    with pytest.raises(ValueError, match=r"16p/b was prepared otherwise \(the data\)"):
        run(options(source))
    assert frame.stat().st_mtime_ns == written
    run(options(source, overwrite=True))
    assert frame.stat().st_mtime_ns > written
    changed = read_image(source.parent / "output/JPEGImages/16p/b/00001.jpg")
    assert changed[:, :8, 1].mean() > 60 > read_image(frame)[:, :8, 1].mean()


@pytest.mark.parametrize("content", [None, b""])
def test_a_video_that_has_lost_a_frame_is_written_again(source: Path, content: bytes | None) -> None:
    run(options(source))
    lost = source.parent / "output/JPEGImages/16p/a/00001.jpg"
    whole = lost.read_bytes()
    lost.unlink()
    if content is not None:
        lost.write_bytes(content)
    run(options(source))
    assert lost.read_bytes() == whole


def test_an_interrupt_leaves_whole_videos_only_and_the_next_run_goes_on(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = FolderVideo.frame

    def interrupted(video: FolderVideo, index: int) -> Any:
        if (video.name, index) == ("b", 1):
            raise KeyboardInterrupt
        return read(video, index)

    with monkeypatch.context() as patch:
        patch.setattr(FolderVideo, "frame", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(options(source))
    output = source.parent / "output"
    assert [path.name for path in (output / "JPEGImages/16p").iterdir()] == ["a"]
    assert [path.name for path in (output / "Annotations/16p").iterdir()] == ["a"]
    assert not list((output / "ImageSets").iterdir())
    written = (output / "JPEGImages/16p/a/00000.jpg").stat().st_mtime_ns
    run(options(source))
    assert (output / "JPEGImages/16p/a/00000.jpg").stat().st_mtime_ns == written
    assert (output / "ImageSets/all.txt").read_text() == "a\nb\n"


def test_two_at_once_take_turns(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one that is started in the midst of a video neither disturbs it nor writes anything itself."""
    read, second = FolderVideo.frame, ThreadPoolExecutor(1)
    started: list[Future[None]] = []

    def reading(video: FolderVideo, index: int) -> Any:
        if not started:
            started.append(second.submit(run, options(source)))
            with pytest.raises(TimeoutError):
                started[0].result(0.3)
        return read(video, index)

    monkeypatch.setattr(FolderVideo, "frame", reading)
    run(options(source))
    times = {path: path.stat().st_mtime_ns for path in (source.parent / "output").rglob("*g")}
    assert len([path for path in times if path.suffix == ".jpg"]) == 4
    assert started[0].result(60) is None
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert not (source.parent / "output/.prepare.lock").exists()


def test_a_damaged_frame_is_named_and_nothing_of_its_video_stays(source: Path) -> None:
    frame = source / "JPEGImages/b/00001.png"
    frame.write_bytes(frame.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"cannot read image .*b/00001.png"):
        run(options(source, workers=1))
    assert not (source.parent / "output/JPEGImages/16p/b").exists()


def test_folders_of_others_are_never_touched(source: Path) -> None:
    other = source.parent / "output/JPEGImages/16p/a"
    other.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"16p/a was not written by vosbench prepare"):
        run(options(source, overwrite=True))
    assert list(other.iterdir()) == []


def test_collage_is_written_with_its_exact_label_maps(source: Path) -> None:
    collage = {
        "_target_": "vosbench.datasets.collage.Collage",
        "split": "val",
        "videos": 1,
        "length": 3,
        "size": [64, 96],
    }
    run(options(source, dataset=collage, size=None))
    from vosbench.datasets.collage import Collage

    generated = Collage("val", videos=1, length=3, size=(64, 96)).videos[0]
    stored = Davis(source.parent / "output", "val", resolution="64p").videos[0]
    assert stored.frame_names == generated.frame_names
    for index in range(3):
        np.testing.assert_array_equal(stored.annotation(index), generated.annotation(index))
        assert np.abs(stored.frame(index).astype(int) - generated.frame(index)).mean() < 6


def test_impossible_sizes_name_their_key(source: Path) -> None:
    for changes, message in (
        ({"size": 0}, "size=0"),
        ({"size": None, "square": True}, "square=true needs size="),
        ({"quality": 0}, "quality=0"),
    ):
        with pytest.raises(ValueError, match=message):
            run(options(source, **changes))


def test_any_name_that_is_written_can_be_read(source: Path) -> None:
    names = ["my dog", "a,b=c", "#1", "it's (2)", "behind ", "café", "a.jpg"]
    for kind in ("JPEGImages", "Annotations"):
        for name in names:
            shutil.copytree(source / kind / "a", source / kind / name)
    run(options(source, size=None))
    output = source.parent / "output"
    assert sorted(video.name for video in Davis(output, "all", resolution="original").videos) == sorted(
        [*names, "a", "b"]
    )


def test_the_overrides_that_are_printed_select_the_copy(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    output = source.parent / "a copy, [2] (it's)"
    run(options(source, output=str(output)))
    printed = next(message for message in caplog.messages if message.startswith("use: "))
    config = configuration.resolve(configuration.compose("evaluate", shlex.split(printed.removeprefix("use: "))))
    assert (config["dataset"]["root"], config["dataset"]["resolution"]) == (str(output), "16p")
