"""Lock files with which several processes divide up the work in one folder."""

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import TextIO

from vosbench.util.files import naming

TRIES, PAUSE = 5, 0.02  # seconds; a process that only asks whether a claim is held also locks it for a moment


class Claim:
    """A lock file that shows which process works on a sequence: `with claim as mine: if mine: …`.

    The operating system holds the lock (flock, which also works between machines that share a disk) and releases it
    when the process ends, however it ends. The file's content is only for people to read. An empty file, or one left
    by a machine that died, is not locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def __enter__(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(TRIES):
            time.sleep(PAUSE * bool(attempt))
            file = self.path.open("a")  # creates the file, or keeps what its holder wrote
            if _locked(file, fcntl.LOCK_EX) and self._is_in_place(file):
                file.truncate(0)
                file.write(f"{socket.gethostname()} {os.getpid()}")
                file.flush()
                self._file = file
                return True
            file.close()
        return False

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self.path.unlink(missing_ok=True)  # while the lock is held, so that the file is our own
            fcntl.flock(self._file, fcntl.LOCK_UN)  # closing is not enough if a fork also has the file open
            self._file.close()
            self._file = None

    def held(self) -> bool:
        """Whether a process works on it, on this machine or another."""
        try:
            with self.path.open() as file:
                return not _locked(file, fcntl.LOCK_SH)
        except FileNotFoundError:
            return False

    def holder(self) -> str:
        """The machine and process that hold it, for people to read."""
        try:
            return " process ".join(self.path.read_text().split()) or "somebody"
        except FileNotFoundError:
            return "nobody"

    def _is_in_place(self, file: TextIO) -> bool:
        """Whether the locked file is still the one at `path`, not one that its last holder has removed."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False


def _locked(file: TextIO, kind: int) -> bool:
    """Tries to lock an open file; returns whether that worked."""
    try:
        with naming(Path(file.name)):
            fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
