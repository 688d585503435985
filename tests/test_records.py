"""Result records: what is written is read again, nothing else is, and stale ones are never passed off as current."""

import csv
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vosbench.evaluation.metrics import Curves
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.results import records
from vosbench.evaluation.results.provenance import provenance
from vosbench.evaluation.results.records import Record
from vosbench.evaluation.results.score_tables import write_tables
from vosbench.evaluation.scoring.evaluate import Scores
from vosbench.util.files import replace_file

RECORD = Record(
    method="mamp",
    checkpoint={"name": "mamp.safetensors", "sha256": "ab" * 32},
    dataset="davis2016",
    split="val",
    protocol="davis",
    resolution="480p",
    frames="all",
    scores={"J&F-Mean": 1 / 3, "J-Mean": 1 / 3, "F-Mean": 1 / 3},
    objects={"swan_1": {"J-Mean": 1 / 3, "F-Mean": 1 / 3}},
    provenance={"hashes": {"predictions": "aa", "annotations": "bb"}},
)
FRAMES = {"swan_1/J": np.array([0.1, 1 / 3]), "swan_1/F": np.array([0.2, 0.4])}


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = records.path_of(tmp_path, "davis2016", "val", "davis")
    assert path == tmp_path / "results" / "davis2016-val-davis.json"
    records.write(RECORD, FRAMES, path)
    assert records.read(path) == RECORD
    frames = records.read_frames(path)
    assert list(frames) == list(FRAMES)
    np.testing.assert_array_equal(frames["swan_1/J"], FRAMES["swan_1/J"])
    assert sorted(file.name for file in path.parent.iterdir()) == ["davis2016-val-davis.frames.npz", path.name]


def test_fields_are_those_of_the_schema(tmp_path: Path) -> None:
    records.write(RECORD, FRAMES, tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    assert " ".join(content) == (
        "schema method algorithm supervision training_data parameters checkpoint training dataset split protocol "
        "resolution frames subset inference propagation scores objects speed remarks provenance"
    )
    assert content["schema"] == 4
    assert content["speed"] is None


def test_no_arrays_beside_a_record(tmp_path: Path) -> None:
    assert records.read_frames(tmp_path / "a.json") == {}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "cannot read record"),
        ("[]", "has schema None"),
        ('{"schema": 5}', "has schema 5, this version reads 1 to 4"),
        ('{"schema": 2, "method": "x", "speedo": 3}', "speedo"),
        ('{"schema": 1, "method": "x", "speedo": 3}', "speedo"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=complaint) as error:
        records.read(path)
    assert str(path) in str(error.value)
    assert "evaluate again, or move it away" in str(error.value)


