"""One folder with every mistake there is; scoring that is killed or interrupted: all is said, nothing is written."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from vosbench.video.images import write_label_map

Command = Callable[..., Any]
SIZE = (24, 32)


def label_map(*ids: int) -> np.ndarray:
    """A 6×6 square of each id, side by side."""
    labels = np.zeros(SIZE, np.uint8)
    for place, id_ in enumerate(ids):
        labels[8:14, 1 + 8 * place : 7 + 8 * place] = id_
    return labels


def add_video(root: Path, name: str, frames: int, *ids: int) -> None:
    """Adds a video and its annotations to a data set in DAVIS-2017 layout."""
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / "480p" / name).mkdir(parents=True)
    for index in range(frames):
        Image.new("RGB", SIZE[::-1]).save(root / f"JPEGImages/480p/{name}/{index:05}.jpg")
        write_label_map(root / f"Annotations/480p/{name}/{index:05}.png", label_map(*ids))
    listed = root / "ImageSets/2017/val.txt"
    listed.parent.mkdir(parents=True, exist_ok=True)
    with listed.open("a") as file:
        file.write(f"{name}\n")


def predict(root: Path, masks: Path) -> None:
    """Right predictions for all videos."""
    for path in (root / "Annotations/480p").glob("*/*.png"):
        folder = masks / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())


def contents(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: files by content, links by target."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }


def results(run: Path) -> list[str]:
    """What a scoring leaves but its configuration and log."""
    left = (path.relative_to(run) for path in run.rglob("*") if path.is_file())
    return sorted(str(path) for path in left if path.parts[0] != ".hydra" and path.name != "run.log")


VIDEOS = {
    "fine": (4, (1,)),
    "linked": (4, (1,)),
    "missing": (4, (1,)),
    "frames": (6, (1,)),
    "size": (4, (1,)),
    "colour": (4, (1,)),
    "sixteen": (4, (1,)),
    "cut": (4, (1,)),
    "ids": (4, (1, 2)),
    "void": (4, (1,)),
    "gaps": (4, (2, 5)),
    "strays": (4, (1,)),
    "broken": (4, (1,)),
    "one": (1, (1,)),
    "two": (2, (1,)),
    "late": (4, (1,)),
    "unlabelled": (4, ()),
}


@pytest.fixture
def every_mistake(tmp_path: Path) -> tuple[Path, Path]:
    """A data set and predictions that have every mistake, most in a video of its own, named by it."""
    root, masks = tmp_path / "data", tmp_path / "masks"
    for name, (frames, ids) in VIDEOS.items():
        add_video(root, name, frames, *ids)
    predict(root, masks)
    for path in (masks / "missing").iterdir():
        path.unlink()
    (masks / "missing").rmdir()
    (masks / "linked").rename(tmp_path / "elsewhere")
    (masks / "linked").symlink_to(tmp_path / "elsewhere")
    (masks / "fine/00001.png").rename(tmp_path / "one.png")
    (masks / "fine/00001.png").symlink_to(tmp_path / "one.png")
    (masks / "frames/00002.png").unlink()
    (masks / "frames/00004.png").rename(masks / "frames/4.png")
    write_label_map(masks / "size/00001.png", label_map(1)[:, ::2])
    Image.new("RGB", SIZE[::-1]).save(masks / "colour/00001.png")
    Image.new("RGBA", SIZE[::-1]).save(masks / "colour/00002.png")
    many = np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE)  # more than 255 ids
    Image.fromarray(many).save(masks / "sixteen/00001.png")
    (masks / "cut/00001.png").write_bytes((masks / "cut/00000.png").read_bytes()[:70])
    (masks / "cut/00002.png").write_bytes(b"no image")
    (masks / "cut/00003.png").write_bytes(b"")
    write_label_map(masks / "ids/00001.png", label_map(1, 3))
    write_label_map(masks / "ids/00002.png", label_map(1, 0, 9))
    write_label_map(masks / "void/00002.png", label_map(1, 255))
    write_label_map(masks / "gaps/00002.png", label_map(1, 7))
    for name in ("00001.npy", "00001.PNG", "notes.txt"):
        (masks / "strays" / name).touch()
    (masks / "strays/.hidden.png").touch()
    (masks / "strays/more").mkdir()
    (masks / "broken/00001.png").unlink()
    (masks / "broken/00001.png").symlink_to(tmp_path / "nowhere.png")
    write_label_map(masks / "late/00002.png", label_map(1, 2))
    write_label_map(root / "Annotations/480p/late/00002.png", label_map(1, 2))
    (masks / "stranger").mkdir()
    write_label_map(masks / "stranger/00000.png", label_map(1))
    write_label_map(masks / "00000.png", label_map(1))
    (masks / "readme.txt").write_text("of no concern")
    for name in ("global_results-val.csv", "per-sequence_results-val.csv"):
        (masks / name).write_text("J&F-Mean\n0.999\n")
    return root, masks


EXPECTED = [
    "1 sequence(s) without predictions: missing",
    "1 sequence(s) that the data set does not have: stranger",
    "1 image(s) outside of the sequences' folders: 00000.png",
    "frames: 1 frame(s) that the video does not have: 4",
    "frames: 2 annotated frame(s) without prediction: 00002, 00004",
    "size: 00001 is 24×16 (rows×columns), its annotation 24×32: save it at that size, as nothing is resized",
    "colour: mask {masks}/colour/00001.png has mode RGB, not an indexed PNG (mode P or L): save object ids",
    "colour: mask {masks}/colour/00002.png has mode RGBA",
    "sixteen: mask {masks}/sixteen/00001.png has mode I;16",
    "cut: cannot read mask {masks}/cut/00001.png",
    "cut: cannot read mask {masks}/cut/*.png: cannot identify image file",
    "ids: predicted ids [3, 9] above its 2 object(s): renumber them",
    "void: predicted ids [255] above its 1 object(s) (255 is void, which only annotations have)",
    "gaps: predicted ids [7] above its 5 object(s)",
    "strays: 4 stray file(s), not <frame>.png: 00001.PNG, 00001.npy, more, notes.txt",
    "broken: cannot read mask {masks}/broken/00001.png",
    "one: 1 annotated frame(s), and first and last are not scored: leave it out",
    "two: 2 annotated frame(s), and first and last are not scored: leave it out",
    "late: predicted ids [2] above its 1 object(s)",
    "unlabelled: its first annotation shows no object; leave this sequence out of the split",
]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_mistake_at_once(
    command: Command, every_mistake: tuple[Path, Path], tmp_path: Path, workers: int
) -> None:
    root, masks = every_mistake
    before = [contents(folder) for folder in (masks, root)]
    words = ["dataset=davis2017", f"dataset.root={root}", f"predictions={masks}", "run=out", f"workers={workers}"]
    done = command("evaluate", *words)
    assert done.status == 1
    head, *lines = done.err.splitlines()
    where = f"{masks} or the annotations of davis2017 val"
    assert head == f"vosbench: error: {len(EXPECTED)} problem(s) with {where}; nothing was scored"
    for expected in (sentence.format(masks=masks) for sentence in EXPECTED):
        assert sum(line.startswith(f"  - {expected}") for line in lines) == 1, (expected, lines)
    assert len(lines) == len(EXPECTED)
    assert not any("fine" in line or "linked" in line for line in lines)
    assert results(Path("out")) == []
    assert [contents(folder) for folder in (masks, root)] == before


def test_without_its_mistakes_the_folder_is_scored(
    command: Command, every_mistake: tuple[Path, Path], tmp_path: Path
) -> None:
    """Links are followed, and the CSVs that lie there are neither read nor written."""
    root, masks = every_mistake
    before = contents(masks)
    words = ["dataset=davis2017", f"dataset.root={root}", f"predictions={masks}", "run=out", "workers=0"]
    assert command("evaluate", *words, "dataset.sequences=[fine,linked]").status == 0
    table = Path("out/results/davis2017-val-davis/global_results-val.csv").read_text()
    assert table.splitlines()[1].startswith("1.000,")
    assert contents(masks) == before


@pytest.mark.parametrize("protocol", ["davis-unsupervised", "vos-benchmark", "youtube-vos"])
def test_the_same_mistakes_under_other_protocols(
    command: Command, every_mistake: tuple[Path, Path], protocol: str
) -> None:
    """What is wrong with files is wrong under every protocol; what ids may be, each says for itself."""
    root, masks = every_mistake
    words = ["dataset=davis2017", f"dataset.root={root}", f"predictions={masks}", "run=out", "workers=0"]
    done = command("evaluate", *words, f"protocol={protocol}")
    assert done.status == 1
    lines = done.err.splitlines()[1:]
    own = ("ids:", "void:", "gaps:", "one:", "two:", "late:", "unlabelled:")
    for expected in (sentence.format(masks=masks) for sentence in EXPECTED if not sentence.startswith(own)):
        assert sum(line.startswith(f"  - {expected}") for line in lines) == 1, (expected, lines)
    named = {
        name for name in (own_name.rstrip(":") for own_name in own) if any(f"  - {name}:" in line for line in lines)
    }
    assert (
        named
        == {
            "davis-unsupervised": {"void", "unlabelled"},
            "vos-benchmark": {"one", "two", "unlabelled"},
            "youtube-vos": {"ids", "void", "gaps", "one", "unlabelled"},
        }[protocol]
    )
    assert results(Path("out")) == []


def test_antialiased_masks_of_a_binary_set(command: Command, tmp_path: Path) -> None:
    root, masks = tmp_path / "data", tmp_path / "masks"
    for name in ("hard", "soft", "shrunk"):
        add_video(root, name, 4, 1)
    (root / "ImageSets/2017").rename(root / "ImageSets/2016")
    predict(root, masks)
    hard = Image.fromarray(label_map(255))  # 0 and 255 are fine
    soft = hard.filter(ImageFilter.GaussianBlur(1))
    shrunk = hard.resize((64, 48)).resize((32, 24), Image.Resampling.BILINEAR)
    for name, image in (("hard", hard), ("soft", soft), ("shrunk", shrunk)):
        for path in (masks / name).iterdir():
            image.save(path)
    words = ["dataset=davis2016", f"dataset.root={root}", f"predictions={masks}", "run=out", "workers=0"]
    done = command("evaluate", *words)
    assert done.status == 1
    head, *lines = done.err.splitlines()
    assert "2 problem(s)" in head
    for name, line in zip(("shrunk", "soft"), sorted(lines), strict=True):
        levels = r"\* has \d+ grey levels.*: give each pixel the id of one object"
        assert re.match(rf"  - {name}: {levels} \(4 frames: 00000, ", line), line
    assert results(Path("out")) == []


def test_a_folder_without_any_of_the_sequences(command: Command, tmp_path: Path) -> None:
    """Such as one level too high."""
    root, masks = tmp_path / "data", tmp_path / "masks"
    add_video(root, "swan", 4, 1)
    predict(root, masks / "480p")
    for workers in (0, 2):
        words = ["dataset=davis2017", f"dataset.root={root}", f"predictions={masks}", "run=out", f"workers={workers}"]
        done = command("evaluate", *words)
        assert done.status == 1
        assert "1 sequence(s) without predictions: swan" in done.err
        assert "1 sequence(s) that the data set does not have: 480p" in done.err


def test_the_folder_that_is_read_is_never_written_to(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when the command is run from inside it, nor through a link."""
    root, masks = tmp_path / "data", tmp_path / "masks"
    add_video(root, "swan", 4, 1)
    predict(root, masks)
    (tmp_path / "link").symlink_to(masks)
    before = contents(masks)
    settings = ["dataset=davis2017", f"dataset.root={root}", "workers=0"]
    for run, folder in ((masks / "run", masks), (tmp_path / "link/run", masks), (masks / "run", tmp_path / "link")):
        done = command("evaluate", *settings, f"predictions={folder}", f"run={run}")
        done.error(1, "choose another run folder")
        assert contents(masks) == before
    monkeypatch.chdir(masks)
    command("evaluate", *settings, "predictions=.").error(1, "choose another run folder")
    assert results(Path("runs/evaluate/default")) == []
    assert {name: content for name, content in contents(masks).items() if not name.startswith("runs")} == before


