"""Marks of processes at work, for disks on which files cannot be locked: each process keeps its own mark fresh."""

import logging
import os
import secrets
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, Thread

BEAT, LAPSED = 15.0, 180.0  # seconds: network disks may show the time of a file a minute late

log = logging.getLogger(__name__)


class Mark:
    """A file `<lock>.mark-…` that this process touches every BEAT seconds until `drop`.

    It is written before others are looked for, so of two processes at least one sees the other. Nobody ever takes over
    another's mark: one that was not touched for LAPSED seconds does not count, and is removed. A file's age is told by
    the clock of its disk, because those of two machines differ.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._stop = path, Event()

    @classmethod
    def make(cls, lock: Path, content: str) -> "Mark | None":
        """A mark for `lock`, or None if another process has one."""
        path = lock.with_name(f"{lock.name}.mark-{secrets.token_hex(8)}")
        try:
            path.write_text(content)
            others = [each for each in fresh_marks(lock) if each != path]
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if others:
            path.unlink(missing_ok=True)
            return None
        _remove_lapsed(lock)
        mark = cls(path)
        Thread(target=mark._beat, name=f"heartbeat of {lock.name}", daemon=True).start()
        return mark

    def drop(self) -> None:
        self._stop.set()
        self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                os.utime(self._path)
            except FileNotFoundError:
                if not self._stop.is_set():
                    log.warning("%s is gone: this process stood still, and others may do its work", self._path)
                return
            except OSError:
                continue  # a network disk may be away for a while: the next beat may reach it


def fresh_marks(lock: Path) -> list[Path]:
    """The marks of processes that work on what `lock` stands for."""
    marks = _marks(lock)
    if not marks:
        return []
    now = _time_of_disk(lock.parent)
    return [mark for mark in marks if now - _touched(mark) < LAPSED]


def _remove_lapsed(lock: Path) -> None:
    for mark in set(_marks(lock)) - set(fresh_marks(lock)):
        mark.unlink(missing_ok=True)


def _marks(lock: Path) -> list[Path]:
    start = f"{lock.name}.mark-"
    return [path for path in lock.parent.iterdir() if path.name.startswith(start)] if lock.parent.is_dir() else []


def _touched(mark: Path) -> float:
    """When a mark was touched; at the beginning of time if it is gone."""
    try:
        with mark.open() as file:  # a network disk looks at a file anew when it is opened
            return os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return 0.0


def _time_of_disk(folder: Path) -> float:
    with TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime
