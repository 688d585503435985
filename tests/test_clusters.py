"""Sweeps under a real Slurm of one node, and on a real Ray of one node."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
SLURM = ["launcher=slurm", "launcher.cpus=1", "launcher.time=30"]
LONG = ["trainer.max_steps=400", "save_every=5"]
pytestmark = pytest.mark.slow
Vosbench = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Slurm of this machine alone: the environment that finds it."""
    if shutil.which("slurmctld") is None or shutil.which("munged") is None:
        pytest.skip("needs Slurm: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("starts Slurm as root only")
    if importlib.util.find_spec("submitit") is None:
        pytest.skip("needs submitit: pip install 'vosbench[slurm]'")
    folder, script = tmp_path_factory.mktemp("slurm"), Path(__file__).with_name("one_node_slurm.sh")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    subprocess.run(["bash", str(script), "start", str(folder), str(port)], check=True, timeout=60)
    yield {"SLURM_CONF": str(folder / "slurm.conf")}
    subprocess.run(["bash", str(script), "stop", str(folder)], check=True, timeout=60)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def wait_for(pattern: str, count: int = 1) -> Path:
    """Waits until so many files are there, and returns one."""
    end = time.monotonic() + 120
    while len(found := list(Path().glob(pattern))) < count:
        assert time.monotonic() < end, pattern
        time.sleep(0.2)
    return found[0]


def said(slurm: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env={**os.environ, **slurm}, capture_output=True, text=True, check=True)
    return done.stdout


def queued(slurm: dict[str, str]) -> list[str]:
    return said(slurm, "squeue", "--noheader", "--array", "--format=%i").split()


# Slurm


def test_a_failing_job_stops_no_other(slurm: dict[str, str], started: Vosbench) -> None:
    steps = ["trainer.max_steps=3", "trainer.log_every_n_steps=1"]
    status, out, err = ended(started("train", "-m", *TINY, *steps, "optimizer.lr=1e30,1e-3", *SLURM, **slurm))
    assert status == 1
    head, failed = err.strip().splitlines()
    assert head.startswith("vosbench: error: 1 of 2 jobs failed")
    assert "optimizer.lr=1e+30" in failed
    assert "status 1; the loss is" in failed
    assert out.count("submitted") == 2
    assert len(list(Path("runs/mamp_small").glob("*/checkpoints/last.ckpt"))) == 1


def test_jobs_that_are_requeued_or_preempted_go_on(slurm: dict[str, str], started: Vosbench) -> None:
    parent = started("train", "-m", *TINY, *LONG, "seed=0,1", *SLURM, **slurm)
    wait_for("runs/mamp_small/*/checkpoints/last.ckpt", 2)
    first, second = sorted(queued(slurm))
    said(slurm, "scontrol", "requeue", first)
    said(slurm, "scancel", "--signal=USR2", second)
    status, _, err = ended(parent)
    assert status == 0, err
    for run in Path("runs/mamp_small").iterdir():
        starts = [int(step) for step in re.findall(r"training from step (\d+)", (run / "run.log").read_text())]
        assert len(starts) == 2, run
        assert 0 == starts[0] < starts[1] < 400


def test_two_tasks_train_together(slurm: dict[str, str], started: Vosbench) -> None:
    two = ["trainer=ddp", "trainer.devices=2", "trainer.max_steps=2", "launcher.tasks=2"]
    status, out, err = ended(started("train", *TINY, *two, *SLURM, **slurm))
    assert status == 0, (out, err)
    assert "on 2 × cpu" in wait_for("runs/mamp_small/*/run.log").read_text()


def test_an_interrupt_cancels_the_jobs(slurm: dict[str, str], started: Vosbench) -> None:
    parent = started("train", "-m", *TINY, *LONG, "seed=0,1", *SLURM, "launcher.parallel=1", **slurm)
    wait_for("runs/mamp_small/*/checkpoints/last.ckpt")
    parent.send_signal(signal.SIGINT)
    assert ended(parent)[0] == 130
    end = time.monotonic() + 60
    while queued(slurm):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert len(list(Path().glob("runs/mamp_small/*"))) == 1


def test_a_sweep_can_be_left_and_taken_up(slurm: dict[str, str], started: Vosbench) -> None:
    words = ["train", *TINY, "trainer.max_steps=300", *SLURM]
    status, _, err = ended(started(*words, "launcher.wait=false", **slurm))
    assert status == 3
    assert "1 jobs are left to Slurm" in err
    status, out, err = ended(started(*words, **slurm))
    assert status == 0, err
    assert "still in the queue" in out
    assert wait_for("runs/mamp_small/*/checkpoints/last.ckpt")


def test_what_slurm_refuses_is_one_line(slurm: dict[str, str], started: Vosbench) -> None:
    status, _, err = ended(started("train", *TINY, *SLURM, "launcher.partition=none_such", **slurm))
    assert status == 1
    assert "partition" in err
    assert err.splitlines()[-1].startswith("vosbench: error: launcher=slurm: ")


def test_without_slurm_the_error_is_one_line(started: Vosbench) -> None:
    pytest.importorskip("submitit", reason="needs submitit: pip install 'vosbench[slurm]'")
    status, _, err = ended(started("train", *TINY, *SLURM, PATH=str(Path(sys.executable).parent)))
    assert status == 1
    assert err.startswith("vosbench: error: launcher=slurm: ")
    assert err.count("\n") == 1


# Ray


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs ray: pip install 'vosbench[ray]'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


def test_a_failing_job_stops_no_other_on_ray(ray: None, started: Vosbench) -> None:
    steps = ["trainer.max_steps=3", "trainer.log_every_n_steps=1"]
    status, out, err = ended(started("train", "-m", *TINY, *steps, "optimizer.lr=1e30,1e-3", "launcher=ray"))
    assert status == 1
    assert "1 of 2 jobs failed" in err
    assert "status 1; the loss is" in err
    assert "] done: trained 3 steps" in out
    assert len(list(Path("runs/mamp_small").glob("*/checkpoints/last.ckpt"))) == 1


def test_more_than_the_cluster_has_is_one_line(ray: None, started: Vosbench) -> None:
    status, _, err = ended(started("train", *TINY, "launcher=ray", "launcher.gpus=64"))
    assert status == 1
    assert "launcher.gpus=64: the whole cluster has 0" in err


def test_an_interrupt_ends_the_jobs_on_ray(ray: None, started: Vosbench) -> None:
    parent = started("train", "-m", *TINY, *LONG, "seed=0,1", "launcher=ray", "launcher.parallel=1")
    wait_for("runs/mamp_small/*/checkpoints/last.ckpt")
    parent.send_signal(signal.SIGINT)
    assert ended(parent)[0] == 130
    assert len(list(Path().glob("runs/mamp_small/*"))) == 1
