"""DINO's pre-training by its command: schedules, the teacher, and that an interrupted training goes on exactly."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

TINY = [
    *("experiment=mask_embedding/small_dino", "method.width=4", "method.hidden=8", "method.bottleneck=8"),
    *("method.outputs=16", "method.crops.global_size=32", "method.crops.local_size=16", "method.crops.local_crops=2"),
    *("data=collage", "data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=4"),
    *("data.sources.collage.dataset.size=[48,64]", "data.clips.size=40", "data.clips.scale=null", "data.batch_size=4"),
    *(
        "schedule.samples=32",
        "schedule.warm_up=8",
        "schedule.final=0.1",
        "optimizer.lr=0.03",
        "callbacks.ema.momentum=0.996",
        "callbacks.frozen.steps=3",
        "save_every=2",
    ),
    *("trainer.precision=32-true", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.log_every_n_steps=1"),
]
RUN = Path("runs/mask_embedding-small_dino")
Command = Callable[..., Any]


def checkpoint(path: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return {key.removeprefix("method."): value for key, value in state.items()}


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


OWN_CODE = '''
"""A callback that keeps every step's weights, and ends the process when the environment says so."""

import os
import signal

import torch
from lightning.pytorch import Callback


class Watch(Callback):
    def on_before_optimizer_step(self, trainer, *_):
        if str(trainer.global_step) == os.environ.get("DIES_AT"):
            os.kill(os.getpid(), signal.SIGINT)

    def on_train_batch_end(self, trainer, engine, *_):
        torch.save(engine.method.state_dict(), f"step{trainer.global_step}.pt")
'''


@pytest.mark.slow
def test_an_interrupted_training_goes_on_to_the_same_weights(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/watching.py").write_text(OWN_CODE)
    settings = [
        "train",
        *TINY,
        "trainer.max_steps=8",
        "+callbacks.watch={_target_:watching.Watch}",
        "--config-dir",
        "own",
    ]
    done = command(*settings, "name=whole")
    assert done.status == 0, done.err
    with monkeypatch.context() as dying:
        dying.setenv("DIES_AT", "5")
        command(*settings, "name=ended").error(130, "goes on from here")
    assert torch.load(RUN / "ended/checkpoints/last.ckpt", weights_only=True)["global_step"] == 6
    assert command(*settings, "name=ended").status == 0
    whole, ended = (checkpoint(RUN / name / "checkpoints/last.ckpt") for name in ("whole", "ended"))
    assert whole.keys() == ended.keys()
    assert all(torch.equal(whole[key], ended[key]) for key in whole)
    assert rows(RUN / "ended") == rows(RUN / "whole")

    # The learning rate rises for two of the eight steps and falls to a tenth.
    multipliers = [0, 0.5, *(0.1 + 0.9 * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(6))]
    rates = [float(row["lr"]) / 0.03 for row in rows(RUN / "whole")]
    assert rates == pytest.approx(multipliers, rel=1e-5)

    # The teacher follows by the formula, the prototypes wait for three steps, the centre moves.
    states = [torch.load(f"step{step}.pt", weights_only=True) for step in range(1, 9)]
    for step in range(1, 8):
        momentum = 1 - 0.004 * (1 + math.cos(math.pi * step / 8)) / 2
        for key, fast in states[step].items():
            slow = key.replace("student", "teacher")
            if key.startswith("student") and "running" not in key and "batches" not in key:
                expected = momentum * states[step - 1][slow] + (1 - momentum) * fast
                torch.testing.assert_close(states[step][slow], expected, rtol=0, atol=1e-6)
        moved = not torch.equal(states[step]["student.last.weight"], states[step - 1]["student.last.weight"])
        assert moved == (step >= 3)
        assert not torch.equal(
            states[step]["student.trunk.conv1.weight"], states[step - 1]["student.trunk.conv1.weight"]
        )
        assert not torch.equal(states[step]["centre"], states[step - 1]["centre"])


def test_a_callback_of_dino_says_when_there_is_no_teacher(command: Command) -> None:
    callback = "+callbacks.ema={_target_:vosbench.methods.mask_embedding.ema.Ema}"
    tiny = [word for word in TINY if word.split(".")[0] in ("data", "trainer")]
    small = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8"]
    refused = command("train", *small, "data=collage", *tiny, callback, "data.validation=null", "trainer.max_steps=1")
    refused.error(1, "callbacks", "MAMP", "Dino")


@pytest.mark.real
def test_the_small_recipe_on_real_video(command: Command, real_data: Path) -> None:
    tiny = [word for word in TINY if not word.startswith("data")]
    done = command("train", *tiny, "data.batch_size=4", "data.workers=0", "name=one", "trainer.max_steps=2")
    assert done.status == 0, done.err
    assert all(0 < float(row["loss"]) < 10 for row in rows(RUN / "one"))
