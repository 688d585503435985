"""A folder of predicted label maps, or of joints. Sequences are claimed, written completely or not at all, and never
stale."""

import glob
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vosbench.runs.claims import Claim
from vosbench.runs.identity import Fingerprint
from vosbench.util.errors import UserError
from vosbench.util.files import replace_file
from vosbench.util.plain import misfits
from vosbench.util.reading import read_json
from vosbench.util.wording import counted, some
from vosbench.video.images import read_label_map, write_label_map
from vosbench.video.joint_files import write_joints
from vosbench.video.video import Joints, LabelMap

ChangedCode = Literal["redo", "keep"]  # what to do with label maps made by other code

log = logging.getLogger(__name__)
FIELDS = {  # of a record; earlier versions did not write those that may be null
    "commit": str | None,
    "latency_ms": list[float],
    "size": tuple[int, int],
    "peak_memory_mb": float,
    "facts": dict[str, str | dict[str, Any] | None] | None,
}


@dataclass(frozen=True)
class Prediction:
    """How one sequence was predicted. `latency_ms` has all frames but the first; `size` is (height, width); `facts` are
    the fields of a result record that describe the method and its weights."""

    fingerprint: Fingerprint
    commit: str | None
    latency_ms: list[float]
    size: tuple[int, int]
    peak_memory_mb: float
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, content: Any) -> "Prediction":
        """The inverse of `asdict`; also reads what earlier versions of vosbench wrote. Raises ValueError naming the
        fields that are missing or of another type."""
        if not isinstance(content, dict) or not content:
            raise ValueError("it is no record of a sequence")
        if wrong := misfits(content, FIELDS):
            raise ValueError(f"its {', '.join(wrong)} cannot be understood")
        known = {key: content[key] for key in ("latency_ms", "peak_memory_mb", "facts") if content.get(key) is not None}
        fingerprint = Fingerprint.read(content.get("fingerprint"))
        return cls(fingerprint, content.get("commit"), size=tuple(content["size"]), **known)


