"""Lock files with which several processes divide up the work in one folder.

The package `filelock` does not serve here. It cannot ask whether a lock is held, it gives up on most disks that cannot
lock, and its lock files for such disks count as held for ever if they are empty or from another machine. Its leases do
not, but must be watched for their whole duration before they are taken over.
"""

import errno
import fcntl
import logging
import math
import os
import random
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from weakref import WeakSet

from vosbench.runs.heartbeat import Mark, fresh_marks
from vosbench.util.errors import UserError
from vosbench.util.files import naming
from vosbench.util.wording import some

TRIES, PAUSE = 5, 0.02  # seconds; a process that only asks whether a claim is held also locks it for a moment
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # the disk cannot lock files
PATIENCE = 60.0  # seconds between log lines about waiting

log = logging.getLogger(__name__)


class Claim:
    """A lock file that shows which process works on something: `with claim as mine: if mine: …`.

    The operating system holds the lock (flock, which also works between machines that share a disk) and releases it
    when the process ends, however it ends. The file's content is only for people to read. An empty file, or one left
    by a machine that died, is not locked.

    On a disk that cannot lock files, processes keep marks fresh instead (`runs.heartbeat`). What a killed process held
    there is free a few minutes later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._mark: Mark | None = None

    def __enter__(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(TRIES):
            time.sleep(random.uniform(PAUSE / 2, 2 * PAUSE) * bool(attempt))
            if self._take():
                _taken.add(self)
                return True
        return False

    def __exit__(self, *_: object) -> None:
        _taken.discard(self)
        if self._file is not None:
            self.path.unlink(missing_ok=True)  # while the lock is held, so that the file is our own
            fcntl.flock(self._file, fcntl.LOCK_UN)  # closing is not enough if a fork also has the file open
            self._file.close()
        if self._mark is not None:
            self._mark.drop()
        self._file = self._mark = None

    def held(self) -> bool:
        """Whether a process works on it, on this machine or another."""
        try:
            with self.path.open("rb") as file:
                return not _locked(file, fcntl.LOCK_SH)
        except FileNotFoundError:
            return bool(fresh_marks(self.path))
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return bool(fresh_marks(self.path))

    def holder(self) -> str:
        """The machine and process that hold it, for people to read."""
        file = next(iter(fresh_marks(self.path)), self.path)
        try:
            words = file.read_text(errors="replace").split()
        except FileNotFoundError:
            return "nobody"
        return " process ".join(words) if len(words) == 2 else "somebody"

    def _take(self) -> bool:
        file = self.path.open("ab", buffering=0)  # creates the file, or keeps what its holder wrote
        try:
            if _locked(file, fcntl.LOCK_EX) and self._is_in_place(file):
                self._sign(file)
                self._file = file
                return True
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            if not os.fstat(file.fileno()).st_size:
                self.path.unlink(missing_ok=True)
            self._mark = Mark.make(self.path, _signature())
            return self._mark is not None
        finally:
            if self._file is None:
                file.close()
        return False

    def _sign(self, file: BinaryIO) -> None:
        """Says in the locked file who holds it. A full disk leaves no file."""
        try:
            with naming(self.path):
                file.truncate(0)
                file.write(_signature().encode())
        except OSError:
            self.path.unlink(missing_ok=True)
            raise

    def _is_in_place(self, file: BinaryIO) -> bool:
        """Whether the locked file is still the one at `path`, not one that its last holder has removed."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False

    def _let_go(self) -> None:
        """In a forked process: the claim stays its parent's, and must not outlive it."""
        if self._file is not None:
            self._file.close()
        self._file = self._mark = None


def wait_for(claims: Mapping[str, Claim]) -> None:
    """Waits until no process holds any of these, given by name. Says now and then for whom, and which files they
    hold."""
    told = -math.inf
    while held := {name: claim for name, claim in claims.items() if claim.held()}:
        if time.monotonic() - told >= PATIENCE:
            told = time.monotonic()
            who = ", ".join(f"{name} ({claim.holder()})" for name, claim in held.items())
            log.info("waiting for %s: holding %s", who, some([str(claim.path) for claim in held.values()]))
        time.sleep(1)


@contextmanager
def in_turn(name: str, claim: Claim) -> Iterator[None]:
    """Holds the claim, after waiting for any process that holds it: `with in_turn("the index", claim): …`

    Raises UserError if the file cannot be locked though no process holds it.
    """
    tries = 0
    while tries < TRIES:
        with claim as mine:
            if mine:
                yield
                return
        tries = 0 if claim.held() else tries + 1
        wait_for({name: claim})
    raise unlockable(claim)


def unlockable(claim: Claim) -> UserError:
    return UserError(f"cannot lock {claim.path}, though no process holds it: remove it, or use another disk")


def _signature() -> str:
    return f"{socket.gethostname()} {os.getpid()}"


def _locked(file: BinaryIO, kind: int) -> bool:
    """Tries to lock an open file; returns whether that worked."""
    try:
        with naming(Path(str(file.name))):
            fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_taken: "WeakSet[Claim]" = WeakSet()


def _let_go_of_all() -> None:
    for claim in list(_taken):
        claim._let_go()
    _taken.clear()


os.register_at_fork(after_in_child=_let_go_of_all)
