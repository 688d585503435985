"""Results that differ in their seed alone are one row of a leaderboard."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vosbench.evaluation.board import tables
from vosbench.evaluation.board.leaderboard import boards
from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.results.records import Record


def record(method: str, values: Sequence[float], **changes: Any) -> Record:
    """J = F = one value for the object of each sequence."""
    mean = sum(values) / len(values)
    facts: dict[str, Any] = {
        "scores": {"J&F-Mean": mean, "J-Mean": mean, "F-Mean": mean},
        "objects": {f"{name}_1": {"J-Mean": value, "F-Mean": value} for name, value in zip("ab", values, strict=True)},
    }
    where = {"dataset": "davis2017", "split": "val", "protocol": "davis", "resolution": "480p", "frames": "all"}
    return Record(method=method, **{**facts, **where, **changes})


def row(made: Record, run: str) -> Row:
    return Row(made, run, Path("results/x.json"))


def seeded(method: str, values: Sequence[float], seed: int, **changes: Any) -> Record:
    """A result of trained weights as `benchmark` records it."""
    training = {
        "seed": seed,
        "recipe": "r",
        "overrides": [f"seed={seed}"],
        "earlier": [],
        "losses": [[1, 2.0], [5, 1.0], [9, 0.5]],
        "steps": 9,
        "max_steps": 10,
        "hours": 0.5,
    }
    made = record(
        method,
        values,
        checkpoint={"name": "best.ckpt", "sha256": f"{seed}" * 64},
        training={**training, "steps": 9, "hours": 0.5, "earlier_hours": 0.25, "device": "cpu"},
        speed={"fps": 2.0 + seed, "device": "cpu", "precision": "32-true"},
        provenance={"hashes": {"method": "m", "code": "c"}, "seed": 0, "overrides": [f"checkpoint=runs/{seed}"]},
    )
    return replace(made, **changes)


def test_seeds_are_one_row() -> None:
    values = {0: [0.4, 0.5], 1: [0.5, 0.6], 2: [0.6, 0.7]}
    rows = [row(seeded("mamp", each, seed), f"run{seed}") for seed, each in values.items()]
    other = seeded("mamp", [0.5, 0.5], 0, provenance={"hashes": {"method": "other", "code": "c"}, "seed": 0})
    (made,) = boards([*rows, row(other, "other"), row(POOR_TWO, "poor")], baseline="poor", resamples=500)
    best = made.rows[0]
    assert [each.run for each in best.seeds] == ["run0", "run1", "run2"]
    assert best.headline == pytest.approx(0.55)
    assert best.spread("J-Mean") == pytest.approx(0.1)
    assert best.record.objects["a_1"]["J-Mean"] == pytest.approx(0.5)
    headers, cells = made.cells
    shown = dict(zip(headers, cells[0], strict=True))
    assert (shown["J&F"], shown["Seeds"], shown["FPS"]) == ("55.0 ± 10.0", "3", "3.00")
    assert (shown["Steps"], shown["Hours"], shown["Run"]) == ("10", "0.75", "run0, run1, run2")
    assert best.interval is not None
    assert best.interval.low is not None
    assert best.interval.low < 0.45  # about as if seed 0 were alone
    assert any("and seeds" in note for note in made.notes)
    (line, *_) = csv.DictReader(io.StringIO(tables.to_csv([made])))
    assert line["seeds"] == "3"
    assert float(line["J&F-Mean-std"]) == pytest.approx(0.1)


POOR_TWO = record("poor", [0.2, 0.3])


@pytest.mark.parametrize(
    "changes",
    [
        {"provenance": {"hashes": {"method": "other", "code": "c"}, "seed": 0}},
        {"provenance": {"hashes": {"method": "m", "code": "other"}, "seed": 0}},
        {"training": {**(seeded("x", [0.5, 0.5], 1).training or {}), "recipe": "other"}},
        {"training": {**(seeded("x", [0.5, 0.5], 1).training or {}), "max_steps": 20}},
        {"training": {**(seeded("x", [0.5, 0.5], 1).training or {}), "seed": 0}},
        {"training": None},
        {"training_data": "davis2017"},
        {"speed": {"fps": 3.0, "device": "cpu", "precision": "bf16-mixed"}},
    ],
    ids=["settings", "code", "recipe", "steps", "same seed", "unknown training", "data", "precision"],
)
def test_what_differs_in_more_than_its_seed_stays_apart(changes: dict[str, Any]) -> None:
    rows = [row(seeded("mamp", [0.4, 0.5], 0), "a"), row(seeded("mamp", [0.5, 0.6], 1, **changes), "b")]
    (made,) = boards(rows, resamples=50)
    assert sorted(each.run for each in made.rows) == ["a", "b"]
