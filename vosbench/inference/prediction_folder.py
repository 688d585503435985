"""A folder of predicted label maps: claimed, written whole or not at all, and never mixed with stale ones."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vosbench.runs.claims import Claim
from vosbench.util.errors import UserError
from vosbench.util.files import replace_file
from vosbench.video.images import read_label_map, write_label_map
from vosbench.video.video import LabelMap

Hashes = Mapping[str, str]


@dataclass(frozen=True)
class Prediction:
    """How one sequence was predicted. Latencies are of all frames but the first, in milliseconds; size is (height,
    width); facts are what result records say of the method and its weights (unknown in folders of older versions)."""

    hashes: dict[str, str]
    latency_ms: list[float]
    size: tuple[int, int]
    peak_memory_mb: float
    facts: dict[str, Any] = field(default_factory=dict)


class PredictionFolder:
    """`<root>/<sequence>/<frame>.png`, with a record of each whole sequence in `<root>/.records/`.

    Only sequences with a record are ever replaced or removed; other folders there are somebody's own.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, sequence: str) -> Prediction | None:
        """The record of a whole sequence, or None. Raises UserError naming a record that cannot be read."""
        record = self._record(sequence)
        if not (record.is_file() and (self.root / sequence).is_dir()):
            return None
        try:
            content = json.loads(record.read_text())
        except ValueError as error:
            raise UserError(f"cannot read {record}: {error}; remove it and {self.root / sequence}") from error
        return Prediction(**{**content, "size": tuple(content["size"])})

    def facts(self, sequences: Iterable[str]) -> dict[str, Any]:
        """What is known of the method that made these sequences; nothing unless one and the same made all."""
        every = [found.facts if (found := self.read(name)) else {} for name in sequences]
        return every[0] if every and all(each == every[0] for each in every) else {}

    def label_map(self, sequence: str, frame: str) -> LabelMap:
        return read_label_map(self.root / sequence / f"{frame}.png")

    def check(self, wanted: Mapping[str, Hashes], *, overwrite: bool) -> list[str]:
        """Sequences still to do, of those in `wanted` (sequence → hashes). Stale ones are removed if `overwrite`.

        Raises UserError that says what differs when some were made by something else, and for folders in the way.
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
            raise UserError(
                f"{self.root} holds {len(stale)} sequences made with another {' and '.join(parts)} (first: {sequence}):"
                " set name=<new name> to keep them, or overwrite=true to redo them"
            )
        for sequence in todo:
            if (self.root / sequence).exists() and not self._record(sequence).is_file():
                raise UserError(
                    f"{self.root / sequence} was not written by vosbench: choose another output, or remove it"
                )
        for sequence in stale:
            self._remove(sequence)
        return todo

    def save(self, sequence: str, frames: Iterable[tuple[str, LabelMap]], record: Callable[[], Prediction]) -> None:
        """Writes (name, label map) pairs aside, then `record()`, then moves the folder into place. On an error nothing
        stays. Only the process that has claimed the sequence may call it."""
        aside = self.root / f".{sequence}.part"
        shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
        aside.mkdir(parents=True)
        try:
            for name, labels in frames:
                write_label_map(aside / f"{name}.png", labels)
            self._remove(sequence)
            replace_file(self._record(sequence), json.dumps(asdict(record())).encode())
            aside.rename(self.root / sequence)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def claim(self, sequence: str) -> "Claim":
        return Claim(self.root / ".records" / f"{sequence}.lock")

    def _record(self, sequence: str) -> Path:
        return self.root / ".records" / f"{sequence}.json"

    def _remove(self, sequence: str) -> None:
        """Takes a sequence away at once, then deletes it: half a folder with a record would count as whole."""
        old = self.root / f".{sequence}.old"
        shutil.rmtree(old, ignore_errors=True)
        if self._record(sequence).is_file() and (self.root / sequence).exists():
            (self.root / sequence).rename(old)
        self._record(sequence).unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)
