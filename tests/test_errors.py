"""What a user did wrong is one line; what code did wrong shows where: in a process of its own, too, and in methods and
data sets of one's own."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vosbench.settings.making import factory, made, placed
from vosbench.util.errors import HERE, Problems, UsageError, UserError
from vosbench.util.workers import shared_out

Command = Callable[..., Any]


def complain(kind: str) -> None:
    if kind == "one":
        raise UserError(f"set {HERE}root")
    raise Problems(f"two things with {HERE}root", ["first", f"second; set {HERE}split"])


class Thing:
    """What a configuration may describe."""

    def __init__(self, kind: str = "", inner: object = None) -> None:
        if kind == "code":
            [][0]
        if kind:
            complain(kind)


THING = f"{__name__}.Thing"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or sys)
    monkeypatch.setattr(sys.modules[__name__], "Thing", Thing, raising=False)


@pytest.mark.parametrize("kind", ["one", "several"])
def test_an_error_goes_from_process_to_process(kind: str) -> None:
    with pytest.raises(UserError) as caught, placed("data.validation"):
        complain(kind)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is type(caught.value)
    assert (copy.lines(), str(copy)) == (caught.value.lines(), str(caught.value))
    assert "data.validation.root" in copy.lines()[0]


def test_problems_found_by_a_worker() -> None:
    """An exception that does not unpickle would look as if the worker had died."""
    with pytest.raises(Problems) as caught:
        list(shared_out(problem, [1, 2], workers=1))
    assert caught.value.lines() == ["job 1", "a", "b"]


def problem(job: int) -> None:
    raise Problems(f"job {job}", ["a", "b"])


def test_keys_are_those_of_where_a_thing_is_made() -> None:
    assert str(UserError(f"set {HERE}root")) == "set dataset.root"
    with pytest.raises(UserError, match=r"^set data\.validation\.root$"):
        made({"_target_": THING, "kind": "one"}, "data.validation")
    with pytest.raises(UserError, match=r"^set method\.inner\.root$"):
        made({"_target_": THING, "inner": {"_target_": THING, "kind": "one"}}, "method")
    with pytest.raises(Problems) as caught:
        made({"_target_": THING, "kind": "several"}, "dataset")
    assert caught.value.lines() == ["two things with dataset.root", "first", "second; set dataset.split"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"_target_": THING, "kidn": "one"}, r"^method: unknown key of .*Thing 'kidn' \(did you mean 'kind'\?\)"),
        ({"_target_": f"{THING}s"}, "^method: cannot find .*Things: "),
        ({"_target_": THING, "inner": {"_target_": "nowhere.Thing"}}, "^method.inner: cannot find nowhere.Thing: "),
        ({"kind": "one"}, "^method names no _target_: choose"),
    ],
)
def test_what_cannot_be_made(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        made(settings, "method")


def test_what_code_did_wrong_is_not_wrapped() -> None:
    with pytest.raises(IndexError) as caught:
        made({"_target_": THING, "kind": "code"}, "method")
    assert caught.value.__suppress_context__


def test_a_factory_fails_before_its_first_use() -> None:
    with pytest.raises(UserError, match=r"^set memory\.root$"):
        factory({"_target_": THING, "kind": "one"}, "memory")
    assert isinstance(factory({"_target_": THING}, "memory")(), Thing)


METHOD = """
import torch
from torch import nn

from vosbench.contract import Padding
from vosbench.method import Method
from vosbench.util.errors import HERE, Problems, UserError

KINDS = {"ValueError": ValueError, "UserError": UserError, "Problems": lambda text: Problems(text, ["first", "second"])}


class Mine(Method):
    supervision = "self-supervised"
    stride = 1
    padding = Padding("right-bottom", (0.0, 0.0, 0.0))
    memory_masks = "hard"

    def __init__(self, where: str = "", kind: str = "ValueError") -> None:
        super().__init__()
        self.where, self.kind, self.weight = where, kind, nn.Parameter(torch.zeros(1))
        self.pass_by("init")

    def pass_by(self, place):
        if place == self.where:
            raise KINDS[self.kind](f"too much for {place}: set {HERE}where=less")

    def loss(self, clip):
        self.pass_by("loss")
        return {"loss": self.weight.sum() ** 2}

    def encode(self, images):
        return images

    def memorize(self, features, masks):
        return masks

    def extend(self, value, count):
        return nn.functional.pad(value, (0, 0, 0, 0, 0, count))

    def segment(self, query, context):
        self.pass_by("segment")
        return context.previous.value


