"""What a checkpoint says of its training, and the record of its weights after it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vosbench.nn.weight_files import read
from vosbench.runs.trainings import total_hours

Command = Callable[..., Any]
MAMP = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8"]
CLIPS = [
    *("data=collage", "data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.clips.size=32", "data.batch_size=2", "data.workers=0"),
    *("data.validation=null", "trainer.accelerator=cpu", "trainer.devices=1"),
]
VIDEOS = ["dataset=collage", "dataset.videos=1", "dataset.length=4", "dataset.size=[48,64]"]


def trained(command: Command, name: str, *settings: str) -> Any:
    done = command("train", *MAMP, *CLIPS, f"name={name}", *settings)
    assert done.status == 0, done.err
    return read(Path("runs/mamp_small", name, "checkpoints/last.ckpt"))[1]["training"]


def test_cost_and_recipe_reach_the_record(command: Command) -> None:
    first = trained(command, "one", "trainer.max_steps=2")
    assert (first["seed"], first["steps"], first["max_steps"], first["earlier_hours"]) == (0, 2, 2, 0)
    assert first["device"].startswith("cpu, ")
    assert "trainer.max_steps=2" in first["overrides"]
    more = trained(command, "one", "trainer.max_steps=4")
    assert (more["steps"], more["recipe"]) == (4, first["recipe"])
    assert more["hours"] > first["hours"] > 0
    done = command("benchmark", *MAMP, *VIDEOS, "checkpoint=runs/mamp_small/one", "name=scored", "device=cpu")
    assert done.status == 0, done.err
    (path,) = Path("runs/mamp_small/scored/results").glob("*.json")
    assert json.loads(path.read_text())["training"] == more


def test_trainings_that_differ_in_their_seed_share_a_recipe(command: Command) -> None:
    one, two = (trained(command, f"s{seed}", "trainer.max_steps=1", f"seed={seed}") for seed in (1, 2))
    other = trained(command, "other", "trainer.max_steps=1", "optimizer.lr=1e-5")
    assert (one["seed"], two["seed"]) == (1, 2)
    assert one["recipe"] == two["recipe"] != other["recipe"]


def test_stages_add_up(command: Command) -> None:
    trained(command, "a", "trainer.max_steps=1", "seed=1")
    second = trained(command, "b", "trainer.max_steps=1", "init=runs/mamp_small/a")
    third = trained(command, "c", "trainer.max_steps=1", "init=runs/mamp_small/b")
    assert total_hours(third) == pytest.approx(third["hours"] + second["hours"] + second["earlier_hours"])
    assert third["recipe"] != second["recipe"]
    resumed = trained(command, "c", "trainer.max_steps=2", "init=runs/mamp_small/b")
    assert (resumed["recipe"], resumed["earlier_hours"]) == (third["recipe"], third["earlier_hours"])
    assert total_hours({**third, "earlier_hours": None}) is None