def test_a_number_that_is_none_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    broken = dataclasses.replace(RECORD, scores={"J&F-Mean": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.write(broken, FRAMES, tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_file(tmp_path / "a.txt", b"old")

    def full(path: Path, content: bytes) -> None:
        path.open("wb").close()
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "a.txt", b"new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "old")]


def test_stale_records_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert not records.is_current(path, {"predictions": "aa"})
    records.write(RECORD, FRAMES, path)
    assert records.is_current(path, {"predictions": "aa", "annotations": "bb"})
    with pytest.raises(ValueError, match=r"^predictions changed since .*a\.json was written: overwrite=true redoes it"):
        records.is_current(path, {"predictions": "cc", "annotations": "bb"})


def test_official_tables(tmp_path: Path) -> None:
    swan = ObjectKey("swan", 1)
    objects = {swan: {"J-Mean": 0.12345, "J-Recall": 1.0, "F-Mean": 0.5}}
    overall, stems = {"J&F-Mean": 0.311725, "J-Mean": 0.12345}, {swan: ["00001", "00002"]}
    curves = {swan: Curves(np.array([1, 2]), {name: FRAMES[f"swan_1/{name}"] for name in "JF"})}
    scores = Scores(protocol_named("davis"), overall, objects, curves, stems)
    write_tables(scores, "val", tmp_path / "tables")
    read = {path.name: list(csv.reader(path.read_text().splitlines())) for path in (tmp_path / "tables").iterdir()}
    assert read == {
        "global_results-val.csv": [["J&F-Mean", "J-Mean"], ["0.312", "0.123"]],
        "per-sequence_results-val.csv": [["Sequence", "J-Mean", "F-Mean"], ["swan_1", "0.123", "0.500"]],
        "per-frame_results-val.csv": [
            ["Sequence", "Frame", "J", "F"],
            ["swan_1", "00001", "0.1", "0.2"],
            ["swan_1", "00002", repr(1 / 3), "0.4"],
        ],
    }


def test_provenance() -> None:
    found = provenance("benchmark", ["method=mamp", "name=a b"], 3, {"predictions": "aa"})
    assert list(found) == ["command", "overrides", "commit", "commits", "versions", "seed", "hashes", "time"]
    assert found["command"] == "vosbench benchmark method=mamp 'name=a b'"
    assert found["commits"] == ([found["commit"]] if found["commit"] else [])
    assert {"vosbench", "python", "torch", "numpy"} <= set(found["versions"])
    assert datetime.fromisoformat(found["time"]).utcoffset() is not None
    json.dumps(found)


def test_scoring_and_records_need_no_heavy_package() -> None:
    code = (
        "import sys, vosbench.tasks.evaluate, vosbench.tasks.leaderboard, vosbench.evaluation.results.provenance as p;"
        "p.provenance('evaluate', [], None, {});"
        "print([m for m in ('torch', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


OLD = Path(__file__).with_name("record_schema_1.json")


def test_a_record_of_schema_1_is_read_and_shown(tmp_path: Path, command: Callable[..., Any]) -> None:
    """A file that an earlier version wrote, as it was."""
    content = json.loads(OLD.read_text())
    assert content["schema"] == 1
    made = records.read(OLD)
    assert (made.schema, made.method, made.algorithm) == (4, "mamp_small", "mamp")
    assert (made.subset, made.inference, made.remarks) == (None, None, [])
    assert made.provenance is not None
    assert made.provenance["commits"] == [content["provenance"]["commit"]]
    kept = set(content) - {"schema", "provenance"}
    assert {key: getattr(made, key) for key in kept} == {key: content[key] for key in kept}

    path = tmp_path / "runs/mamp_small/old/results/collage-val-davis.json"
    path.parent.mkdir(parents=True)
    path.write_text(OLD.read_text())
    done = command("leaderboard", "resamples=50", "name=all")
    assert done.status == 0, done.err
    assert "mamp_small" in Path("runs/leaderboard/all/leaderboard.md").read_text()


def test_foreign_predictions_of_schema_1_have_no_algorithm(tmp_path: Path) -> None:
    """They may be called anything, and nobody counted their parameters."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**json.loads(OLD.read_text()), "method": "mamp", "parameters": None}))
    assert records.read(path).algorithm is None


def test_a_record_of_schema_2_says_nothing_of_its_training(tmp_path: Path) -> None:
    records.write(RECORD, FRAMES, tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content.pop("training") is None
    (tmp_path / "a.json").write_text(json.dumps({**content, "schema": 2}))
    assert records.read(tmp_path / "a.json") == RECORD


def test_parts_of_a_data_set_in_words() -> None:
    fifth = {"videos": 10, "of": 10, "max_frames": None, "every": 5}
    assert records.part_of_set(fifth) == "all videos, one frame in 5"
    part = {"videos": 3, "of": 10, "max_frames": 6}
    assert records.part_of_set(part) == "3 of 10 videos, at most 6 frames"
    assert records.part_of_set({**part, "max_frames": None}) == "3 of 10 videos"
    assert records.part_of_set({**part, "videos": 10, "max_frames": 1}) == "all videos, at most 1 frame"
    assert records.part_of_set(None) is None
