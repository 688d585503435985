"""Jobs in processes of their own: side by side, in order, interrupted, and killed with their parent."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from vosbench.cli import commands, launch, places, sweep
from vosbench.launching.job import Job
from vosbench.launching.local import Local
from vosbench.util.errors import UsageError

TINY = [
    *("method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "data=collage", "validation=none"),
    *("data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8", "data.batch_size=2"),
    *(
        "data.sources.collage.dataset.size=[48,64]",
        "data.clips.size=32",
        "trainer.accelerator=cpu",
        "trainer.devices=1",
    ),
]
COLLAGE = ["dataset=collage", "dataset.videos=4", "dataset.length=4", "dataset.size=[48,64]"]
Command = Callable[..., Any]


def wait_until(holds: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def pids(part: str) -> list[int]:
    """The processes with this part in their arguments, apart from this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it has ended
            continue
        if part in words and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def steps_of(run: Path) -> int:
    import torch

    return int(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"])


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


# What is launched


def test_the_list_of_a_sweep_can_be_pasted(command: Command) -> None:
    done = command("train", "-m", "method=mamp_small", "seed=0,1", "init=a b", "sweep.list=true", "launcher.parallel=2")
    assert done.status == 0
    assert done.out.splitlines() == [f"vosbench train method=mamp_small seed={seed} 'init=a b'" for seed in (0, 1)]
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["hydra/launcher=joblib"], ["hydra/launcher has no effect here", "launcher=local"]),
        (["hydra.sweeper.max_batch_size=2"], ["hydra.sweeper.max_batch_size"]),
        (["hydra.sweep.dir=x"], ["hydra.sweep.dir"]),
        (["sweep.list=perhaps"], ["sweep.list=perhaps", "true or false"]),
        (["launcher=pbs"], ["unknown launcher 'pbs'", "local, ray, slurm"]),
        (["launcher.parallel=0"], ["launcher.parallel=0", "1 or more"]),
        (["launcher.parallel=two"], ["launcher.parallel=two"]),
        (["launcher.partition=x"], ["launcher.partition"]),
        (["launcher.copies=2"], ["launcher.copies=2", "predict and benchmark"]),
    ],
)
def test_wrong_launchers_are_one_line(command: Command, words: list[str], parts: list[str]) -> None:
    done = command("train", "-m", "method=mamp_small", "seed=0,1", *words)
    done.error(2, *parts)
    assert done.err.count("\n") == 1
    assert not list(Path().iterdir())


def test_jobs_share_out_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,5,GPU-7")
    places_ = Local(parallel=2, gpus=2)._places
    assert [places_.get()["CUDA_VISIBLE_DEVICES"] for _ in range(2)] == ["0,2", "5,GPU-7"]
    with pytest.raises(UsageError, match="needs 6 GPUs, and there are 4"):
        Local(parallel=3, gpus=2)


def test_a_job_waits_for_the_job_whose_weights_it_starts_from() -> None:
    rows = sweep.jobs("train", ["sweep=mask_embedding/table4f"], multirun=False)
    assert rows is not None
    first, second = places.waves(places.placed(rows))
    assert len(first) == len(second) == 3
    assert all(any(late.needs(early) for early in first) for late in second)


