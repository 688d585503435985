"""Result records: one JSON a run, data set and protocol. Tables are made from these files and nothing else."""

import csv
import io
import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

import vosbench
from vosbench.evaluation.scoring.evaluate import Scores
from vosbench.runs.code import commit
from vosbench.util.errors import UserError
from vosbench.util.files import replace_file

SCHEMA = 1
PACKAGES = ("torch", "torchvision", "lightning", "numpy", "opencv-python-headless", "pillow")
Frames = Mapping[str, Shaped[np.ndarray, " t"]]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One result; None is unknown.

    supervision    self-supervised | supervised (learned from masks) | none (nothing was learned)
    training_data  all that the weights learned from, those of earlier stages first; parameters: their number
    checkpoint     "untrained", or {"name", "sha256"}
    resolution     the data set's resolution folder; frames: "all" or "annotated" frames were given to the method
    scores         fractions at full precision, as the protocol names them; objects: the same by "<sequence>_<id>"
    speed          {device, precision, size, fps, latency_ms {p50, p95}, fps_sequence_mean, peak_memory_mb,
                   peak_memory_kind (rss | cuda), warmup, timed}
    provenance     {command, overrides, commit, versions, seed, hashes, time}
    """

    schema: int = SCHEMA
    method: str
    supervision: str | None = None
    training_data: str | None = None
    parameters: int | None = None
    checkpoint: str | dict[str, str] | None = None
    dataset: str
    split: str
    protocol: str
    resolution: str
    frames: str
    scores: dict[str, float]
    objects: dict[str, dict[str, float]]
    speed: dict[str, Any] | None = None
    provenance: dict[str, Any] | None = None


def path_of(run: Path, dataset: str, split: str, protocol: str) -> Path:
    """Where a run keeps its record of this data set and protocol."""
    return run / "results" / f"{dataset}-{split}-{protocol}.json"


def write(record: Record, frames: Frames, path: Path) -> None:
    """Writes the record, and beside it as `.frames.npz` what is measured over time (Scores.frames).

    The record comes last and at once: where it is, all of it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **frames)  # type: ignore[arg-type]
    replace_file(frames_path(path), buffer.getvalue())
    replace_file(path, (json.dumps(asdict(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode())


def read(path: Path) -> Record:
    """Raises UserError naming the file when it is no record, or a record of another schema."""
    remedy = "evaluate again, or move it away"
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read record {path}: {error}; {remedy}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise UserError(f"record {path} has schema {schema}, this version reads {SCHEMA}: {remedy}")
    expected = {field.name for field in fields(Record)}
    if expected != set(content):
        raise UserError(f"record {path} has missing or unknown fields {sorted(expected ^ set(content))}: {remedy}")
    return Record(**content)


def frames_path(path: Path) -> Path:
    """The `.frames.npz` of a record."""
    return path.with_name(f"{path.stem}.frames.npz")


def read_frames(path: Path) -> dict[str, Shaped[np.ndarray, " t"]]:
    """What is measured over time beside the record at `path`; empty when the file is not there."""
    if not frames_path(path).is_file():
        return {}
    with np.load(frames_path(path)) as frames:
        return dict(frames)


def is_current(path: Path, hashes: Mapping[str, str]) -> bool:
    """Whether the record at `path` was made from inputs with these hashes; False when there is none.

    Raises UserError saying what differs when it was made of something else: stale numbers are never shown or replaced.
    """
    if not path.is_file():
        return False
    old = (read(path).provenance or {}).get("hashes", {})
    changed = [name for name, value in hashes.items() if old.get(name) != value]
    if changed:
        remedy = "overwrite=true redoes it, name=<new name> keeps both"
        raise UserError(f"{', '.join(changed)} changed since {path} was written: {remedy}")
    return True


def provenance(overrides: Sequence[str], seed: int | None, hashes: Mapping[str, str]) -> dict[str, Any]:
    """How a result came about. `commit` is the checkout's, or None when the code is installed; `time` is UTC."""
    return {
        "command": shlex.join(["vosbench", *(word for word in sys.argv[1:] if word != "--config-name")]),
        "overrides": list(overrides),
        "commit": commit(),
        "versions": {"vosbench": vosbench.__version__, "python": sys.version.split()[0], **_versions()},
        "seed": seed,
        "hashes": dict(hashes),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_tables(scores: Scores, split: str, folder: Path) -> None:
    """The official tool's two CSVs (3 decimals) and one with every frame (full precision), into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    measures = list(scores.scores)
    overall = [f"{scores.scores[measure]:.3f}" for measure in measures]
    _write_csv(folder / f"global_results-{split}.csv", measures, [overall])
    every = dict.fromkeys(measure for values in scores.objects.values() for measure in values)
    means = [measure for measure in every if not measure.endswith(("-Recall", "-Decay"))]
    rows = [
        [name, *(f"{values[measure]:.3f}" if measure in values else "" for measure in means)]
        for name, values in scores.objects.items()
    ]
    _write_csv(folder / f"per-sequence_results-{split}.csv", ["Sequence", *means], rows)
    over_time = list(dict.fromkeys(key.rpartition("/")[2] for key in scores.frames if not key.endswith("/frame")))
    rows = [row for name in scores.stems for row in _frame_rows(scores, name, over_time)]
    _write_csv(folder / f"per-frame_results-{split}.csv", ["Sequence", "Frame", *over_time], rows)


def _frame_rows(scores: Scores, name: str, measures: Sequence[str]) -> list[list[str]]:
    values = [scores.frames[f"{name}/{measure}"].tolist() for measure in measures]
    return [[name, stem, *map(str, row)] for stem, *row in zip(scores.stems[name], *values, strict=True)]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode())


def _versions() -> dict[str, str]:
    """Versions of what changes numbers, without importing it."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
