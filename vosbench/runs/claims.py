"""Locks by which several processes share out work that lies in one folder."""

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import TextIO

from vosbench.util.files import naming

TRIES, PAUSE = 5, 0.02  # seconds: whoever asks whether a claim is held has it for a moment


class Claim:
    """A lock file that says which process works on a sequence: `with claim as mine: if mine: …`.

    The system holds the lock (flock, which works between machines that share a disk, too) and releases it when its
    process ends, however that comes about. What the file says is for people to read, and means nothing: an empty file,
    or one that a machine left when it died, is nobody's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def __enter__(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(TRIES):
            time.sleep(PAUSE * bool(attempt))
            file = self.path.open("a")  # creates it, and leaves what a holder wrote
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
            self.path.unlink(missing_ok=True)  # while it is held, so that this is our own
            fcntl.flock(self._file, fcntl.LOCK_UN)  # closing is not enough where a fork has the file open, too
            self._file.close()
            self._file = None

    def held(self) -> bool:
        """Whether somebody works on it, here or elsewhere."""
        try:
            with self.path.open() as file:
                return not _locked(file, fcntl.LOCK_SH)
        except FileNotFoundError:
            return False

    def holder(self) -> str:
        """Machine and process that hold it, for people to read."""
        try:
            return " process ".join(self.path.read_text().split()) or "somebody"
        except FileNotFoundError:
            return "nobody"

    def _is_in_place(self, file: TextIO) -> bool:
        """Whether the locked file is the one that others will find, and not one that its last holder removed."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False


def _locked(file: TextIO, kind: int) -> bool:
    """Takes a lock on an open file if it is free."""
    try:
        with naming(Path(file.name)):
            fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
