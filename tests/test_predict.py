"""`vosbench predict` as a user meets it: data sets, own video, interrupts, stale work, sharing, checkpoints."""

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vosbench.datasets.video_folder import open_video
from vosbench.drawing.encoding import write_video
from vosbench.inference.prediction_folder import Prediction, PredictionFolder
from vosbench.methods.copy_first.method import CopyFirst
from vosbench.runs.identity import Fingerprint
from vosbench.video.images import read_image, read_label_map
from vosbench.video.video_file import VideoFile

Command = Callable[..., Any]
RUN = Path("runs/copy_first/default")
MAMP = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8"]


def on(davis: Path, *overrides: str) -> list[str]:
    return ["predict", "dataset=davis2017", f"dataset.root={davis}", "device=cpu", *overrides]


def maps(folder: Path) -> dict[str, list[np.ndarray]]:
    """Label maps by sequence; fails for anything half-written."""
    assert {path.name for path in folder.glob(".*")} <= {".records"}
    assert {path.suffix for path in folder.glob(".records/[!.]*")} <= {".json"}
    sequences = sorted(path for path in folder.glob("[!.]*") if path.is_dir())
    return {path.name: [read_label_map(file) for file in sorted(path.iterdir())] for path in sequences}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run of copy_first gets Ctrl-C in the second sequence."""
    calls = 0
    segment = CopyFirst.segment

    def interrupting(self: CopyFirst, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 7:
            signal.raise_signal(signal.SIGINT)
        return segment(self, *arguments)

    monkeypatch.setattr(CopyFirst, "segment", interrupting)


def test_a_data_set(command: Command, davis: Path) -> None:
    done = command(*on(davis, "method=copy_first"))
    assert (done.status, done.err) == (0, "")
    folder = RUN / "predictions/davis2017-val"
    assert f"label maps: {folder.absolute()}" in done.out
    found = maps(folder)
    assert {name: len(labels) for name, labels in found.items()} == {"a": 6, "b": 5, "c": 4}
    first = read_label_map(davis / "Annotations/480p/b/00000.png")
    assert all((labels == first).all() for labels in found["b"])
    before = times(folder)
    again = command(*on(davis, "method=copy_first"))
    assert "3 of 3 videos are done already" in again.out
    assert times(folder) == before


def test_objects_that_start_late_and_another_folder(command: Command, davis: Path) -> None:
    settings = ["dataset.late_objects=true", "dataset.sequences=[b]", "output=elsewhere"]
    assert command(*on(davis, "method=flow_warp", *settings)).status == 0
    found = maps(Path("elsewhere"))["b"]
    assert [sorted(set(np.unique(labels))) for labels in found] == [[0, 1]] * 2 + [[0, 1, 2]] * 3


def test_own_video_with_an_overlay_beside_it(command: Command, davis: Path, tmp_path: Path) -> None:
    frames = [read_image(path) for path in sorted((davis / "JPEGImages/480p/a").iterdir())]
    video = tmp_path / "mine.mp4"
    write_video(video, iter(frames), fps=12)
    content, mask = video.read_bytes(), davis / "Annotations/480p/a/00000.png"
    own = ["predict", "method=copy_first", f"input={video}", f"mask={mask}", "device=cpu"]
    done = command(*own, "overlay=true", "fps=12", f"output={tmp_path}")
    assert done.status == 0, done.err
    assert video.read_bytes() == content
    labels = [read_label_map(path) for path in sorted((tmp_path / "mine").iterdir())]
    assert len(labels) == 6
    assert all((found == read_label_map(mask)).all() for found in labels)
    overlay = VideoFile(tmp_path / "mine-overlay.mp4")
    assert len(overlay.frame_names) == 6
    where = labels[0] > 0
    changed = np.abs(overlay.frame(5).astype(int) - frames[5].astype(int)).mean(2)
    assert changed[where].mean() > 2 * changed[~where].mean()
    assert command(*own).status == 0
    assert list(maps(RUN / "predictions")) == ["mine"]


def test_own_frames_with_masks_that_start_late(command: Command, davis: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for frame in ("00000", "00002"):
        (masks / f"{frame}.png").write_bytes((davis / f"Annotations/480p/b/{frame}.png").read_bytes())
    own = ["predict", "method=flow_warp", f"input={davis}/JPEGImages/480p/b", f"mask={masks}", "device=cpu"]
    done = command(*own, "precision=bf16-mixed", "output=out")
    assert done.status == 0, done.err
    found = maps(Path("out"))["b"]
    assert [2 in labels for labels in found] == [False, False, True, True, True]
    assert (found[0] == read_label_map(masks / "00000.png")).all()


@pytest.mark.parametrize(
    ("place", "typed", "name"),
    [
        (".", ".", "b"),
        (".", "../b/", "b"),
        ("00", "..", "b"),
        (".", "../a/../b/.", "b"),
        (".", "../link", "b"),
        (".", "../b, [2] (it's)=$x", "b, [2] (it's)=$x"),
    ],
)
def test_the_name_of_a_video_is_never_a_dot(
    command: Command, davis: Path, monkeypatch: pytest.MonkeyPatch, place: str, typed: str, name: str
) -> None:
    folder = davis / "JPEGImages/480p/b"
    (folder / "00").mkdir()
    (folder.parent / "link").symlink_to(folder)
    shutil.copytree(folder, folder.parent / "b, [2] (it's)=$x")
    monkeypatch.chdir(folder / place)
    mask = davis / "Annotations/480p/b/00000.png"
    own = ["predict", "method=copy_first", f"input={typed}", f"mask={mask}", "device=cpu", f"output={davis}/out, 2"]
    for _ in range(2):
        assert command(*own).status == 0
        assert {each: len(found) for each, found in maps(davis / "out, 2").items()} == {name: 5}
        assert [record.name for record in (davis / "out, 2/.records").iterdir()] == [f"{name}.json"]


def test_a_video_file_behind_a_link_and_one_without_a_name(davis: Path, tmp_path: Path) -> None:
    frames = [read_image(path) for path in sorted((davis / "JPEGImages/480p/a").iterdir())]
    write_video(tmp_path / "mine.mp4", iter(frames), fps=12)
    (tmp_path / "link.mp4").symlink_to(tmp_path / "mine.mp4")
    (tmp_path / "..mp4").write_bytes((tmp_path / "mine.mp4").read_bytes())
    assert [open_video(tmp_path / name).name for name in ("link.mp4", "..mp4")] == ["mine", "unnamed"]


def saved(folder: PredictionFolder) -> None:
    labels = np.zeros((8, 8), np.uint8)
    folder.save("x", [("00000", labels)], lambda: Prediction(Fingerprint(data="1"), None, [], (8, 8), 0.0))


def test_a_record_is_there_only_with_its_label_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, rename = PredictionFolder(tmp_path), Path.rename

    def failing(self: Path, target: Path) -> Path:
        if Path(target).name == failed:
            raise OSError(5, "Input/output error", str(target))
        assert not (tmp_path / ".records/x.json").exists(), "it was there before its label maps"
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    failed = "x"
    (tmp_path / ".records").mkdir()
    with pytest.raises(OSError, match="Input/output"):
        saved(folder)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    failed = "x.json"  # as if the process had been killed between the two
    with pytest.raises(OSError, match="Input/output"):
        saved(folder)
    assert (folder.read("x"), folder.check({"x": Fingerprint(data="1")})) == (None, ["x"])
    failed = ""
    saved(folder)
    assert folder.check({"x": Fingerprint(data="1")}) == []


def test_an_interrupt_leaves_whole_sequences_and_the_command_goes_on(
    command: Command, davis: Path, interrupted: None
) -> None:
    folder = RUN / "predictions/davis2017-val"
    command(*on(davis, "method=copy_first")).error(130, "interrupted; the same command goes on from here")
    assert {name: len(labels) for name, labels in maps(folder).items()} == {"a": 6}
    before = times(folder)
    done = command(*on(davis, "method=copy_first"))
    assert "1 of 3 videos are done already" in done.out
    assert list(maps(folder)) == ["a", "b", "c"]
    assert {path: time for path, time in times(folder).items() if path in before} == before


def test_what_a_killed_process_left_is_cleared_and_a_living_one_is_let_work(
    command: Command, davis: Path, holding: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = RUN / "predictions/davis2017-val"
    records = folder / ".records"
    records.mkdir(parents=True)
    (folder / ".b.part").mkdir()
    (folder / ".b.part/00000.png").write_bytes(b"half")
    working = holding(records / "a.lock", records / "b.lock")
    try:
        done = command(*on(davis, "method=copy_first", "overlay=true"))
        done.error(3, "2 of 3 videos are left", f"process {working.pid} holds", str(records / "a.lock"), "repeat")
        for sequence in ("a", "b"):
            assert f"{sequence} is left to {socket.gethostname()} process {working.pid}" in done.out
        assert sorted(path.name for path in folder.glob("[!.]*")) == ["c", "c-overlay.mp4"]
    finally:
        working.communicate("end")
    before = times(folder / "c")
    assert command(*on(davis, "method=copy_first")).status == 0
    assert {name: len(labels) for name, labels in maps(folder).items()} == {"a": 6, "b": 5, "c": 4}
    assert times(folder / "c") == before


def test_no_two_processes_ever_hold_one_claim(tmp_path: Path) -> None:
    """Four processes rush for locks that a dead one left; each lock's holder marks it, and finds no other's mark."""
    code = """
