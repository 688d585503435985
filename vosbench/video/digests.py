"""Digests of the contents of videos' files. They are remembered, because a large data set takes minutes to read.

What was computed before counts while name, place, size, time of change and inode of every file stay the same. The time
of change (ctime) is the system's own: unlike the time of modification, no program can set it back.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from vosbench.util.files import content_digest, hash_files, replace_file

CACHE = "VOSBENCH_CACHE"  # the environment variable that names the folder; it may be removed at any time
DOUBT = 60.0  # seconds; what changed so shortly before it was read may change again at the same time of a coarse clock
THREADS = 8  # reading waits for the disk, often across a network


def digest_of(files: Sequence[tuple[str, Path]]) -> str:
    """`util.files.hash_files` of files by name."""
    return _remembered("files", files, lambda: hash_files(files))


def digest_of_file(path: Path) -> str:
    """`util.files.content_digest` of a file."""
    return _remembered("content", [("", path)], lambda: content_digest(path))


def _remembered(kind: str, files: Sequence[tuple[str, Path]], compute: Callable[[], str]) -> str:
    try:
        state, newest = _state(kind, files)
    except OSError:  # a file is missing, which `compute` tells or counts
        return compute()
    path = _folder() / state[:2] / state
    if (known := _read(path)) is not None:
        return known
    began = time.time()
    digest = compute()
    if newest < began - DOUBT:
        with suppress(OSError):  # nothing is lost without a cache
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, digest.encode())
    return digest


def all_digests(digests: Mapping[str, Callable[[], str]], done: Callable[[], object]) -> dict[str, str]:
    """The result of each function, several at a time. `done` is called after each."""
    with ThreadPoolExecutor(THREADS) as pool:
        running = {name: pool.submit(digest) for name, digest in digests.items()}
        for future in running.values():
            future.add_done_callback(lambda _: done())
        return {name: future.result() for name, future in running.items()}


def _state(kind: str, files: Sequence[tuple[str, Path]]) -> tuple[str, float]:
    """A digest of what the system says of the files, and when the last of them changed."""
    digest, newest = hashlib.sha256(kind.encode()), 0.0
    for name, path in files:
        found = path.stat()
        here = f"{name}\n{path.absolute()}\n{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}\n"
        digest.update(here.encode(errors="surrogateescape"))
        newest = max(newest, found.st_ctime)
    return digest.hexdigest(), newest


def _folder() -> Path:
    named = os.environ.get(CACHE) or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vosbench")
    return Path(named, "digests")


def _read(path: Path) -> str | None:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else None
