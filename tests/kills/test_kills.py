"""Work that is killed at random moments, and repeated, ends with the same files as undisturbed work."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

MAMP = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8"]
TWO = ["method=mask_embedding_small", "method.widths=[8,8]", "method.channels=[8,8]", "method.decoder_widths=[8,8,8]"]
TRAINER = ["trainer.accelerator=cpu", "trainer.devices=1", "trainer.log_every_n_steps=1"]
CLIPS = [
    *("data=collage", "data.sources.collage.dataset.videos=3", "data.sources.collage.dataset.length=6"),
    *("data.sources.collage.dataset.size=[48,64]", "data.validation.videos=2", "data.validation.length=4"),
    *("data.validation.size=[48,64]", "data.clips.size=32", "data.batch_size=2"),
]
STEPS = ["trainer.max_steps=24", "trainer.val_check_interval=10", "save_every=3"]
CLUSTERS = ["pseudo_labels=clusters", "callbacks.pseudo_labels.every=1", "callbacks.pseudo_labels.clusters=3"]
VIDEOS = ["dataset=collage", "dataset.videos=6", "dataset.length=6", "dataset.size=[64,96]"]
KINDS = {
    "training": ["train", *MAMP, *TRAINER, *CLIPS, *STEPS, "name=x"],
    "clustering": ["train", *TWO, *TRAINER, *CLIPS, *STEPS, *CLUSTERS, "name=x"],
    "prediction": ["predict", *MAMP, "checkpoint=none", *VIDEOS, "name=x"],
    "benchmark": ["benchmark", "method=copy_first", *VIDEOS, "pictures=2", "name=x"],
    "prepare": ["prepare", *VIDEOS, "size=48", "output=copy"],
    "sweep": ["train", "-m", *MAMP, *TRAINER, *CLIPS, *STEPS, "seed=0,1"],
}
VARIES = (".hydra", "run.log", "sweeps", ".records")  # holds times, or the command of the last run
KILLS = 20
UNEQUAL = ("time", "speed", "command", "overrides")  # fields of a record


@pytest.mark.parametrize("kind", KINDS)
def test_killed_work_ends_like_undisturbed_work(kind: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    began = time.monotonic()
    assert start(kind, whole).wait() == 0
    took = time.monotonic() - began
    moments, kills = random.Random(kind), 0
    while kills < KILLS:
        process = start(kind, killed)
        time.sleep(moments.uniform(0.2, 1) * took)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        elif process.returncode == 0:  # it was done before: begin anew
            assert contents(killed) == contents(whole)
            shutil.rmtree(killed)
            killed.mkdir()
        process.wait()
    assert start(kind, killed).wait() == 0, (killed / "log").read_text()
    assert contents(killed) == contents(whole)


def start(kind: str, folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "vosbench", *KINDS[kind]]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def contents(folder: Path) -> dict[str, Any]:
    """What the files of a folder hold, by path, as far as undisturbed runs agree."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "log")
    kept = [path for path in paths if not set(VARIES) & set(path.relative_to(folder).parts)]
    return {str(path.relative_to(folder)): READERS.get(path.suffix, Path.read_bytes)(path) for path in kept}


def checkpoint(path: Path) -> Any:
    """What training goes on from, with tensors as lists."""
    content = torch.load(path, weights_only=False)
    return plain({key: content[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step")})


def plain(content: Any) -> Any:
    if isinstance(content, torch.Tensor):
        return content.tolist()
    if isinstance(content, dict):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    return content


def record(path: Path) -> Any:
    """A record without what differs between any two runs."""
    content = json.loads(path.read_text())
    return without(content)


def without(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: without(value) for key, value in content.items() if key not in UNEQUAL}
    return content


READERS: dict[str, Callable[[Path], Any]] = {".ckpt": checkpoint, ".json": record}
