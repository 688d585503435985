"""Claims on disks that cannot lock files: processes keep marks fresh, and a mark that is not fresh is nobody's."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vosbench.runs import heartbeat
from vosbench.runs.claims import NO_LOCKS, Claim


def refuse(number: int) -> None:
    raise OSError(number, os.strerror(number))


@pytest.fixture(params=sorted(set(NO_LOCKS)))
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock file on a disk that cannot lock."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: refuse(request.param))
    return tmp_path / "deep" / "a.lock"


def mark_of_another(path: Path, age: float, content: str = "elsewhere 17") -> Path:
    path.parent.mkdir(exist_ok=True)
    mark = path.with_name(f"{path.name}.mark-0123")
    mark.write_text(content)
    os.utime(mark, (time.time() - age,) * 2)
    return mark


def test_a_claim_is_one_process_s_and_leaves_nothing(path: Path) -> None:
    claim = Claim(path)
    for _ in range(2):
        with claim as mine, Claim(path) as another:
            assert (mine, another) == (True, False)
            assert Claim(path).held()
            assert Claim(path).holder() == f"{socket.gethostname()} process {os.getpid()}"
        assert not claim.held()
        assert claim.holder() == "nobody"
        assert not list(path.parent.iterdir())


def test_a_fresh_mark_is_held_and_a_lapsed_one_is_nobodys(path: Path) -> None:
    mark = mark_of_another(path, heartbeat.LAPSED / 2)
    with Claim(path) as mine:
        assert not mine
    assert Claim(path).held()
    assert Claim(path).holder() == "elsewhere process 17"
    mark = mark_of_another(path, heartbeat.LAPSED + 5)
    assert not Claim(path).held()
    with Claim(path) as mine:
        assert mine
        assert not mark.exists()


def test_clocks_of_machines_do_not_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark_of_another(path, 0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert Claim(path).held()
    monkeypatch.setattr(time, "time", lambda: 1e11)
    assert Claim(path).held()


@pytest.mark.parametrize("text", ["", "elsewhere 4711", "a\nb c d"])
def test_a_lock_file_without_a_mark_is_nobodys(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    assert not Claim(path).held()
    with Claim(path) as mine:
        assert mine


def test_a_mark_is_kept_fresh(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT", 0.01)
    with Claim(path) as mine:
        assert mine
        [mark] = path.parent.iterdir()
        os.utime(mark, (1, 1))
        end = time.monotonic() + 10
        while mark.stat().st_mtime < 2:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_process_whose_mark_was_removed_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT", 0.01)
    with Claim(path) as mine:
        assert mine
        [mark] = path.parent.iterdir()
        mark.unlink()
        end = time.monotonic() + 10
        while not caplog.messages:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert f"{mark} is gone" in caplog.text


def test_other_errors_of_locking_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: refuse(errno.EIO))
    with pytest.raises(OSError, match=r"Input/output error: .*a\.lock"):
        Claim(tmp_path / "a.lock").__enter__()


def test_no_two_processes_ever_hold_one_mark(tmp_path: Path) -> None:
    """Three processes rush for the same claims until all work is done; each finds no other at work."""
    code = """
import errno, fcntl, sys
from pathlib import Path
from vosbench.runs.claims import Claim
def refuse(*_):
    raise OSError(errno.ENOLCK, "")
fcntl.flock = refuse
folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    while not (folder / f"{number}.done").exists():
        with Claim(folder / f"{number}.lock") as mine:
            if mine:
                (folder / f"{number}.work").touch(exist_ok=False)
                (folder / f"{number}.work").unlink()
                (folder / f"{number}.done").touch()
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 3
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".done"] * 20