class Data:
    name, split, resolution, frames, protocol = "mine", "all", "original", "all", "davis"

    def __init__(self, root: str, kind: str = "ValueError") -> None:
        from vosbench.datasets.davis import Davis

        self.videos = Davis(root, split="val", year=2017).videos
        for video in self.videos:
            object.__setattr__(video, "frame", Damaged(kind))


class Damaged:
    def __init__(self, kind):
        self.kind = kind

    def __call__(self, index):
        raise KINDS[self.kind](f"too much for reading, UserError: it says: set {HERE}root=elsewhere")
"""
RECIPE = """
# @package _global_
defaults:
  - override /memory: previous
  - override /flow: none
method:
  _target_: mine_of_test.Mine
  where: ''
  kind: ValueError
optimizer:
  _target_: torch.optim.SGD
  _partial_: true
  lr: 0.1
schedule:
  _target_: vosbench.training.schedules.Milestones
callbacks: {}
weights: none
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with a method and a data set that raise errors where they are told to."""
    folder = tmp_path / "own"
    (folder / "method").mkdir(parents=True)
    (folder / "mine_of_test.py").write_text(METHOD)
    (folder / "method/mine.yaml").write_text(RECIPE)
    return str(folder)


def words(place: str, davis: Path, own: str) -> list[str]:
    common = ["--config-dir", own, "method=mine", f"method.where={place}"]
    if place != "loss":
        return ["benchmark", *common, "dataset=davis2017", f"dataset.root={davis}", "device=cpu", "workers=0"]
    source = f"{{dataset:{{_target_:vosbench.datasets.davis.Davis,root:{davis},split:val,year:2017}},repeat:1}}"
    return ["train", *common, *training(source)]


def training(source: str) -> list[str]:
    """The words of a training on one source of one's own."""
    return [
        *("data=collage", "~data.sources.collage", f"+data.sources.own={source}", "data.validation=null"),
        *("data.clips.size=32", "data.batch_size=1", "data.clips.sampler.gaps=[1]"),
        *("data.clips.sampler.probabilities=[1]", "trainer.accelerator=cpu", "trainer.devices=1"),
        "trainer.max_steps=2",
    ]


@pytest.mark.parametrize("place", ["init", "segment", "loss"])
def test_an_error_of_ones_own_method(command: Command, davis: Path, own: str, place: str) -> None:
    """A ValueError may come from anywhere, NumPy and PyTorch included: where from is shown, and the log is kept."""
    done = command(*words(place, davis, own), "method.kind=ValueError")
    assert done.status == 1
    assert f"ValueError: too much for {place}" in done.err
    assert "Traceback" in done.err
    assert "mine_of_test.py" in done.err
    assert "InstantiationException" not in done.err
    assert list(Path("runs").rglob("run.log"))


@pytest.mark.parametrize("place", ["init", "segment", "loss"])
def test_what_ones_own_method_tells_its_user(command: Command, davis: Path, own: str, place: str) -> None:
    done = command(*words(place, davis, own), "method.kind=UserError")
    key = "method" if place == "init" else "dataset"
    assert done.err == f"vosbench: error: too much for {place}: set {key}.where=less\n"
    assert done.status == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", ["ValueError", "UserError", "Problems"])
def test_errors_of_reading_in_training(command: Command, davis: Path, own: str, workers: int, kind: str) -> None:
    source = f"{{dataset:{{_target_:mine_of_test.Data,root:{davis},kind:{kind}}},repeat:1}}"
    done = command("train", "--config-dir", own, "method=mine", *training(source), f"data.workers={workers}")
    assert done.status == 1
    told = "too much for reading, UserError: it says: set data.sources.own.dataset.root=elsewhere"
    if kind == "ValueError":
        assert "mine_of_test.py" in done.err
        assert "ValueError: too much for reading" in done.err
    else:
        lines = [f"vosbench: error: {told}", *(["  - first", "  - second"] if kind == "Problems" else [])]
        assert done.err.splitlines() == lines


@pytest.mark.slow
def test_wandb_without_an_account(tmp_path: Path) -> None:
    settings = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "data=collage", "logger=wandb"]
    settings += ["data.sources.collage.dataset.videos=1", "data.validation=null", "trainer.accelerator=cpu"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    done = subprocess.run(
        [sys.executable, "-m", "vosbench", "train", *settings, "trainer.max_steps=1"],
        cwd=tmp_path,
        env={**environment, "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith("vosbench: error: logger=wandb: ")
    assert "`wandb login`" in line
    assert "logger.offline=true" in line
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("run*"))