def test_jobs_of_a_failed_job_are_not_started(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[str] = []

    def fail_first(self: Local, jobs: Sequence[Job]) -> dict[Job, str]:
        run.extend(job.number for job in jobs)
        return {job: "status 1" for job in jobs if job.number == "1/6"}

    monkeypatch.setattr(Local, "run", fail_first)
    done = command("train", "sweep=mask_embedding/table4f")
    assert done.status.startswith("vosbench: error: 2 of 6 jobs failed")
    assert done.status.count("not started: a job that it starts from failed") == 1
    assert len(run) == 5


def test_identical_jobs_run_once() -> None:
    assert len(places.placed([commands.Command("train", ["seed=1"])] * 2)) == 1


# Beside this process


def test_jobs_side_by_side_write_logs_and_the_failed_are_listed(command: Command) -> None:
    done = command("evaluate", "-m", "dataset=davis2016,davis2017", "predictions=none", "launcher.parallel=2")
    head, *listed = done.status.splitlines()
    assert head.startswith("vosbench: error: 2 of 2 jobs failed")
    for line, name in zip(sorted(listed), ("davis2016", "davis2017"), strict=True):
        found = re.fullmatch(
            rf"  - (vosbench evaluate dataset={name} predictions=none) \(status 1; .*; (.*\.log)\)",
            line,
        )
        assert found, line
        assert "error" in Path(found[2]).read_text()
    assert "[1/2] status 1 after" in done.out


def test_one_job_at_a_time_shows_its_errors_and_logs_them(started: Callable[..., "subprocess.Popen[str]"]) -> None:
    status, _, err = ended(started("evaluate", "-m", "dataset=davis2016,davis2017", "predictions=none"))
    assert status == 1
    assert len(err.splitlines()) == 5
    assert len(list(Path("runs/sweeps").glob("evaluate-*/*.log"))) == 2


@pytest.mark.slow
def test_an_interrupted_sweep_saves_its_job(started: Callable[..., "subprocess.Popen[str]"]) -> None:
    parent = started("train", "-m", *TINY, "seed=0,1", "trainer.max_steps=100000", "save_every=1")
    run = Path("runs/mamp_small")
    wait_until(lambda: len(list(run.glob("*/checkpoints/last.ckpt"))) == 1)
    parent.send_signal(signal.SIGINT)
    status, out, err = ended(parent)
    assert status == 130
    assert "[1/2]" in out
    assert "[2/2]" not in out
    assert err.splitlines()[-1].startswith("vosbench: interrupted")
    assert not pids(str(Path.cwd()))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_killing_a_sweep_ends_its_job(started: Callable[..., "subprocess.Popen[str]"], how: int) -> None:
    mark = f"runs={Path.cwd()}/runs"
    parent = started("train", "-m", *TINY, "seed=0,1", mark, "trainer.max_steps=100000", "save_every=100000")
    log = Path("runs/mamp_small")
    wait_until(lambda: any("training from" in file.read_text() for file in log.glob("*/run.log")))
    assert len(pids(mark)) == 2
    time.sleep(1)  # a few steps
    parent.send_signal(how)
    parent.wait()
    wait_until(lambda: not pids(mark), 60)
    (run,) = log.iterdir()
    assert steps_of(run) > 0


@pytest.mark.slow
def test_jobs_of_two_processes_each(started: Callable[..., "subprocess.Popen[str]"]) -> None:
    words = [*TINY, "trainer.devices=2", "trainer.max_steps=2", "seed=0,1"]
    status, _, err = ended(started("train", "-m", *words))
    assert status == 0, err
    assert "Warning" not in err
    runs = list(Path("runs/mamp_small").iterdir())
    assert [steps_of(run) for run in runs] == [2, 2]
    assert all("on 2 × cpu" in (run / "run.log").read_text() for run in runs)


@pytest.mark.slow
def test_copies_share_a_benchmark(command: Command) -> None:
    alone = command("benchmark", "method=copy_first", *COLLAGE, "runs=alone")
    assert alone.status == 0, alone.err
    shared = command("benchmark", "method=copy_first", *COLLAGE, "runs=shared", "launcher.copies=2")
    assert shared.status == 0, shared
    name = "copy_first/default/results/collage-val-davis.json"
    texts = [re.sub(r'(?s)"speed".*', "", Path(root, name).read_text()) for root in ("alone", "shared")]
    assert texts[0] == texts[1]
    assert "overwrite=true" in command("predict", "method=copy_first", "launcher.copies=2", "overwrite=true").err


def test_only_what_is_left_to_others_is_no_failure() -> None:
    one, two = (Job(number, ("predict",), Path(), Path("log")) for number in ("1/1", "1/1 2"))
    assert launch._without_shared({two: "status 3"}, [[one, two]]) == {}
    assert launch._without_shared({two: "status 1"}, [[one, two]]) == {two: "status 1"}
    assert set(launch._without_shared({one: "status 3", two: "status 1"}, [[one, two]])) == {one, two}
