"""A folder of predicted label maps: claimed, written whole or not at all, and never mixed with stale ones."""

import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vosbench.runs.claims import Claim
from vosbench.runs.identity import Fingerprint
from vosbench.util.errors import UserError
from vosbench.util.files import replace_file
from vosbench.util.wording import some
from vosbench.video.images import read_label_map, write_label_map
from vosbench.video.video import LabelMap

ChangedCode = Literal["redo", "keep"]  # what becomes of label maps that other code made

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """How one sequence was predicted. Latencies are of all frames but the first, in milliseconds; size is (height,
    width); facts are what result records say of the method and its weights."""

    fingerprint: Fingerprint
    commit: str | None
    latency_ms: list[float]
    size: tuple[int, int]
    peak_memory_mb: float
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, content: dict[str, Any]) -> "Prediction":
        """Of what `asdict` gave, and of what earlier versions of vosbench wrote."""
        known = {key: content[key] for key in ("latency_ms", "peak_memory_mb", "facts") if key in content}
        fingerprint = Fingerprint.read(content.get("fingerprint"))
        return cls(fingerprint, content.get("commit"), size=tuple(content["size"]), **known)


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
            return Prediction.read(json.loads(record.read_text()))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"cannot read {record}: {error}; remove it and {self.root / sequence}") from error

    def has(self, sequence: str, fingerprint: Fingerprint) -> bool:
        """Whether the sequence is there, made of this and nothing else."""
        found = self.read(sequence)
        return found is not None and found.fingerprint == fingerprint

    def facts(self, sequences: Iterable[str]) -> dict[str, Any]:
        """What is known of the method that made these sequences; nothing unless one and the same made all."""
        every = [found.facts if (found := self.read(name)) else {} for name in sequences]
        return every[0] if every and all(each == every[0] for each in every) else {}

    def commits(self, sequences: Iterable[str]) -> list[str]:
        """The commits by which these sequences were predicted, as far as they are known."""
        found = (self.read(name) for name in sequences)
        return sorted({each.commit for each in found if each is not None and each.commit is not None})

    def label_map(self, sequence: str, frame: str) -> LabelMap:
        return read_label_map(self.root / sequence / f"{frame}.png")

    def check(
        self, wanted: Mapping[str, Fingerprint], *, overwrite: bool = False, changed_code: ChangedCode = "redo"
    ) -> list[str]:
        """Sequences still to do, of those in `wanted` (sequence → what it is to be made of).

        overwrite     all of them are, and what is there is removed
        changed_code  redo: those that were made by other code are, too, and are replaced when they are done; keep: not

        Raises UserError that says what differs when some were made of something else, and for folders in the way.
        """
        found = {name: made for name in wanted if (made := self.read(name)) is not None}
        for sequence in wanted:
            if sequence not in found and (self.root / sequence).exists() and not self._record(sequence).is_file():
                raise UserError(
                    f"{self.root / sequence} was not written by vosbench: choose another output, or remove it"
                )
        if overwrite:
            for sequence in found:
                self._remove(sequence)
            return list(wanted)
        self._refuse_others(wanted, found)
        other_code = [name for name, made in found.items() if wanted[name] != made.fingerprint]
        if other_code:
            self._tell(wanted[other_code[0]], found[other_code[0]], other_code, changed_code)
        kept = found.keys() - (other_code if changed_code == "redo" else ())
        return [name for name in wanted if name not in kept]

    def _refuse_others(self, wanted: Mapping[str, Fingerprint], found: Mapping[str, Prediction]) -> None:
        """Raises UserError when something other than the code differs."""
        others = {
            name: wanted[name].differences(made.fingerprint)
            for name, made in found.items()
            if made.fingerprint != wanted[name] and not wanted[name].differs_only_in_code(made.fingerprint)
        }
        if others:
            sequence, differences = next(iter(others.items()))
            raise UserError(
                f"{self.root} holds {len(others)} sequences that were made otherwise (first: {sequence}: "
                f"{'; '.join(differences)}): set name=<new name> to keep them, or overwrite=true to redo them"
            )

    def _tell(self, wanted: Fingerprint, made: Prediction, sequences: Sequence[str], changed_code: ChangedCode) -> None:
        what = f"{len(sequences)} sequences in {self.root} were made by other code (commit {made.commit or 'unknown'})"
        changed = some(wanted.changed_modules(made.fingerprint))
        remedy = (
            "they are predicted again; changed_code=keep would keep them"
            if changed_code == "redo"
            else "they are kept, and the record says so; changed_code=redo would predict them again"
        )
        log.warning("%s, which differs in %s: %s", what, changed, remedy)

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
