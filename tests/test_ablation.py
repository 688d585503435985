"""A paper's table beside ours: which results are its rows, and what is printed."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vosbench.cli import papers
from vosbench.evaluation.board.ablation import beside, ours_of
from vosbench.evaluation.board.leaderboard import boards
from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.published.tables import table, tables
from vosbench.evaluation.results import records
from vosbench.evaluation.results.records import Record

MINI = ["experiment=mamp/mini", "checkpoint=mamp"]


def result(overrides: Sequence[str], score: float, **changes: Any) -> Row:
    objects = {f"v{number}_1": {"J-Mean": score, "F-Mean": score} for number in range(4)}
    made = Record(
        method="mamp-mini", algorithm="mamp", dataset="davis2016_mini", split="val", protocol="davis",
        resolution="480p", frames="all", scores={"J&F-Mean": score}, objects=objects,
        checkpoint={"name": "mamp", "sha256": "1"}, provenance={"overrides": list(overrides)},
    )  # fmt: skip
    return Row(replace(made, **changes), " ".join(overrides), Path("x.json"))


def of_table_6(*scores: float) -> list[Row]:
    values = ("null", "1", "9", "36")
    return [result([*MINI, f"method.top_k={k}"], score) for k, score in zip(values, scores, strict=False)]


def test_every_ablation_knows_what_makes_its_rows() -> None:
    for each in tables():
        if each.sweep and each.name != "mask_embedding_s2":
            full, mini = papers.needed(each)
            assert full.keys() == mini.keys() == {row.key for row in each.rows}
            distinct = len(set(full.values()))
            assert distinct == len(each.rows) - (each.name == "munet_4")  # (e) and (g) are the same


def test_results_stand_beside_the_papers_rows() -> None:
    paper = table("mamp_6")
    rows = [row for board in boards(of_table_6(0.7, 0.6, 0.8, 0.75)) for row in board.rows]
    (ours,) = ours_of(paper, rows, papers.needed(paper))
    sheet = beside(paper, [ours])
    assert sheet.headers[-2:] == ["ours: J&F", "ours: 95 %"]
    assert [row[-2] for row in sheet.rows] == ["70.0", "60.0", "80.0", "75.0"]
    assert [row[0] for row in sheet.rows] == ["ALL", "Top 1", "Top 9", "Top 36"]
    assert "ours: 5 of 6 pairs of rows are in the paper's order on davis2017." in sheet.notes  # top 9 beats top 36
    assert any(note.startswith("ours: mamp-mini (shipped), davis2016_mini val, 480p") for note in sheet.notes)


def test_what_differs_otherwise_stands_in_columns_of_its_own() -> None:
    paper, half = table("mamp_6"), [*MINI, "flow=none"]
    rows = [*of_table_6(0.7, 0.6, 0.8), result([*half, "method.top_k=9"], 0.5)]
    first, second = ours_of(paper, rows, papers.needed(paper))
    assert (len(first.rows), first.other) == (3, ())
    assert (len(second.rows), second.other) == (1, ("flow=none",))
    sheet = beside(paper, [first, second])
    assert sheet.headers[-2:] == ["ours 1: J&F", "ours 2: J&F"]
    assert [row[-1] for row in sheet.rows] == ["–", "–", "50.0", "–"]


def test_results_of_other_methods_and_settings_are_no_rows() -> None:
    paper = table("mamp_4")
    needed = papers.needed(paper)
    whole = [*MINI, "memory=mamp"]
    assert [list(each.rows) for each in ours_of(paper, [result(whole, 0.5)], needed)] == [["both"]]
    assert ours_of(paper, [result([*whole, "memory.recent=[1]"], 0.5)], needed) == []
    assert ours_of(paper, [result(whole, 0.5, algorithm="munet")], needed) == []
    with pytest.raises(ValueError, match=r"no result here is a row of MAMP 4: .* sweep=mamp/table4 scale=mini"):
        beside(paper, [])


def test_trained_rows_are_known_by_what_was_trained() -> None:
    paper = table("mask_embedding_4a")
    _, mini = papers.needed(paper)
    words = mini["short"]
    training = [word for word in words if "decode" not in word]
    made = {
        "training": {"overrides": training}, "provenance": {"overrides": ["method.decode=false", "checkpoint=x"]},
        "algorithm": "mask_embedding",
    }  # fmt: skip
    (ours,) = ours_of(paper, [result([], 0.5, **made)], papers.needed(paper))
    assert list(ours.rows) == ["short"]


def test_the_command(tmp_path: Path, command: Callable[..., Any]) -> None:
    for number, row in enumerate(of_table_6(0.7, 0.6)):
        records.write(row.record, {}, tmp_path / f"runs/r{number}/results/a.json")
    done = command("leaderboard", "table=mamp_6", "run=out", "resamples=50")
    assert done.status == 0, done.err
    lines = list(csv.reader(io.StringIO((tmp_path / "out/mamp_6.csv").read_text())))
    assert [line[-2] for line in lines] == ["ours: J&F", "70.0", "60.0", "–", "–"]
    assert command("leaderboard", "table=mamp_1", "run=out").status == 0
    assert "| MAST |" in (tmp_path / "out/mamp_1.md").read_text()
    command("leaderboard", "table=mamp_9", "run=out").error(1, "mamp_9", "mamp_6")