import sys
from pathlib import Path
from vosbench.runs.claims import Claim
folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    with Claim(folder / f"{number}.lock") as mine:
        if mine:
            (folder / f"{number}.mark").touch(exist_ok=False)
            (folder / f"{number}.mark").unlink()
            (folder / f"{number}.done").touch()
"""
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    for number in range(60):
        (tmp_path / f"{number}.lock").write_text(f"{socket.gethostname()} {dead.stdout.strip()}")
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[1] for process in processes] == [""] * 4
    assert len(list(tmp_path.glob("*.done"))) == 60
    assert not list(tmp_path.glob("*.lock"))


def test_stale_predictions_are_an_error_and_overwrite_redoes_all(command: Command, davis: Path) -> None:
    settings = [*MAMP, "name=one"]
    folder = Path("runs/mamp_small/one/predictions/davis2017-val")
    assert command(*on(davis, *settings)).status == 0
    before = times(folder)
    for change, part in (
        ("method.radius=3", "method.radius 12 → 3"),
        ("seed=1", "the weights"),
        ("precision=bf16-mixed", "precision 32-true → bf16-mixed"),
    ):
        refused = command(*on(davis, *settings, change))
        refused.error(1, str(folder.absolute()), part, "name=", "overwrite=true")
    frame = davis / "JPEGImages/480p/a/00003.jpg"
    frame.write_bytes((davis / "JPEGImages/480p/a/00002.jpg").read_bytes())
    command(*on(davis, *settings)).error(
        1, "1 sequence made otherwise", "first: a: frames or given masks", "name=<new name>"
    )
    assert times(folder) == before
    assert command(*on(davis, *settings, "overwrite=true")).status == 0
    changed = {path.parent.name for path, time in times(folder).items() if before[path] != time}
    assert changed == {"a", "b", "c"}
    assert list(maps(folder)) == ["a", "b", "c"]


def test_folders_that_vosbench_did_not_write_are_never_touched(command: Command, davis: Path) -> None:
    frames = davis / "JPEGImages/480p"
    before = {path: path.read_bytes() for path in frames.rglob("*.jpg")}
    for extra in ([], ["overwrite=true"]):
        refused = command(*on(davis, "method=copy_first", f"output={frames}", *extra))
        refused.error(1, str(frames / "a"), "not written by vosbench", "another output")
    assert {path: path.read_bytes() for path in frames.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_checkpoints(command: Command, davis: Path) -> None:
    train = ["train", *MAMP, "data=collage", "data.sources.collage.dataset.videos=1", "data.validation=null"]
    tiny = ["data.clips.size=32", "data.batch_size=1", "trainer.max_steps=1", "trainer.accelerator=cpu", "name=trained"]
    assert command(*train, "data.sources.collage.dataset.size=[48,64]", *tiny).status == 0
    run = Path("runs/mamp_small/trained")
    file = run / "checkpoints/last.ckpt"
    for number, checkpoint in enumerate((run, file)):
        done = command(*on(davis, *MAMP, f"checkpoint={checkpoint}", f"output=out{number}"))
        assert done.status == 0, done.err
    assert all((a == b).all() for a, b in zip(maps(Path("out0"))["b"], maps(Path("out1"))["b"], strict=True))

    def refused(checkpoint: str | Path, *parts: str, method: list[str] = MAMP) -> None:
        command(*on(davis, *method, f"checkpoint={checkpoint}", "output=never")).error(1, str(checkpoint), *parts)
        assert not Path("never").exists()

    Path("cut.ckpt").write_bytes(file.read_bytes()[:5000])
    Path("text.safetensors").write_text("no weights")
    torch.save([1, 2], "list.ckpt")
    refused("cut.ckpt", "cannot read checkpoint", "give a whole file")
    refused("text.safetensors", "cannot read checkpoint", "give a whole file")
    refused("list.ckpt", "holds a list")
    refused("nowhere.ckpt", "no file", "checkpoint=none")
    refused("runs", "no run folder")
    refused(file, "was trained for mamp, not copy_first", method=["method=copy_first"])
    content = torch.load(file, weights_only=True)
    torch.save({**content, "vosbench": {**content["vosbench"], "colours": "RGB"}}, "rgb.ckpt")
    refused("rgb.ckpt", "learned from RGB", "is to see Lab", "same options as in training")
    typed = "it was trained with (by `vosbench train method=mamp_small "
    refused(file, "does not fit MAMP", "other shapes", typed, method=[*MAMP, "method.channels=16"])


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("device=gpu", ["device=gpu", "auto, cpu, cuda"]),
        ("device=meta", ["device=meta", "auto, cpu, cuda"]),
        ("device=cuda:99", ["device=cuda:99", "GPUs here"]),
        ("precision=fast", ["precision=fast", "bf16-mixed"]),
        ("input=clip.mp4", ["mask=<PNG>", "mask=points:", "vosbench annotate input=clip.mp4"]),
        ("mask=first.png", ["input=<video"]),
        ("input=clip.mp4 mask=first.png", ["dataset=davis2017", "input=clip.mp4", "leave one of them out"]),
    ],
)
def test_settings_that_cannot_work(command: Command, davis: Path, override: str, parts: list[str]) -> None:
    command(*on(davis, "method=copy_first", *override.split())).error(1, *parts)
    assert not (RUN / "predictions").exists()


def test_one_frame(command: Command, davis: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "only.jpg").write_bytes((davis / "JPEGImages/480p/a/00000.jpg").read_bytes())
    mask = davis / "Annotations/480p/a/00000.png"
    done = command("predict", "method=flow_warp", f"input={frames}", f"mask={mask}", "overlay=true", "output=out")
    assert (done.status, done.err) == (0, "")
    (found,) = maps(Path("out"))["frames"]
    assert (found == read_label_map(mask)).all()


def test_palettes_of_given_masks_that_contradict_their_indices(command: Command, davis: Path, tmp_path: Path) -> None:
    """Only given masks are looked at."""
    for name in ("a/00000", "a/00001"):
        path = davis / f"Annotations/480p/{name}.png"
        image = Image.fromarray(1 - read_label_map(path))
        image.putpalette([128, 0, 0, 0, 0, 0])
        image.save(path)
    done = command(*on(davis, "method=copy_first"))
    assert done.status == 0
    said = done.out + done.err
    assert "1 mask(s) have a palette that contradicts their indices" in said
    assert "a/00000.png (index 0 is not black, and index 1 is)" in " ".join(said.split())
