"""plan=true: what a training or a prediction will take is said, and nothing is written."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vosbench.training.datamodule import ClipData

COLLAGE = [
    *("data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.workers=0", "trainer.accelerator=cpu", "trainer.devices=1"),
]
VALIDATION = ["data.validation.videos=1", "data.validation.length=4", "data.validation.size=[48,64]"]
MAMP = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "data=collage", *COLLAGE, *VALIDATION]
MAMP += ["data.clips.size=32", "data.batch_size=2", "trainer.max_steps=20", "trainer.val_check_interval=5"]
CLUSTERS = [
    *("method=mask_embedding_small", "method.widths=[8,8]", "method.channels=[8,8]", "method.decoder_widths=[8,8,8]"),
    *("data=collage", *COLLAGE, "data.validation=null", "data.clips.size=32", "data.batch_size=2"),
    *("pseudo_labels=clusters", "trainer.max_steps=20"),
]
DINO = [
    *("experiment=mask_embedding/small_dino", "method.width=4", "method.hidden=8", "method.bottleneck=8"),
    *("method.outputs=16", "method.crops.global_size=32", "method.crops.local_size=16", "method.crops.local_crops=2"),
    *("data=collage", *COLLAGE, "data.clips.size=40", "data.clips.scale=null", "data.batch_size=4"),
    *("data.validation=null", "trainer.precision=32-true", "trainer.max_steps=20"),
]
MUNET = [
    "method=munet_narrow",
    "method.width=4",
    "method.channels=[4,4]",
    "method.decoder_width=4",
    "data=munet_collage",
]
MUNET += [*COLLAGE, "data.validation=null", "data.batch_size=2", "data.clips.size=32", "trainer.max_steps=20"]
STILLS = [*MUNET, "sampler=stills", "data.clips.sampler.length=3"]  # three copies of one frame
Command = Callable[..., Any]


def told(text: str) -> dict[str, str]:
    """What a plan says, by name."""
    lines = (re.split(r"\s{2,}", line, maxsplit=1) for line in text.splitlines())
    return {line[0]: line[1].strip() for line in lines if len(line) == 2}


@pytest.mark.parametrize(
    ("settings", "batch", "frames"),
    [(MAMP, 2, 2), (CLUSTERS, 2, 2), (DINO, 4, 1), (MUNET, 2, 3), (STILLS, 2, 1)],
    ids=["mamp", "clusters", "dino", "munet", "stills"],
)
def test_a_training(
    command: Command, monkeypatch: pytest.MonkeyPatch, settings: list[str], batch: int, frames: int
) -> None:
    monkeypatch.setattr(ClipData, "fingerprint", lambda _: pytest.fail("all of the data is read"))
    done = command("train", *settings, "plan=true")
    assert done.status == 0, done.err
    found = told(done.out)
    assert found["steps"] == "20, from step 0, on 1 × CPU in 32-true"
    assert found["samples"].startswith(f"{20 * batch}, {batch} a step; ")
    assert found["frames read"] == f"{20 * batch * frames}, {frames} a sample"
    assert int(found["parameters"].split(",")[0]) > 0
    assert re.fullmatch(r"[\d,]+ MB of each process, without data\.workers", found["memory"])
    assert float(found["step"].split()[0]) > 0
    assert found["time"].startswith("about ")
    assert ("pseudo-labels" in found["time"]) == (settings is CLUSTERS)
    assert found["validation"] == ("4 times 1 videos" if settings is MAMP else "none")
    assert not Path("runs").exists()


def test_what_is_left_of_a_training(command: Command) -> None:
    assert command("train", *MAMP, "name=one", "trainer.max_steps=2").status == 0
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    found = told(command("train", *MAMP, "name=one", "plan=true").out)
    assert found["run folder"].endswith("runs/mamp_small/one")
    assert found["steps"].startswith("18, from step 2, ")
    assert found["samples"].startswith("36, ")
    found = told(command("train", *MAMP, "name=one", "trainer.max_steps=1", "plan=true").out)
    assert found["steps"].startswith("0, from step 2, ")
    found = told(command("train", *MAMP, "name=one", "overwrite=true", "plan=true").out)
    assert found["steps"].startswith("20, from step 0, ")
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before


def test_parts_of_a_batch_are_a_step_and_weights_to_come_are_not_missed(command: Command) -> None:
    settings = [*MAMP, "data.batch_size=4", "trainer.accumulate_grad_batches=2", "init=runs/to_be_trained"]
    found = told(command("train", *settings, "plan=true").out)
    assert found["samples"].startswith("80, 4 a step; ")
    settings[-1] = "trainer.accumulate_grad_batches=3"
    command("train", *settings, "plan=true").error(1, "trainer.accumulate_grad_batches=3", "data.batch_size=4")


def process(*arguments: str) -> str:
    command = [sys.executable, "-m", "vosbench", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_processes_and_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = process("train", "-m", *MAMP, "trainer.devices=2", "seed=0,1", "plan=true")
    assert out.startswith("2 jobs\n[1/2] vosbench train")
    assert "[2/2] vosbench train" in out
    assert re.findall(r"steps +20, from step 0, on (\d) × CPU", out) == ["2", "2"]
    assert not list(tmp_path.rglob("*"))


def test_a_prediction(command: Command) -> None:
    source = ["dataset=collage", "dataset.videos=2", "dataset.length=4", "dataset.size=[48,64]"]
    method = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "checkpoint=none", "device=cpu"]
    done = command("predict", *method, *source, "plan=true")
    assert done.status == 0, done.err
    found = told(done.out)
    assert re.fullmatch(r"2, 8 frames, at most \d objects", found["videos"])
    assert re.fullmatch(r"4 frames of val_0\d, 48×64 pixels \(rows×columns\), \d objects", found["tried"])
    assert re.fullmatch(r"[\d,]+ MB of the process", found["memory"])
    assert found["time"].startswith("about ")
    assert not Path("runs").exists()
