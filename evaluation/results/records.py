"""Result records: one JSON file per run, data set and protocol. Tables are made from these files alone."""

import io
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from jaxtyping import Shaped

from vosbench.evaluation.metrics import Curves
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.results.schema import TEXTS, cleaned, is_curve, is_plain, wrong_fields
from vosbench.util.errors import UserError
from vosbench.util.files import replace_file
from vosbench.util.reading import read_json, reading
from vosbench.util.wording import printable, some

log = logging.getLogger(__name__)
SCHEMA = 4
LARGEST_VALUE = 1e9  # of a curve
LARGEST = 2**28  # bytes of curves: a thousand times those of the largest benchmark
Arrays = Mapping[str, Shaped[np.ndarray, " t"]]
ADDED: dict[int, dict[str, Any]] = {  # schema → fields that earlier ones did not have
    2: {"algorithm": None, "subset": None, "inference": None, "remarks": []},
    3: {"training": None},
    4: {"propagation": None},
}
# Name of a recipe in schema 1 → the method's own name.
ALGORITHMS = {
    "copy_first": "copy_first",
    "flow_warp": "flow_warp",
    "mamp": "mamp",
    "mamp_small": "mamp",
    "mask_embedding": "mask_embedding",
    "mask_embedding_small": "mask_embedding",
    "munet": "munet",
    "munet_small": "munet",
}


@dataclass(frozen=True, kw_only=True)
class Record:
    """One result; None means unknown.

    method         its name in tables: the recipe's, or the one given to evaluate
    algorithm      the method's own name (mamp); None for label maps made elsewhere
    supervision    none (nothing was learned) | self-supervised | flow-supervised (no masks or labels of objects; the
                   flow network learned from true flow) | supervised (learned from masks or labels)
    training_data  the data that weights and flow network learned from, earlier stages first
    parameters     number of weights
    checkpoint     "untrained", or {"name", "sha256"}, and {"processes"} if more than one trained it
    training       how the weights were trained: {seed, recipe (a digest of all but seeds), overrides, earlier (commands
                   of the stages before), steps, max_steps, hours, earlier_hours, device, losses ([step, loss], …)}
    resolution     the data set's resolution folder; frames: "all" or "annotated" frames were given to the method
    subset         {"videos": 3, "of": 10, "max_frames": 6 or null}: the part of the data set scored, and "every" if
                   that is one frame in so many; None: all of it
    inference      the size at which the method saw frames, such as "short side 480"; None: their own size
    propagation    the published protocol of label propagation, "dino" or "dino, changed"; None: the method's own
    scores         fractions at full precision, by the protocol's names; objects: the same by "<sequence>_<id>"
    speed          {device, precision, size, fps, latency_ms {p50, p95}, fps_sequence_mean, peak_memory_mb,
                   peak_memory_kind (rss | cuda), warmup, timed}; fps and latencies are None if nothing was timed
    remarks        notes for readers of tables
    provenance     {command, overrides, commit, commits, versions, seed, hashes, time}
    """

    schema: int = SCHEMA
    method: str
    algorithm: str | None = None
    supervision: str | None = None
    training_data: str | None = None
    parameters: int | None = None
    checkpoint: str | dict[str, str] | None = None
    training: dict[str, Any] | None = None
    dataset: str
    split: str
    protocol: str
    resolution: str
    frames: str
    subset: dict[str, int | None] | None = None
    inference: str | None = None
    propagation: str | None = None
    scores: dict[str, float]
    objects: dict[str, dict[str, float]]
    speed: dict[str, Any] | None = None
    remarks: list[str] = field(default_factory=list)
    provenance: dict[str, Any] | None = None


def part_of_set(subset: Mapping[str, int | None] | None) -> str | None:
    """A record's `subset` for a reader: "3 of 10 videos, at most 6 frames"; None for the whole data set."""
    if subset is None:
        return None
    videos = f"{subset['videos']} of {subset['of']} videos" if subset["videos"] != subset["of"] else "all videos"
    frames, every = subset["max_frames"], subset.get("every")
    parts = [videos, *([f"one frame in {every}"] if every else [])]
    return ", ".join([*parts, *([] if frames is None else [f"at most {frames} frame{'s' * (frames != 1)}"])])


def restrictions(subset: Mapping[str, int | None] | None, inference: str | None) -> list[str]:
    """Parts of a title that state restrictions: the part of the data set scored, and another inference size. May be
    empty."""
    part = part_of_set(subset)
    return [*([part] if part else []), *([f"seen at {inference}"] if inference else [])]


def path_of(run: Path, dataset: str, split: str, protocol: str) -> Path:
    """The path of a run's record of this data set and protocol."""
    return run / "results" / f"{dataset}-{split}-{protocol}.json"


