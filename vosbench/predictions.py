"""A folder of predicted label maps: claimed, written whole or not at all, and never mixed with stale ones."""

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vosbench.images import read_label_map, write_label_map
from vosbench.videos import LabelMap, Video

Hashes = Mapping[str, str]


@dataclass(frozen=True)
class Prediction:
    """How one sequence was predicted. Latencies are of all frames but the first, in milliseconds; size is (height,
    width)."""

    hashes: dict[str, str]
    latency_ms: list[float]
    size: tuple[int, int]
    peak_memory_mb: float


class PredictionFolder:
    """`<root>/<sequence>/<frame>.png`, with a record of each whole sequence in `<root>/.records/`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".records").mkdir(parents=True, exist_ok=True)

    def read(self, sequence: str) -> Prediction | None:
        """The record of a whole sequence, or None."""
        record = self._record(sequence)
        if not (record.is_file() and (self.root / sequence).is_dir()):
            return None
        content = json.loads(record.read_text())
        return Prediction(**{**content, "size": tuple(content["size"])})

    def label_map(self, sequence: str, frame: str) -> LabelMap:
        return read_label_map(self.root / sequence / f"{frame}.png")

    def check(self, wanted: Mapping[str, Hashes], *, overwrite: bool) -> list[str]:
        """Sequences still to do, of those in `wanted` (sequence → hashes). Stale ones are removed if `overwrite`.

        Raises ValueError that says what differs when some were made by something else.
        """
        todo, stale = [], {}
        for sequence, hashes in wanted.items():
            found = self.read(sequence)
            if found is None or found.hashes != dict(hashes):
                todo.append(sequence)
            if found is not None and found.hashes != dict(hashes):
                stale[sequence] = sorted(key for key in hashes if found.hashes.get(key) != hashes[key])
        if stale and not overwrite:
            sequence, parts = next(iter(stale.items()))
            raise ValueError(
                f"{self.root} holds {len(stale)} sequences made with another {' and '.join(parts)} (first: "
                f"{sequence}): set name=<new name> to keep them, or overwrite=true to redo them"
            )
        for sequence in stale:
            self._record(sequence).unlink()
        return todo

    def save(self, sequence: str, frames: Iterable[tuple[str, LabelMap]], record: Callable[[], Prediction]) -> None:
        """Writes (name, label map) pairs aside, then `record()`, then moves the folder into place. On an error nothing
        stays."""
        aside = self.root / f".{sequence}.{os.getpid()}"
        aside.mkdir()
        try:
            for name, labels in frames:
                write_label_map(aside / f"{name}.png", labels)
            shutil.rmtree(self.root / sequence, ignore_errors=True)
            written = self._record(sequence).with_suffix(f".{os.getpid()}")
            written.write_text(json.dumps(asdict(record())))
            aside.rename(self.root / sequence)
            written.replace(self._record(sequence))
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def claim(self, sequence: str) -> "Claim":
        return Claim(self.root / ".records" / f"{sequence}.lock")

    def _record(self, sequence: str) -> Path:
        return self.root / ".records" / f"{sequence}.json"


class Claim:
    """A lock file that says which process works on a sequence: `with claim as mine: if mine: …`.

    Creating it is atomic, on shared disks too. One left behind by a dead process of this machine is taken over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mine = False

    def __enter__(self) -> bool:
        if self._abandoned():
            self.path.unlink(missing_ok=True)
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

    def _abandoned(self) -> bool:
        try:
            host, process = self.path.read_text().split()
        except (FileNotFoundError, ValueError):
            return False
        return host == socket.gethostname() and not _alive(int(process))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def hash_of(content: Any) -> str:
    """A digest of plain data (resolved configuration, file names and sizes)."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def hash_input(video: Video) -> str:
    """A digest of a video's frame names, the sizes of its files where it has any, and the masks given for it."""
    digest = hashlib.sha256(json.dumps([video.name, video.frame_names, video.file_sizes()]).encode())
    for index in range(len(video.frame_names)):
        given = video.given(index)
        if given is not None:
            digest.update(f"{index} {given.shape}".encode() + given.tobytes())
    return digest.hexdigest()[:16]
