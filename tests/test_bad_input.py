"""Bad input of every kind, through the commands: one line with file and remedy, and nothing half-written."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from vosbench.video.images import write_label_map

Command = Callable[..., Any]
TINY = [
    *("method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "data=collage"),
    *("data.sources.collage.dataset.videos=1", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.validation=null", "data.clips.size=32"),
    *("data.batch_size=1", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.max_steps=2", "name=one"),
]
MASKS, FRAMES = "Annotations/480p/b", "JPEGImages/480p/b"


def on(davis: Path, verb: str = "predict", *overrides: str) -> list[str]:
    return [verb, "dataset=davis2017", f"dataset.root={davis}", "method=copy_first", "device=cpu", *overrides]


def missing_root(davis: Path) -> tuple[Path, str]:
    davis.rename(davis.with_name("elsewhere"))
    return davis, "set dataset.root, or VOSBENCH_DATA"


def missing_video(davis: Path) -> tuple[Path, str]:
    with (davis / "ImageSets/2017/val.txt").open("a") as file:
        file.write("ghost\n")
    return davis / "JPEGImages/480p: ghost", "add or unlist"


def other_size(davis: Path) -> tuple[Path, str]:
    mask = davis / MASKS / "00000.png"
    write_label_map(mask, np.ones((24, 32), np.uint8))
    return mask, "give masks of the frame's size"


def colours(davis: Path) -> tuple[Path, str]:
    mask = davis / MASKS / "00000.png"
    Image.new("RGB", (64, 48)).save(mask)
    return mask, "save object ids, not colours"


def no_object(davis: Path) -> tuple[Path, str]:
    write_label_map(davis / MASKS / "00000.png", np.zeros((48, 64), np.uint8))
    return Path("video b has an empty mask in its first frame 00000"), "label its objects"


def no_mask(davis: Path) -> tuple[Path, str]:
    (davis / MASKS / "00000.png").unlink()
    return Path("video b has no mask in its first frame 00000"), "label its objects"


def cut_mask(davis: Path) -> tuple[Path, str]:
    mask = davis / MASKS / "00000.png"
    mask.write_bytes(mask.read_bytes()[:60])
    return mask, "restore this file"


def cut_frame(davis: Path) -> tuple[Path, str]:
    frame = davis / FRAMES / "00002.jpg"
    frame.write_bytes(frame.read_bytes()[:900])
    return frame, "restore or remove this file"


@pytest.mark.parametrize(
    "spoil", [missing_root, missing_video, other_size, colours, no_object, no_mask, cut_mask, cut_frame]
)
def test_a_spoilt_data_set(command: Command, davis: Path, spoil: Callable[[Path], tuple[Path, str]]) -> None:
    named, remedy = spoil(davis)
    command(*on(davis)).error(1, str(named), remedy)
    folder = Path("runs/copy_first/default/predictions/davis2017-val")
    whole = {"a": 6} if spoil is cut_frame else {}  # the others are found before work starts
    found = {path.name: len(list(path.iterdir())) for path in folder.glob("*") if path.name != ".records"}
    assert found == whole
    assert [path.name for path in folder.glob(".records/*")] == [f"{name}.json" for name in whole]


def test_every_verb_says_it_alike(command: Command, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for verb in ("benchmark", "evaluate"):
        words = [verb, "dataset=davis2017", f"dataset.root={nowhere}"]
        command(*words).error(1, str(nowhere), "set dataset.root, or VOSBENCH_DATA")
    command("train", "data=davis2016_unlabelled", f"paths.data={nowhere}").error(1, str(nowhere), "VOSBENCH_DATA")
    command(*on(nowhere, "predict", "dataset.rot=x")).error(
        2, "unknown key 'dataset.rot'", "did you mean 'dataset.root'?"
    )


def test_own_video_that_is_damaged_or_missing(command: Command, davis: Path, tmp_path: Path) -> None:
    mask = f"mask={davis / MASKS}/00000.png"
    video = tmp_path / "clip.mp4"
    command("predict", f"input={video}", mask).error(1, str(video), "does not exist")
    video.write_bytes(b"no video" * 100)
    command("predict", f"input={video}", mask).error(1, str(video), "restore or remove")
    command("predict", f"input={davis / FRAMES}", "mask=nothing.png").error(1, "nothing.png", "indexed PNG")
    assert not list(Path("runs").rglob("*.png"))


def test_a_full_disk_while_predicting(command: Command, davis: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    save = Image.Image.save

    def filling(self: Image.Image, path: Path, *arguments: Any, **settings: Any) -> None:
        nonlocal written
        written += 1
        if written > 8:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, *arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", filling)
        command(*on(davis)).error(1, "the disk is full", "runs/copy_first/default", "make room and repeat")
    folder = Path("runs/copy_first/default/predictions/davis2017-val")
    assert sorted(path.name for path in folder.glob("*")) == [".records", "a"]
    assert [path.name for path in folder.glob(".records/*")] == ["a.json"]
    assert command(*on(davis)).status == 0
    assert len(list(folder.rglob("*.png"))) == 15


@contextmanager
def filling_up(monkeypatch: pytest.MonkeyPatch, word: str) -> Iterator[None]:
    """The disk fills up when a file is written whose name contains `word`."""
    write = Path.write_bytes

    def filling(path: Path, content: bytes) -> int:
        if word not in path.name:
            return write(path, content)
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", filling)
        yield


@pytest.mark.parametrize("file", ["b.json", "davis2017-val-davis.json"])
def test_a_full_disk_while_recording(command: Command, davis: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    with filling_up(monkeypatch, file):
        command(*on(davis, "benchmark", "workers=0")).error(1, "the disk is full", "make room and repeat")
    run = Path("runs/copy_first/default")
    assert not [path for path in run.rglob("*") if file in path.name or path.name.endswith((".part", ".old", ".lock"))]
    assert command(*on(davis, "benchmark", "workers=0")).status == 0
    assert (run / "results/davis2017-val-davis.json").is_file()


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("output", ["small/d.zip", "small/d.json"])
def test_a_full_disk_while_packing(command: Command, davis: Path, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    settings = ["pack", "dataset=davis2017", f"dataset.root={davis}", f"predictions={davis}/Annotations/480p"]
    with filling_up(monkeypatch, "d.json"), monkeypatch.context() as patch:
        patch.setattr(ZipFile, "writestr", full)
        command(*settings, f"output={output}").error(1, f"the disk is full: cannot write {output}; make room")
    assert not list(Path("small").iterdir())


def test_a_full_disk_while_packing_where_label_maps_are_prepared(
    command: Command, davis: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    settings = ["pack", "dataset=davis2017", f"dataset.root={davis}", f"predictions={davis}/Annotations/480p"]
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        command(*settings, "output=d.zip").error(1, f"the disk is full: cannot write {tmp_path}/temporary/")


def test_a_full_disk_while_caching(command: Command, davis: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["evaluate", "dataset=davis2017", f"dataset.root={davis}", f"predictions={davis}/Annotations/480p"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = command(*settings, "cache=small/cache", "workers=0", "pictures=0")
    result.error(1, "the disk is full: cannot write small/cache/", ".regions; make room and repeat")
    assert not list(Path("small/cache").iterdir())


def test_a_disk_that_is_full_from_the_start(command: Command, davis: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("vosbench.cli.run_folder.TemporaryFile", full)
        command(*on(davis)).error(1, "the disk is full: cannot write", "runs/copy_first/default; make room")
    assert not Path("runs").exists()


@pytest.mark.parametrize("verb", ["predict", "evaluate", "leaderboard"])
def test_a_run_folder_that_cannot_be_written(command: Command, davis: Path, verb: str) -> None:
    """/proc is a folder where nobody can write, not even who may write everywhere else."""
    Path("file").touch()
    settings = [verb] if verb == "leaderboard" else on(davis, verb)
    settings = [word for word in settings if verb == "predict" or not word.startswith(("method", "device"))]
    for override, named in {
        "runs=/proc/nope": "/proc/nope/",
        "runs=file": "file/",
        "hydra.run.dir=/proc": "/proc:",
    }.items():
        result = command(*settings, override)
        result.error(1, "cannot write into the run folder", named, "set runs to a folder that can be written")
        assert len(result.err.splitlines()) == 1


def test_a_full_disk_while_training(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["train", *TINY, "save_every=1"]
    assert command(*settings).status == 0
    folder = Path("runs/mamp_small/one/checkpoints")
    before = (folder / "last.ckpt").read_bytes()
    with filling_up(monkeypatch, "last.ckpt"):
        command(*settings, "trainer.max_steps=4").error(
            1, "the disk is full", "runs/mamp_small/one", "make room and repeat"
        )
    assert [path.name for path in folder.iterdir()] == ["last.ckpt"]
    assert (folder / "last.ckpt").read_bytes() == before
    done = command(*settings, "trainer.max_steps=4")
    assert "training from step 2 to 4" in done.out
