"""Claims on work in a shared folder: a living process keeps its own, and a dead one's is free at once, whatever the
lock file says."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vosbench.runs import claims
from vosbench.runs.claims import Claim, in_turn, wait_for
from vosbench.util.errors import UserError

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


def test_a_child_of_a_killed_process_does_not_keep_its_claim(tmp_path: Path) -> None:
    """A reading process of a training that was killed lives on for seconds."""
    path = tmp_path / "a.lock"
    code = """
import os, sys, time
from pathlib import Path
from vosbench.runs.claims import Claim
with Claim(Path(sys.argv[1])) as mine:
    child = os.fork()
    if child:
        print(child, mine, flush=True)
    time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child, mine = parent.stdout.readline().split()
    try:
        assert mine == "True"
        time.sleep(0.2)  # for the child to begin
        assert Claim(path).held()
        parent.kill()
        parent.wait()
        assert not Claim(path).held()
    finally:
        os.kill(int(child), signal.SIGKILL)
        parent.stdout.close()


def test_a_full_disk_leaves_no_lock_and_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    claim = Claim(tmp_path / "a.lock")
    with monkeypatch.context() as patch:
        patch.setattr(claims, "_signature", full)
        with pytest.raises(OSError, match=r"No space left on device: .*a\.lock"):
            claim.__enter__()
    assert not list(tmp_path.iterdir())
    with claim as mine:
        assert mine


def test_bytes_that_are_no_text_name_nobody(tmp_path: Path, holding: Holding) -> None:
    path = tmp_path / "a.lock"
    holding(path)
    path.write_bytes(b"\xff\xfe\x00")
    assert Claim(path).holder() == "somebody"


def test_waiting_says_for_whom_and_ends_with_the_holder(
    tmp_path: Path, holding: Holding, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.lock"
    other = holding(path)
    monkeypatch.setattr(claims, "PATIENCE", 0.0)
    asked = iter([None, None, other.kill, None])
    monkeypatch.setattr(time, "sleep", lambda _: (then := next(asked)) and (then(), other.wait()))
    with caplog.at_level("INFO"):
        wait_for({"the index": Claim(path), "free": Claim(tmp_path / "b.lock")})
    who = f"waiting for the index ({socket.gethostname()} process {other.pid}): holding {path}"
    assert caplog.messages == [who] * 3


def test_work_in_turn_follows_the_others(tmp_path: Path, holding: Holding, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, other = Claim(tmp_path / "a.lock"), holding(tmp_path / "a.lock")

    def ended(_: object) -> None:
        other.kill()
        other.wait()

    monkeypatch.setattr(claims, "wait_for", ended)
    with in_turn("it", claim):
        assert other.returncode is not None
        assert Claim(claim.path).held()
    assert not claim.path.exists()


def test_what_cannot_be_locked_though_nobody_holds_it_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On disks that give a file another number each time, say."""
    monkeypatch.setattr(Claim, "_is_in_place", lambda *_: False)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with (
        pytest.raises(UserError, match=r"cannot lock .*a\.lock, .*remove it"),
        in_turn("it", Claim(tmp_path / "a.lock")),
    ):
        pass
