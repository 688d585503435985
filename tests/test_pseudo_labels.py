"""Pseudo-labels: what an update leaves, which update a clip reads, going on after a kill, processes that share."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from vosbench.datasets.clips import Clips, collate
from vosbench.datasets.pseudo_labels import PseudoLabels
from vosbench.datasets.sampling import Strided
from vosbench.methods.mask_embedding.method import MaskEmbedding
from vosbench.methods.mask_embedding.pseudo_label_statistics import Found, best_overlap, describe, summary
from vosbench.methods.mask_embedding.pseudo_labels import ClusterVideos
from vosbench.video.images import read_label_map, write_label_map
from vosbench.video.video import Frames, Video
from vosbench.video.video import Image as Picture

TINY = [
    *("method=mask_embedding_small", "method.widths=[8,8]", "method.channels=[8,8]", "method.decoder_widths=[8,8,8]"),
    *("data=collage", "data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.clips.size=32", "data.batch_size=2", "data.validation=null"),
    *("trainer.accelerator=cpu", "trainer.devices=1", "trainer.log_every_n_steps=1"),
    *("data.clips.sampler.gaps=[2]", "data.clips.sampler.probabilities=[1]"),  # 4 clips an epoch
]
RUN = Path("runs/mask_embedding_small/one")
Command = Callable[..., Any]


def train(command: Command, steps: int, *settings: str) -> Any:
    return command("train", *TINY, "name=one", f"trainer.max_steps={steps}", *settings)


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".takeover")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_training_makes_an_update_every_so_many_epochs(command: Command) -> None:
    done = train(command, 7, "callbacks.pseudo_labels.every=2")  # epochs of 2 steps: updates before steps 0 and 4
    assert done.status == 0, done.err
    assert sorted(path.parent.name for path in RUN.glob("labels/*/DONE")) == ["0", "2"]
    frames = sorted((RUN / "labels/0/collage/train_00").iterdir())
    assert [path.name for path in frames] == [f"{index:05}.png" for index in range(8)]
    labels = read_label_map(frames[0])
    assert labels.shape == (6, 8)  # cells of 8 pixels
    assert labels.max() >= 1
    with Image.open(frames[0]) as image:
        assert image.mode == "P"
    lines = [line for line in done.out.splitlines() if line.startswith("pseudo-labels of epoch")]
    assert len(lines) == 2
    assert "2 videos" in lines[0]
    assert "% dropped, best overlap with true objects" in lines[0]
    found = json.loads((RUN / "labels/0/DONE").read_text())
    assert sorted(found) == ["collage/train_00", "collage/train_01"]
    for video in found.values():
        assert sum(video["sizes"]) + video["dropped"] == pytest.approx(1)
        assert all(size <= 0.4 for size in video["sizes"])
        assert set(video["overlap"]) <= {"1", "2", "3", "4"}
    header, *rows = (RUN / "metrics.csv").read_text().splitlines()
    assert [bool(row.split(",")[header.split(",").index("pseudo_labels/overlap")]) for row in rows] == [
        number in (0, 4) for number in range(7)
    ]


@pytest.mark.slow
def test_without_an_interval_they_are_made_once(command: Command) -> None:
    assert train(command, 5, "callbacks.pseudo_labels.every=null").status == 0
    assert [path.parent.name for path in RUN.glob("labels/*/DONE")] == ["0"]
    train(command, 5, "callbacks.pseudo_labels.every=0", "name=two").error(1, "every=0", "null")
    train(command, 5, "data.clips.labels=pseudo", "name=two").error(1, "labels=pseudo", "pseudo_labels=none")


@pytest.mark.slow
def test_a_killed_update_goes_on_and_training_ends_as_an_undisturbed_one(command: Command) -> None:
    """Killed while the second update is being made: one video is whole, the other is not."""
    assert train(command, 3, "callbacks.pseudo_labels.every=1", "save_every=2").status == 0
    labels, last = RUN / "labels", RUN / "checkpoints/last.ckpt"
    whole, expected = contents(labels), weights(last)
    shutil.rmtree(RUN)
    code = """
