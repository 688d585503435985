"""`vosbench train` as a user meets it: what it leaves, going on after any end, two processes, wrong settings."""

import csv
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vosbench.nn.resnet import ResNet
from vosbench.training.schedules import Cosine

TINY = [
    *("method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "data=collage"),
    *("data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.validation.videos=1", "data.validation.length=4"),
    *("data.validation.size=[48,64]", "data.clips.size=32", "data.batch_size=2", "trainer.accelerator=cpu"),
    *("trainer.devices=1", "trainer.log_every_n_steps=1"),
]
RUN = Path("runs/mamp_small")
Command = Callable[..., Any]

OWN_CODE = '''
"""A method that fits one colour to all frames and notes what it sees, and callbacks that end a training."""

import os
import signal
import subprocess
from pathlib import Path

import torch
from lightning.pytorch import Callback

from vosbench.methods.copy_first.method import CopyFirst
from vosbench.util.errors import UserError


class Colour(CopyFirst):
    supervision = "self-supervised"

    def __init__(self, notes: str, dies: int | None) -> None:
        super().__init__()
        self.colour = torch.nn.Parameter(torch.zeros(3))
        self.notes, self.dies = Path(notes), dies

    def loss(self, clip):
        if int(os.environ.get("LOCAL_RANK", 0)) == self.dies:
            raise UserError("rank 1 has something to say")
        with self.notes.open("a") as file:
            file.writelines(f"{v} {i}\\n" for v, i in zip(clip.videos, clip.indices.tolist()))
        return {"colour": (clip.frames.mean((1, 3, 4)) - self.colour).square().sum(1).mean()}


class Ends(Callback):
    def on_before_optimizer_step(self, trainer, *_) -> None:
        step, how = os.environ.get("ENDS", "-1 -").split()
        if trainer.global_step == int(step):
            os.kill(os.getpid(), signal.Signals[how])


class EndsAll(Callback):
    def on_before_optimizer_step(self, trainer, *_) -> None:
        if trainer.global_step == 1:
            subprocess.run(["kill", "-s", os.environ["ENDS_ALL"], "--", f"-{os.getpgrp()}"])


class EndsInValidation(Callback):
    def on_validation_start(self, *_) -> None:
        os.kill(os.getpid(), signal.SIGINT)
'''
OWN_METHOD = """
# @package _global_
defaults:
  - override /memory: previous
  - override /flow: none
method: {_target_: own.Colour, notes: '???', dies: null}
optimizer: {_target_: torch.optim.SGD, _partial_: true, lr: 0.1}
schedule: {_target_: vosbench.training.schedules.Milestones}
callbacks: {}
weights: none
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A folder with code and a method of a user's own."""
    folder = tmp_path / "own"
    (folder / "method").mkdir(parents=True)
    (folder / "own.py").write_text(OWN_CODE)
    (folder / "method/colour.yaml").write_text(OWN_METHOD)
    return str(folder)


def process(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command in a session of its own, in the current folder."""
    command, variables = [sys.executable, "-m", "vosbench", *arguments], {**os.environ, **environment}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=variables, start_new_session=True
    )


def steps(count: int, validated: int = 1000, saved: int = 100) -> list[str]:
    return [f"trainer.max_steps={count}", f"trainer.val_check_interval={validated}", f"save_every={saved}"]


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def same(one: Path, two: Path) -> bool:
    first, second = weights(one), weights(two)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_short_training_leaves_checkpoints_and_metrics_and_goes_on(command: Command) -> None:
    done = command("train", *TINY, "name=one", *steps(3, validated=2))
    assert done.status == 0, done.err
    run = RUN / "one"
    best = (run / "checkpoints/best.ckpt").absolute()
    assert re.search(rf"trained 3 steps; best val/J&F 0\.\d{{4}}; checkpoint={best}\n", done.out)
    assert not done.err
    assert sorted(path.name for path in run.rglob("*") if path.is_file() and path.parent.name != ".hydra") == [
        "best.ckpt",
        "last.ckpt",
        "metrics.csv",
        "run.log",
    ]
    found = rows(run)
    assert [row["step"] for row in found] == ["0", "1", "2"]
    assert all(float(row["loss"]) == float(row["train/reconstruction"]) > 0 for row in found)
    assert [row["lr"] for row in found] == ["0.001"] * 3
    assert [bool(row["val/J&F"]) for row in found] == [False, True, False]
    assert 0 <= float(found[1]["val/J&F"]) <= 1

    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.c*") if path.is_file()}
    again = command("train", *TINY, "name=one", *steps(3, validated=2))
    assert (again.status, again.err) == (0, "")
    assert "already trained 3 steps: nothing to do" in again.out
    assert {path: path.stat().st_mtime_ns for path in before} == before

    longer = command("train", *TINY, "name=one", *steps(4, validated=2))
    assert "training from step 3 to 4 on 1 × cpu" in longer.out
    assert rows(run)[:3] == found
    assert [row["step"] for row in rows(run)] == ["0", "1", "2", "3"]


def test_another_training_in_the_same_folder_is_let_work(
    command: Command, holding: Callable[..., subprocess.Popen[str]]
) -> None:
    lock = RUN / "one/training.lock"
    other = holding(lock)
    settings = ["train", *TINY, "name=one", *steps(1)]
    command(*settings).error(1, f"process {other.pid} trains in", str(lock), "repeat the command", "name=<new name>")
    assert not (RUN / "one/checkpoints").exists()
    other.kill()
    other.wait()
    done = command(*settings)
    assert done.status == 0, done.err
    assert not lock.exists()


@pytest.mark.slow
def test_a_training_that_is_killed_and_interrupted_ends_as_an_undisturbed_one(
    command: Command, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ["train", *TINY, "schedule.samples=[4,10]", *steps(8, validated=4, saved=2), "--config-dir", own]
    settings.append("+callbacks.end={_target_:own.Ends}")
    assert command(*settings, "name=whole").status == 0
    killed = process(*settings, "name=ended", ENDS="3 SIGKILL")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = RUN / "ended/checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2
    for step, how, kept in ((5, "SIGINT", 6), (6, "SIGTERM", 7)):
        monkeypatch.setenv("ENDS", f"{step} {how}")
        stopped = command(*settings, "name=ended")
        stopped.error(130, "interrupted; the same command goes on from here")
        state = torch.load(last, weights_only=True)
        assert state["global_step"] == kept
    best = next(value for key, value in state["callbacks"].items() if "ModelCheckpoint" in key)
    assert best["best_model_score"] is not None  # else a worse validation would replace best.ckpt
    monkeypatch.delenv("ENDS")
    assert command(*settings, "name=ended").status == 0
    for checkpoint in ("last.ckpt", "best.ckpt"):
        assert same(RUN / "whole/checkpoints" / checkpoint, RUN / "ended/checkpoints" / checkpoint)
    assert rows(RUN / "ended") == rows(RUN / "whole")
    assert [row["lr"] for row in rows(RUN / "ended")][::3] == ["0.001", "0.0005", "0.00025"]


@pytest.mark.parametrize("how", ["INT", "TERM", "USR1"])
def test_a_signal_to_all_processes_ends_training_after_the_step(
    command: Command, own: str, how: str, tmp_path: Path
) -> None:
    """As `timeout`, terminals and Slurm send it: to the workers that load clips, too."""
    settings = ["train", *TINY, *steps(30), "data.workers=2", "name=all", "--config-dir", own]
    stopped = process(*settings, "+callbacks.end={_target_:own.EndsAll}", ENDS_ALL=how)
    assert stopped.returncode == 130, stopped.stderr
    assert stopped.stderr.splitlines()[-1] == "vosbench: interrupted; the same command goes on from here"
    assert "Traceback" not in stopped.stderr
    assert torch.load(RUN / "all/checkpoints/last.ckpt", weights_only=True)["global_step"] == 2


def test_an_interrupt_after_the_last_step_ends_the_command(command: Command, own: str) -> None:
    settings = ["train", *TINY, *steps(2, validated=2), "name=late", "--config-dir", own]
    late = command(*settings, "+callbacks.late={_target_:own.EndsInValidation}")
    late.error(130, "interrupted")
    assert "trained 2 steps" in late.out
    assert [bool(row["val/J&F"]) for row in rows(RUN / "late")] == [False, True]
    assert "already trained 2 steps" in command(*settings, "+callbacks.late={_target_:own.EndsInValidation}").out


def test_a_batch_in_parts_is_learned_as_a_whole_one(command: Command, own: str) -> None:
    """The colour that is learned, where the parts' means are the mean; scores and checkpoints are counted in steps."""
    settings = ["train", "method=colour", *(word for word in TINY if "method" not in word), *steps(5, validated=2)]
    settings += ["data.batch_size=4", "--config-dir", own, "save_every=1"]
    learned = {}
    for name, parts in (("whole", 1), ("parts", 2)):
        done = command(*settings, f"trainer.accumulate_grad_batches={parts}", f"name={name}", f"method.notes={name}")
        assert done.status == 0, done.err
        learned[name] = torch.load(Path("runs/colour", name, "checkpoints/last.ckpt"), weights_only=True)
        scored = [bool(row["val/J&F"]) for row in rows(Path("runs/colour", name))]
        assert scored == [False, True, False, True, False]
    whole, parts = learned["whole"], learned["parts"]
    torch.testing.assert_close(parts["state_dict"], whole["state_dict"], rtol=0, atol=1e-6)
    assert parts["global_step"] == whole["global_step"] == 5
    assert Path("parts").read_text() == Path("whole").read_text()  # the same clips in the same order


def test_cosine_schedule() -> None:
    schedule = Cosine(samples=1000, warm_up=200, final=0.1)
    assert [schedule(sample) for sample in (0, 50, 200)] == [0, 0.25, 1]
    assert schedule(600) == pytest.approx(0.55)
    assert schedule(400) == pytest.approx(0.1 + 0.9 * (1 + 0.5**0.5) / 2)
    assert [schedule(sample) for sample in (1000, 5000)] == [0.1, 0.1]
    assert Cosine(10)(0) == 1
    for options, key in (({"samples": 5, "warm_up": 5}, "warm_up=5"), ({"samples": 5, "final": 2}, "schedule.final=2")):
        with pytest.raises(ValueError, match=key):
            Cosine(**options)


def test_another_recipe_in_the_same_folder_is_an_error_that_says_what_differs(command: Command) -> None:
    settings = ["train", *TINY, "name=one", "data.validation=null", *steps(2)]
    assert command(*settings).status == 0
    last = RUN / "one/checkpoints/last.ckpt"
    before = last.read_bytes()
    refused = command(*settings, "optimizer.lr=0.01", "seed=1")
    refused.error(1, str(last), "optimizer.lr 0.001 → 0.01; seed 0 → 1", "name=", "overwrite=true")
    assert last.read_bytes() == before
    assert command(*settings, "optimizer.lr=0.01", "seed=1", "overwrite=true").status == 0
    assert [row["lr"] for row in rows(RUN / "one")] == ["0.01", "0.01"]
    last.write_bytes(before[:1000])
    command(*settings).error(1, "cannot read checkpoint", str(last), "remove it")


@pytest.mark.parametrize("none", ["~validation", "validation=none"])
def test_training_without_validation(command: Command, none: str) -> None:
    done = command("train", *(word for word in TINY if "validation" not in word), none, *steps(1))
    assert done.status == 0, done.err
    assert "trained 1 steps" in done.out


def test_initial_weights_come_from_a_run_or_a_file(command: Command) -> None:
    settings = ["train", *TINY, "data.validation=null"]
    assert command(*settings, "name=one", "seed=1", *steps(1)).status == 0
    frozen = [*settings, "optimizer.lr=0", *steps(1)]
    assert command(*frozen, "name=two", f"init={RUN / 'one'}").status == 0
    assert command(*frozen, "name=three").status == 0
    one, two, three = (weights(RUN / name / "checkpoints/last.ckpt") for name in ("one", "two", "three"))
    kernel = "method.encoder.5.weight"
    assert torch.equal(one[kernel], two[kernel])
    assert not torch.equal(one[kernel], three[kernel])
    command(*frozen, "name=four", "init=nowhere").error(1, "nowhere", "no run folder")


def trained_on(run: str, method: str = "mamp_small") -> list[str]:
    content = torch.load(Path("runs", method, run) / "checkpoints/last.ckpt", weights_only=True)["vosbench"][
        "training_data"
    ]
    return [str(name) for name in content]


def test_training_data_of_earlier_stages_is_kept(command: Command) -> None:
    """Also when the last stage is resumed, and though the first one's checkpoint is gone by then."""
    settings = ["train", *TINY, "data.validation=null"]
    assert command(*settings, "data.sources.collage.dataset.name=static", "name=one", *steps(1)).status == 0
    assert command(*settings, "name=two", f"init={RUN / 'one'}", *steps(1)).status == 0
    assert trained_on("two") == ["static", "collage"]
    (RUN / "one/checkpoints/last.ckpt").unlink()
    assert command(*settings, "name=two", f"init={RUN / 'one'}", *steps(2)).status == 0
    assert trained_on("two") == ["static", "collage"]
    assert command(*settings, "name=three", f"init={RUN / 'two'}", *steps(1)).status == 0
    assert trained_on("three") == ["static", "collage"]
    foreign = Path("theirs.pth")
    torch.save(
        {key.removeprefix("method."): value for key, value in weights(RUN / "two/checkpoints/last.ckpt").items()},
        foreign,
    )
    assert command(*settings, "name=four", f"init={foreign}", *steps(1)).status == 0
    assert trained_on("four") == ["theirs.pth", "collage"]


def test_weights_of_a_method_count_as_its_training_data(command: Command) -> None:
    """They may have been learned with labels: ImageNet's, or Mask R-CNN's."""
    torch.save(ResNet(18, 4, strides=(1, 2, 2)).state_dict(), "mask_rcnn.pth")
    tiny = [word for word in TINY if "method" not in word]
    method = ["method=munet_narrow", "method.width=4", "method.channels=[4,4]", "method.decoder_width=4"]
    settings = [*tiny, *method, "data=munet_collage", "data.validation=null", "method.weights=mask_rcnn.pth"]
    assert command("train", *settings, "name=one", *steps(1)).status == 0
    assert trained_on("one", "munet_narrow") == ["mask_rcnn.pth", "collage"]


def test_mixed_precision(command: Command) -> None:
    done = command("train", *TINY, "name=one", "trainer.precision=bf16-mixed", *steps(2, validated=2))
    assert done.status == 0, done.err
    assert all(value.dtype != torch.bfloat16 for value in weights(RUN / "one/checkpoints/last.ckpt").values())


def test_a_loss_that_is_no_number_ends_training(command: Command) -> None:
    settings = ["name=one", "data.validation=null", "optimizer.lr=1e30", *steps(5)]
    command("train", *TINY, *settings).error(1, "the loss is nan at step", "lower optimizer.lr")


@pytest.mark.parametrize(
    ("override", "status", "parts"),
    [
        ("trainer.precision=64", 2, ["trainer.precision=64-true", "bf16-mixed"]),
        ("trainer.precision=fast", 2, ["trainer: ", "fast", "bf16-mixed"]),
        ("+trainer.max_stepz=3", 2, ["trainer: ", "max_stepz"]),
        ("trainer.accumulate_grad_batches=4", 1, ["trainer.accumulate_grad_batches=4", "data.batch_size=2"]),
        ("trainer.strategy=ddp_spawn", 2, ["trainer.strategy=ddp_spawn", "choose ddp"]),
        ("trainer.max_steps=-1", 2, ["trainer.max_steps=-1"]),
        ("data.validation.max_frames=2", 1, ["data.validation", "val_00", "first and last are not scored"]),
        ("data.batch_size=0", 2, ["data.batch_size=0"]),
    ],
)
def test_settings_that_cannot_work_are_named_before_training(
    command: Command, override: str, status: int, parts: list[str]
) -> None:
    command("train", *TINY, "name=one", *steps(2), override).error(status, *parts)
    assert not (RUN / "one/checkpoints").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU that the test asks for in vain")
def test_a_device_that_is_not_there(command: Command) -> None:
    command("train", *TINY, "trainer.accelerator=gpu").error(2, "trainer: ", "gpu")


def test_an_error_in_a_reading_process_is_its_message(command: Command, davis: Path) -> None:
    source = f"{{_target_:vosbench.datasets.davis.Davis,root:{davis},split:val,year:2017}}"
    damaged = davis / "JPEGImages/480p/a/00002.jpg"
    damaged.write_bytes(damaged.read_bytes()[:500])
    settings = ["~data.sources.collage", f"+data.sources.own={{dataset:{source},repeat:1}}", "data.workers=1"]
    gaps = ["data.clips.sampler.gaps=[1]", "data.clips.sampler.probabilities=[1]"]
    tiny = [word for word in TINY if "sources" not in word]
    command("train", *tiny, "name=one", *settings, *gaps, *steps(9)).error(
        1, "cannot read image", str(damaged), "restore"
    )


@pytest.mark.slow
def test_two_processes_see_the_batches_of_one_inside_a_sweep(command: Command, own: str) -> None:
    settings = ["method=colour", *(word for word in TINY if "method" not in word), "data.validation=null", *steps(3)]
    for name in ("alone", "shared"):
        Path(name).mkdir()
    assert command("train", *settings, "--config-dir", own, "name=alone", "method.notes=alone/notes").status == 0
    together = ["trainer.devices=2", "trainer.strategy=ddp", "method.notes=shared/notes${oc.env:LOCAL_RANK,0}"]
    done = process("train", "-m", *settings, *together, "name=shared", "--config-dir", own)
    assert done.returncode == 0, done.stderr
    notes = [Path("shared", f"notes{rank}").read_text().splitlines() for rank in (0, 1)]
    assert [line for pair in zip(*notes, strict=True) for line in pair] == Path("alone/notes").read_text().splitlines()
    one, two = (
        weights(Path("runs/colour", name, "checkpoints/last.ckpt"))["method.colour"] for name in ("alone", "shared")
    )
    assert one.abs().min() > 0.01
    torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
    assert done.stdout.count("trained 3 steps") == done.stdout.count("training from step 0 to 3 on 2 × cpu") == 1
    assert [row["step"] for row in rows(Path("runs/colour/shared"))] == ["0", "1", "2"]


@pytest.mark.slow
def test_an_error_in_one_of_two_processes_ends_both(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ["method=colour", *(word for word in TINY if "method" not in word), "data.validation=null", *steps(3)]
    together = ["trainer.devices=2", "trainer.strategy=ddp", "method.notes=notes", "method.dies=1"]
    done = process("train", *settings, *together, "--config-dir", own)
    assert done.returncode != 0
    assert "vosbench: error: rank 1 has something to say\n" in done.stderr


@pytest.mark.slow
def test_wandb_is_imported_only_when_chosen(tmp_path: Path) -> None:
    code = """
import sys
from vosbench.cli.main import main
common = sys.argv[1:]
for logger in ("csv", "wandb"):
    sys.argv = ["vosbench", "train", *common, f"logger={logger}", f"name={logger}"]
    main()
    assert ("wandb" in sys.modules) == (logger == "wandb"), logger
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *TINY, "data.validation=null", *steps(1)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "WANDB_MODE": "offline"},
    )
    assert done.returncode == 0, done.stderr
    (log,) = (tmp_path / RUN / "wandb/wandb").glob("offline-run-*/*.wandb")
    content = log.read_bytes()
    assert all(key in content for key in (b"loss", b"lr", b"train/reconstruction", b"mamp_small/wandb"))
