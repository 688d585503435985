"""Locks by which several processes share out work that lies in one folder."""

import fcntl
import os
import socket
from pathlib import Path


class Claim:
    """A lock file that says which process works on a sequence: `with claim as mine: if mine: …`.

    Creating it is atomic, on shared disks too. One left behind by a dead process of this machine is taken over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mine = False

    def __enter__(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._abandoned():
            self._clear()
        try:
            with self.path.open("x") as file:
                file.write(f"{socket.gethostname()} {os.getpid()}")
        except FileExistsError:
            return False
        self.mine = True
        return True

    def __exit__(self, *_: object) -> None:
        if self.mine:
            self.path.unlink(missing_ok=True)

    def held(self) -> bool:
        """Whether somebody works on it, here or elsewhere."""
        return self.path.exists() and not self._abandoned()

    def holder(self) -> str:
        """Machine and process that hold it, for people to read."""
        try:
            return " process ".join(self.path.read_text().split())
        except FileNotFoundError:
            return "nobody"

    def _clear(self) -> None:
        """Removes an abandoned lock. One process of this machine at a time, or one would remove another's new lock."""
        with self.path.with_name(".takeover").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            if self._abandoned():
                self.path.unlink()

    def _abandoned(self) -> bool:
        try:
            host, process = self.path.read_text().split()
        except (FileNotFoundError, ValueError):
            return False
        # A process has one claim at a time: one in its own name is of an earlier life, in a container started anew.
        return host == socket.gethostname() and (int(process) == os.getpid() or not _alive(int(process)))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