import os, signal, sys
from vosbench.methods.mask_embedding import pseudo_labels
from vosbench.cli.main import main
write, count = pseudo_labels.write_label_map, [0]
def dying(path, labels):
    count[0] += 1
    if count[0] == 8 * 3 + 4:
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, labels)
pseudo_labels.write_label_map = dying
sys.argv = ["vosbench", *sys.argv[1:]]
main()
"""
    settings = ["train", *TINY, "name=one", "trainer.max_steps=3", "callbacks.pseudo_labels.every=1", "save_every=2"]
    killed = subprocess.run([sys.executable, "-c", code, *settings], capture_output=True, check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.parent.name for path in labels.glob("*/DONE")] == ["0"]
    kept = labels / "1/collage/train_00/00000.png"
    before = kept.stat().st_mtime_ns
    assert not (labels / "1/collage/train_01").exists()
    assert train(command, 3, "callbacks.pseudo_labels.every=1", "save_every=2").status == 0
    assert kept.stat().st_mtime_ns == before
    assert contents(labels) == whole
    assert all(torch.equal(value, weights(last)[key]) for key, value in expected.items())


@pytest.mark.slow
def test_a_kill_between_an_update_and_the_next_save_leaves_no_gap_in_metrics(command: Command) -> None:
    """The update before step 2 is whole, but metrics.csv does not know of it yet: it is as old as the checkpoint."""
    settings = ["callbacks.pseudo_labels.every=1", "save_every=2"]
    assert train(command, 2, *settings).status == 0
    saved = {path: path.read_bytes() for path in (RUN / "metrics.csv", RUN / "checkpoints/last.ckpt")}
    assert train(command, 4, *settings).status == 0
    whole = (RUN / "metrics.csv").read_bytes()
    for path, content in saved.items():
        path.write_bytes(content)
    assert (RUN / "labels/1/DONE").is_file()
    assert train(command, 4, *settings).status == 0
    assert (RUN / "metrics.csv").read_bytes() == whole
    header, *rows = whole.decode().splitlines()
    column = header.split(",").index("pseudo_labels/overlap")
    assert [bool(row.split(",")[column]) for row in rows] == [True, False, True, False]


def test_labels_may_be_finer_than_cells(command: Command) -> None:
    assert train(command, 2, "callbacks.pseudo_labels.finer=4", "callbacks.pseudo_labels.motion=1").status == 0
    assert read_label_map(RUN / "labels/0/collage/train_00/00000.png").shape == (24, 32)
    train(command, 2, "callbacks.pseudo_labels.finer=0", "name=two").error(1, "finer=0", "1 or more")


@pytest.mark.slow
def test_labels_of_another_training_are_not_used(command: Command) -> None:
    assert train(command, 1).status == 0
    first = contents(RUN / "labels/0/collage")
    shutil.rmtree(RUN / "checkpoints")  # as if it had been killed before its first checkpoint
    assert train(command, 1, "callbacks.pseudo_labels.clusters=3").status == 0
    assert contents(RUN / "labels/0/collage") != first
    train(command, 2).error(1, "callbacks.pseudo_labels.clusters 3 → ", "overwrite=true")


@pytest.mark.slow
def test_labels_of_another_start_are_not_used(command: Command) -> None:
    """The same command, but what `init` names has been trained anew, and the checkpoint is lost."""
    start = ["pseudo_labels=none", "method.decode=false", "optimizer.lr=1e-2"]
    digests = []
    for seed in ("seed=1", "seed=2"):
        assert train(command, 1, *start, "name=start", seed, "overwrite=true").status == 0
        assert train(command, 1, f"init={RUN.with_name('start')}").status == 0
        digests.append(contents(RUN / "labels/0/collage"))
        shutil.rmtree(RUN / "checkpoints")
    assert digests[0] != digests[1]


def test_the_first_and_the_last_updates_stay(command: Command) -> None:
    assert train(command, 8, "callbacks.pseudo_labels.every=1").status == 0
    assert sorted(path.parent.name for path in RUN.glob("labels/*/DONE")) == ["0", "2", "3"]
    assert sorted(path.name for path in (RUN / "labels").iterdir() if path.is_dir()) == ["0", "2", "3"]


@pytest.mark.slow
def test_two_processes_share_the_videos_and_learn_the_same(command: Command, tmp_path: Path) -> None:
    assert train(command, 2, "callbacks.pseudo_labels.every=1").status == 0
    together = ["trainer.devices=2", "trainer.strategy=ddp", "name=two", "callbacks.pseudo_labels.every=1"]
    arguments = [sys.executable, "-m", "vosbench", "train", *TINY, *together, "trainer.max_steps=2"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pseudo-labels of epoch 0") == 1
    two = RUN.with_name("two")
    assert contents(RUN / "labels/0/collage") == contents(two / "labels/0/collage")
    assert not list(two.rglob("*.lock"))


@pytest.mark.parametrize(
    ("settings", "who"),
    [
        (["method.decode=false"], "method.decode=false"),
        (["method=mamp_small", "+pseudo_labels=clusters", "flow=none"], "MAMP"),
    ],
)
def test_a_method_that_learns_nothing_from_them(command: Command, settings: list[str], who: str) -> None:
    collage = [setting for setting in TINY if not setting.startswith("method")]
    done = command("train", *(TINY if len(settings) == 1 else collage), "name=one", "trainer.max_steps=2", *settings)
    done.error(1, f"callbacks.pseudo_labels: {who} learns nothing from them: set pseudo_labels=none")
    assert not list(Path("runs").rglob("labels"))


class Grey(Video):
    """Ten frames of 16 × 24 pixels, and no annotations."""

    name = "grey"
    frame_names = tuple(f"{index:05}" for index in range(10))

    def frame(self, index: int) -> Picture:
        return np.full((16, 24, 3), 20 * index, np.uint8)


class Set:
    name, split, resolution, protocol, whole = "set", "all", "16p", "davis", 1
    frames: Frames = "all"
    videos = (Grey(),)


def clips_with(root: Path, every: int | None) -> Clips:
    """Two clips an epoch; labels of update u are u + 1 everywhere."""
    clips = Clips({"s": {"dataset": Set(), "repeat": 1}}, Strided((0, 4), [1], [1.0]), size=16, mode="crop")
    clips.pseudo_labels = PseudoLabels(root, every)
    return clips


def update(root: Path, number: int) -> None:
    for name in Grey.frame_names:
        path = root / str(number) / "s/grey" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label_map(path, np.full((2, 3), number + 1, np.uint8))
    (root / str(number) / "DONE").write_text("")


def test_a_clip_reads_the_update_of_its_epoch(tmp_path: Path) -> None:
    for number in (0, 2):
        update(tmp_path, number)
    clips = clips_with(tmp_path, 2)
    found = []
    for index in range(8):
        clip = clips[index]
        assert clip.labels is None
        assert clip.pseudo_labels is not None
        assert clip.pseudo_labels.shape == (1, 2, 16, 16)
        found.append(clip.pseudo_labels.unique().item())
    assert found == [1, 1, 1, 1, 3, 3, 3, 3]
    with pytest.raises(ValueError, match=r"pseudo-labels in .*4 are not whole"):
        clips[8]
    both = collate([clips[0], clips[4]]).pseudo_labels
    assert both is not None
    assert both[:, 0, 0, 0].tolist() == [1, 3]


def test_a_prefetching_process_waits_for_the_update(tmp_path: Path) -> None:
    update(tmp_path, 0)
    loader = DataLoader(clips_with(tmp_path, 1), batch_sampler=[[0], [1], [2]], num_workers=1, collate_fn=collate)
    batches = iter(loader)
    first = next(batches).pseudo_labels
    late = threading.Timer(1, update, (tmp_path, 1))
    late.start()
    started = time.monotonic()
    rest = [batch.pseudo_labels for batch in batches]
    assert time.monotonic() - started > 0.5
    assert [maps.unique().item() for maps in (first, *rest)] == [1, 1, 2]


def test_annotations_may_be_pseudo_labels(tmp_path: Path, davis: Path) -> None:
    """Those of an earlier training, say: `annotations=<folder>` and `data.clips.labels=pseudo`."""
    from vosbench.datasets.davis import Davis

    data = Davis(root=str(davis), split="val", year=2017, annotations=str(davis / "Annotations/480p"))
    for labels, places in ((True, (True, False)), ("pseudo", (False, True))):
        clips = Clips({"s": {"dataset": data, "repeat": 1}}, Strided((0, 1), [1], [1.0]), size=32, labels=labels)  # type: ignore[arg-type]
        clip = clips[0]
        assert (clip.labels is not None, clip.pseudo_labels is not None) == places


def test_best_overlap_is_over_all_frames_and_sees_no_void() -> None:
    truth, segments = np.zeros((2, 4, 8), np.uint8), np.zeros((2, 2, 4), np.uint8)
    truth[0, :, :4], truth[1, :2, :4] = 5, 5  # 16 and 8 pixels
    truth[1, 3] = 255
    segments[:, :, :2] = 1  # meets 16 and 8 of them; 4 more in the second frame, where 4 others are void
    segments[:, :, 3] = 2
    assert best_overlap(list(zip(truth, segments, strict=True))) == {"5": pytest.approx(24 / 28)}
    assert best_overlap([]) == {}


def test_the_log_says_means_over_videos_and_objects() -> None:
    found: list[Found] = [
        {"sizes": [0.4, 0.1], "dropped": 0.5, "overlap": {"1": 0.2, "2": 0.4}},
        {"sizes": [0.2], "dropped": 0.8, "overlap": {"1": 0.9}},
    ]
    means = summary(found)
    assert means == pytest.approx({"segments": 1.5, "dropped": 0.65, "size_1": 0.3, "size_2": 0.05, "overlap": 0.5})
    assert describe(means, 2) == (
        "2 videos, 1.5 segments of 30, 5 %, 65 % dropped, best overlap with true objects 0.500"
    )
    assert "overlap" not in describe(summary([{"sizes": [], "dropped": 1.0, "overlap": {}}]), 1)


def test_labels_lie_where_the_keys_saw_the_picture() -> None:
    """A cell's label fills the pixels around the centre of its kernels: an edge stays where it is."""

    class Nearest(MaskEmbedding):
        def __init__(self) -> None:
            super().__init__(widths=(8, 8), channels=(8, 8), decode=False)

        def encode(self, images: torch.Tensor) -> Any:
            colour = images[:, :1, ::8, ::8]  # what strided kernels are centred on
            return type("Features", (), {"key": torch.cat([colour, 1 - colour], 1)})

    class Edge(Grey):
        def frame(self, index: int) -> Picture:
            image = np.zeros((40, 61, 3), np.uint8)
            image[:, 24:] = 255
            return image

    callback = ClusterVideos(clusters=2, alpha=0.0, largest=1.0)
    keys = callback._keys(Nearest(), callback._pixels(Edge(), range(2), torch.device("cpu")))
    assert keys.shape == (2, 2, 5, 8)
    assert (keys[0, 0] > 0.5).tolist() == [[False] * 3 + [True] * 5] * 5
