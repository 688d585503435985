"""`leaderboard reproduce=<run>` prints commands that make the same numbers again."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vosbench.evaluation.board.reproduction import commands_of
from vosbench.evaluation.results.records import Record

Command = Callable[..., Any]
MAMP = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8"]
CLIPS = [
    *("data=collage", "data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.clips.size=32", "data.batch_size=2", "data.workers=0"),
    *("data.validation=null", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.max_steps=2"),
]
VIDEOS = ["dataset=collage", "dataset.videos=1", "dataset.length=4", "dataset.size=[48,64]", "device=cpu"]


@pytest.mark.slow
def test_the_printed_commands_make_the_same_numbers(command: Command) -> None:
    assert command("train", *MAMP, *CLIPS, "name=first").status == 0
    assert command("train", *MAMP, *CLIPS, "name=second", "init=runs/mamp_small/first").status == 0
    assert command("benchmark", *MAMP, *VIDEOS, "checkpoint=runs/mamp_small/second", "name=scored").status == 0
    (path,) = Path("runs/mamp_small/scored/results").glob("*.json")
    before = json.loads(path.read_text())
    done = command("leaderboard", "reproduce=mamp_small/scored")
    assert done.status == 0, done.err
    lines = [line for line in done.out.splitlines() if not line.startswith("#")]
    assert [shlex.split(line)[1] for line in lines] == ["train", "train", "benchmark"]
    assert any(line.startswith("# Python") and "torch==" in line for line in done.out.splitlines())
    shutil.rmtree("runs")
    for line in lines:
        assert command(*shlex.split(line)[1:]).status == 0
    after = json.loads(path.read_text())
    assert after["scores"] == before["scores"]
    assert after["provenance"]["hashes"]["predictions"] == before["provenance"]["hashes"]["predictions"]


def test_runs_that_cannot_be_made_again(command: Command, tmp_path: Path) -> None:
    facts: dict[str, Any] = {"dataset": "d", "split": "val", "protocol": "davis", "resolution": "480p", "frames": "all"}
    made = Record(method="m", scores={"J&F-Mean": 0.5}, objects={}, **facts)
    assert commands_of(made) == []
    path = tmp_path / "runs/x/results/a.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(vars(made)))
    command("leaderboard", "reproduce=x").error(1, "the records of x do not say how they were made")
    command("leaderboard", "reproduce=y").error(1, "unknown run 'y'; there is: x")
