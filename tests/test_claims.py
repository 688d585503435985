"""Claims on work in a shared folder: a living process keeps its own, and a dead one's is free at once, whatever the
lock file says."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from vosbench.runs.claims import Claim

Holding = Callable[..., subprocess.Popen[str]]


def test_what_another_process_works_on_is_not_ours(tmp_path: Path, holding: Holding) -> None:
    path = tmp_path / "deep" / "a.lock"
    other = holding(path)
    claim = Claim(path)
    with claim as mine:
        assert not mine
    assert claim.held()
    assert claim.holder() == f"{socket.gethostname()} process {other.pid}"
    other.communicate("end")
    assert not claim.held()
    assert not path.exists()


def test_what_a_killed_process_held_is_free_at_once(tmp_path: Path, holding: Holding) -> None:
    path = tmp_path / "a.lock"
    other = holding(path)
    other.kill()
    other.wait()
    assert path.exists()
    assert not Claim(path).held()
    with Claim(path) as mine:
        assert mine
        assert Claim(path).holder() == f"{socket.gethostname()} process {os.getpid()}"
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    ["", "elsewhere 4711", "a\nb c d", f"{socket.gethostname()} {os.getpid()}"],
    ids=["empty", "another machine", "garbage", "this process"],
)
def test_what_lies_there_without_a_process_is_nobodys(tmp_path: Path, text: str) -> None:
    """Of a process that was killed between making the file and writing it, of a machine that died, of anything."""
    path = tmp_path / "a.lock"
    path.write_text(text)
    assert not Claim(path).held()
    with Claim(path) as mine:
        assert mine


def test_a_name_like_our_own_is_not_ours(tmp_path: Path, holding: Holding) -> None:
    """Two containers may have one host name, and processes of one number in each."""
    path = tmp_path / "a.lock"
    holding(path)
    path.write_text(f"{socket.gethostname()} {os.getpid()}")
    assert Claim(path).held()
    with Claim(path) as mine:
        assert not mine
    assert path.exists()


def test_asking_takes_nothing(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "a.lock")
    assert not claim.held()
    assert claim.holder() == "nobody"
    with claim as mine, Claim(claim.path) as another:
        assert (mine, another) == (True, False)
        assert Claim(claim.path).held()
    with claim as mine:
        assert mine


def test_a_fork_does_not_keep_a_claim(tmp_path: Path) -> None:
    """A reading process of a training, say, that was started while its parent worked on something."""
    claim = Claim(tmp_path / "a.lock")
    reader, writer = os.pipe()
    with claim as mine:
        assert mine
        child = os.fork()
        if not child:
            os.read(reader, 1)
            os._exit(0)
    try:
        assert not Claim(claim.path).held()
        with Claim(claim.path) as mine:
            assert mine
    finally:
        os.write(writer, b"x")
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