# Scoring that ends before its time.


@pytest.fixture
def long_videos(tmp_path: Path) -> list[str]:
    """Words of a command that scores two long videos, which takes far longer than any test waits."""
    root, size = tmp_path / "data", (1080, 1920)
    y, x = np.mgrid[: size[0], : size[1]]
    labels = (1 + y // 100 + 11 * (x // 1000)).astype(np.uint8)  # 22 objects
    Image.new("RGB", size[::-1]).save(tmp_path / "0.jpg")
    write_label_map(tmp_path / "0.png", labels)
    for kind, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".png")):
        for video in ("first", "second"):
            (root / kind / "480p" / video).mkdir(parents=True)
            for index in range(300):
                (root / kind / "480p" / video / f"{index:05}{suffix}").symlink_to(tmp_path / f"0{suffix}")
    (root / "ImageSets").mkdir()
    (root / "ImageSets/val.txt").write_text("first\nsecond\n")
    (tmp_path / "masks").symlink_to(root / "Annotations/480p")
    words = ["evaluate", "dataset=davis2017", f"dataset.root={root}", "dataset.year=null", "workers=2"]
    return [*words, f"predictions={tmp_path / 'masks'}", f"run={tmp_path / 'out'}"]


def workers_of(parent: int) -> list[int]:
    """The processes that `parent` started to score in, once they are busy."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_text()
        except OSError:  # it ended in the meantime
            continue
        busy = (int(status[11]) + int(status[12])) / os.sysconf("SC_CLK_TCK") > 1.5
        if int(status[1]) == parent and "spawn_main" in command and busy:
            found.append(int(folder.name))
    return found


@pytest.fixture
def scoring(long_videos: list[str], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A real command in the middle of scoring, and its workers."""
    if not Path("/proc/self/stat").is_file():
        pytest.skip("finds a process's children in /proc")
    process = subprocess.Popen(
        [sys.executable, "-m", "vosbench", *long_videos],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while len(workers := workers_of(process.pid)) < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(workers) == 2, process.stderr and process.poll()
        yield process, workers
    finally:
        for pid in (process.pid, *workers_of(process.pid)):
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def ended(process: subprocess.Popen[str], workers: list[int], tmp_path: Path) -> str:
    """What it said on stderr; it ended within seconds, with all its workers, and left nothing."""
    _, err = process.communicate(timeout=10)
    deadline = time.monotonic() + 5
    while (alive := [pid for pid in workers if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive
    assert results(tmp_path / "out") == []
    return err


def test_a_killed_worker(scoring: tuple[subprocess.Popen[str], list[int]], tmp_path: Path) -> None:
    process, workers = scoring
    os.kill(workers[0], signal.SIGKILL)
    assert "a worker process died, perhaps for lack of memory: set fewer workers" in ended(process, workers, tmp_path)
    assert process.returncode == 1


@pytest.mark.parametrize("whole", [False, True], ids=["process", "group"])
def test_an_interrupt(scoring: tuple[subprocess.Popen[str], list[int]], tmp_path: Path, whole: bool) -> None:
    """From another process, or typed in a terminal, where all processes get it."""
    process, workers = scoring
    (os.killpg if whole else os.kill)(process.pid, signal.SIGINT)
    assert ended(process, workers, tmp_path).splitlines() == [
        "vosbench: interrupted; the same command goes on from here"
    ]
    assert process.returncode == 130