def write(record: Record, arrays: Arrays, path: Path) -> None:
    """Writes the record, and beside it `.frames.npz` with the measures over time (see `arrays_of`).

    The record is written last and atomically: if it exists, everything is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    replace_file(frames_path(path), buffer.getvalue())
    text = json.dumps(asdict(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    replace_file(path, text.encode(errors="backslashreplace"))  # as JSON itself would escape a name that is no text


def read(path: Path) -> Record:
    """Reads a record. Raises UserError naming the file if it is not a record, or one of an unknown schema."""
    remedy = "evaluate again, or move it away"
    content = read_json(path, "record", remedy)
    schema = content.get("schema") if isinstance(content, dict) else None
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        raise UserError(f"record {path} has schema {str(schema)[:40]}, this version reads 1 to {SCHEMA}: {remedy}")
    if schema == 1:
        content = _migrated(content)
    known = max(schema, 2)  # what schema 1 did not have, its migration adds
    missing = {key: value for later, added in ADDED.items() if later > known for key, value in added.items()}
    content = {**content, **missing, "schema": SCHEMA} if missing else content
    expected = {field.name for field in fields(Record)}
    if expected != set(content):
        odd = [name[:40] for name in (*sorted(set(content) - expected), *sorted(expected - set(content)))]
        raise UserError(f"record {path} has missing or unknown fields {some(odd, 10)}: {remedy}")
    if wrong := wrong_fields(content):
        raise UserError(f"record {path} cannot be understood in {some(wrong)}: {remedy}")
    content = {**content, **{name: str(content[name]) for name in TEXTS}}
    return Record(**(content if is_plain(path.read_bytes()) else cleaned(content)))


def _migrated(content: Mapping[str, Any]) -> dict[str, Any]:
    """A record of schema 1 as one of schema 2. It does not say which part of its data set was scored."""
    measured = content.get("parameters") is not None  # not foreign predictions, which may have any name
    algorithm = ALGORITHMS.get(str(content.get("method"))) if measured else None
    provenance = content.get("provenance")
    if isinstance(provenance, dict) and "commits" not in provenance:
        provenance = {**provenance, "commits": [provenance["commit"]] if provenance.get("commit") else []}
    return {**content, **ADDED[2], "algorithm": algorithm, "provenance": provenance}


def frames_path(path: Path) -> Path:
    """The `.frames.npz` of a record."""
    return path.with_name(f"{path.stem}.frames.npz")


def read_frames(path: Path) -> dict[str, Shaped[np.ndarray, " t"]]:
    """The arrays in the file beside the record at `path`; empty if there is no file. Raises UserError naming a file
    that cannot be read, or that holds anything but the curves of objects."""
    path = frames_path(path)
    if not path.exists():
        return {}
    remedy = "evaluate again with overwrite=true, or remove it"
    with reading(path, "", remedy), ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST:
            raise UserError(f"cannot read {path}: it unpacks to more than {LARGEST >> 20} MB; {remedy}")
        with np.load(path) as frames:
            arrays = dict(frames)
    lengths: dict[str, set[int]] = {}
    for name, values in arrays.items():
        if not is_curve(name) or values.ndim != 1 or values.dtype.kind not in "fiu" or not _is_drawable(values):
            raise UserError(f"cannot read {path}: its {printable(name)[:80]} is no curve of an object; {remedy}")
        lengths.setdefault(name.rpartition("/")[0], set()).add(len(values))
    if odd := [name for name, found in lengths.items() if len(found) > 1]:
        raise UserError(f"cannot read {path}: the curves of {printable(some(odd))} differ in length; {remedy}")
    return arrays


def _is_drawable(values: Shaped[np.ndarray, " t"]) -> bool:
    return bool((np.abs(values.astype(np.float64)) < LARGEST_VALUE).all())  # neither infinite nor NaN


def arrays_of(curves: Mapping[ObjectKey, Curves]) -> dict[str, Shaped[np.ndarray, " t"]]:
    """Curves by their names on disk: "<sequence>_<id>/J", and "/frame" for the positions of the frames among the
    sequence's annotated frames."""
    arrays: dict[str, Shaped[np.ndarray, " t"]] = {}
    for key, curve in curves.items():
        arrays.update({f"{key}/{measure}": values for measure, values in curve.measures.items()})
        arrays[f"{key}/frame"] = curve.frames
    return arrays


def read_curves(path: Path) -> dict[ObjectKey, Curves]:
    """The curves beside the record at `path`, of objects that have any. Positions missing in the file count from 1."""
    found: dict[ObjectKey, dict[str, Shaped[np.ndarray, " t"]]] = {}
    for name, values in read_frames(path).items():
        key, _, measure = name.rpartition("/")
        found.setdefault(ObjectKey.parse(key), {})[measure] = values
    curves = {}
    for object_, arrays in found.items():
        length = max(map(len, arrays.values()))
        frames = arrays.pop("frame", np.arange(1, length + 1))
        if length and arrays:
            curves[object_] = Curves(frames, arrays)
    return curves


def is_current(path: Path, hashes: Mapping[str, str]) -> bool:
    """Whether the record at `path` was made from inputs with these hashes by this code; False if there is none.

    A record made by other code must be made again, whatever else that code changed. Raises UserError saying what
    differs if the inputs are different: stale numbers are neither shown nor replaced without being asked.
    """
    if not path.is_file():
        return False
    old = (read(path).provenance or {}).get("hashes") or {}
    changed = [name for name, value in hashes.items() if old.get(name) != value]
    if "code" in changed:
        log.warning("%s was made by other code: it is made again", path)
        return False
    if changed:
        remedy = "overwrite=true redoes it, name=<new name> keeps both"
        raise UserError(f"{', '.join(changed)} changed since {path} was written: {remedy}")
    return True