class PredictionFolder:
    """Label maps `<root>/<sequence>/<frame>.png` or joints `<root>/<sequence>/joints.json`, with a record of each
    complete sequence in `<root>/.records/`.

    Only sequences with a record are ever replaced or removed; any other folder there belongs to the user.

    elsewhere  what a user types to have the folder in another place
    """

    def __init__(self, root: Path, elsewhere: str = "name=<new name>") -> None:
        self.root, self.elsewhere = root, elsewhere

    def read(self, sequence: str) -> Prediction | None:
        """The record of a complete sequence, or None. Raises UserError naming a record that cannot be read."""
        record = self._record(sequence)
        if not (record.is_file() and (self.root / sequence).is_dir()):
            return None
        remedy = f"remove it and {self.root / sequence}"
        content = read_json(record, "", remedy)
        try:
            return Prediction.read(content)
        except ValueError as error:
            raise UserError(f"cannot read {record}: {error}; {remedy}") from error

    def has(self, sequence: str, fingerprint: Fingerprint) -> bool:
        """Whether the sequence is complete and has this fingerprint."""
        found = self.read(sequence)
        return found is not None and found.fingerprint == fingerprint

    def facts(self, sequences: Iterable[str]) -> dict[str, Any]:
        """The facts about the method that made these sequences; empty unless the same method made all of them."""
        every = [found.facts if (found := self.read(name)) else {} for name in sequences]
        return every[0] if every and all(each == every[0] for each in every) else {}

    def commits(self, sequences: Iterable[str]) -> list[str]:
        """The commits whose code predicted these sequences, as far as they are known."""
        found = (self.read(name) for name in sequences)
        return sorted({each.commit for each in found if each is not None and each.commit is not None})

    def label_map(self, sequence: str, frame: str) -> LabelMap:
        return read_label_map(self.root / sequence / f"{frame}.png")

    def check(
        self, wanted: Mapping[str, Fingerprint], *, overwrite: bool = False, changed_code: ChangedCode = "redo"
    ) -> list[str]:
        """The sequences still to predict, out of those in `wanted` (sequence → fingerprint).

        overwrite     true: all of them, from their first frame; existing ones are removed
        changed_code  redo: also those made by other code, which are replaced once they are done; keep: not those

        Raises UserError for sequences made from something else, saying what differs, and for folders in the way.
        """
        found = {name: made for name in wanted if (made := self.read(name)) is not None}
        for sequence in wanted:
            if sequence not in found and (self.root / sequence).exists() and not self._is_ours(sequence):
                raise UserError(
                    f"{self.root / sequence} was not written by vosbench: choose another output, or remove it"
                )
        if overwrite:
            for sequence in wanted:
                self._drop_states(sequence)
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
        """Raises UserError if anything but the code differs."""
        others = {
            name: wanted[name].differences(made.fingerprint, "frames or given masks")
            for name, made in found.items()
            if made.fingerprint != wanted[name] and not wanted[name].differs_only_in_code(made.fingerprint)
        }
        if others:
            sequence, differences = next(iter(others.items()))
            raise UserError(
                f"{self.root} holds {counted(len(others), 'sequence')} made otherwise (first: {sequence}: "
                f"{'; '.join(differences)}): set {self.elsewhere} to keep what is there, or overwrite=true to redo it"
            )

    def _tell(self, wanted: Fingerprint, made: Prediction, sequences: Sequence[str], changed_code: ChangedCode) -> None:
        count = counted(len(sequences), "sequence")
        what = f"{self.root} holds {count} made by other code (commit {made.commit or 'unknown'})"
        changed = some(wanted.changed_modules(made.fingerprint))
        remedy = (
            "they are predicted again; changed_code=keep would keep them"
            if changed_code == "redo"
            else "they are kept, and the record says so; changed_code=redo would predict them again"
        )
        log.warning("%s, which differs in %s: %s", what, changed, remedy)

    def save(
        self,
        sequence: str,
        frames: Iterable[tuple[str, LabelMap]],
        record: Callable[[], Prediction],
        *,
        begun: bool = False,
    ) -> None:
        """Writes (name, label map) pairs to a temporary folder, moves it into place, and then does so with `record()`.
        After an error nothing of it is left; after an interrupt, what `snapshots` can go on from. Only the process that
        has claimed the sequence may call it.

        begun  the temporary folder holds the frames before these
        """
        with self._replacing(sequence, record, begun=begun) as aside:
            for name, labels in frames:
                write_label_map(aside / f"{name}.png", labels)

    def state_file(self, sequence: str, fingerprint: Fingerprint) -> Path:
        """Where `snapshots` keeps the state inside a sequence that is being written."""
        return self.root / ".records" / f"{sequence}.{fingerprint.digest()}.state"

    def is_begun(self, sequence: str) -> bool:
        """Whether frames of an interrupted or killed process are left."""
        return self._aside(sequence).is_dir()

    def save_joints(
        self, sequence: str, frames: Iterable[tuple[str, Joints]], record: Callable[[], Prediction]
    ) -> None:
        """The same for (name, positions of joints) pairs."""
        with self._replacing(sequence, record, begun=False) as aside:
            write_joints(aside, dict(frames))

    @contextmanager
    def _replacing(self, sequence: str, record: Callable[[], Prediction], *, begun: bool) -> Iterator[Path]:
        """A temporary folder that replaces the sequence's at the end."""
        aside = self._aside(sequence)
        if not begun:
            shutil.rmtree(aside, ignore_errors=True)  # left by a process that was killed
            self._drop_states(sequence)
        aside.mkdir(parents=True, exist_ok=begun)
        try:
            yield aside
            self._remove(sequence)
            replace_file(self._pending(sequence), json.dumps(asdict(record())).encode())
            aside.rename(self.root / sequence)
            self._pending(sequence).rename(self._record(sequence))
            self._drop_states(sequence)
        except BaseException as error:
            if isinstance(error, Exception) or not self._states(sequence):
                shutil.rmtree(aside, ignore_errors=True)
                self._drop_states(sequence)
            if not (self.root / sequence).exists():
                self._pending(sequence).unlink(missing_ok=True)
            raise

    def claim(self, sequence: str) -> "Claim":
        return Claim(self.root / ".records" / f"{sequence}.lock")

    def _states(self, sequence: str) -> list[Path]:
        return list((self.root / ".records").glob(f"{glob.escape(sequence)}.*.state"))

    def _drop_states(self, sequence: str) -> None:
        for state in self._states(sequence):
            state.unlink(missing_ok=True)

    def _aside(self, sequence: str) -> Path:
        return self.root / f".{sequence}.part"

    def _record(self, sequence: str) -> Path:
        return self.root / ".records" / f"{sequence}.json"

    def _pending(self, sequence: str) -> Path:
        """The record of a folder that is about to be moved into place: if a process dies in between, it shows that the
        folder is ours."""
        return self.root / ".records" / f"{sequence}.json.new"

    def _is_ours(self, sequence: str) -> bool:
        return self._record(sequence).is_file() or self._pending(sequence).is_file()

    def _remove(self, sequence: str) -> None:
        """Renames a sequence's folder, then deletes it: half a folder with a record would count as complete."""
        old = self.root / f".{sequence}.old"
        shutil.rmtree(old, ignore_errors=True)
        if self._is_ours(sequence) and (self.root / sequence).exists():
            (self.root / sequence).rename(old)
        for record in (self._record(sequence), self._pending(sequence)):
            record.unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)
