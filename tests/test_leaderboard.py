"""Leaderboards: which rows share a table, paired differences, quoted numbers, and the four files."""

import csv
import io
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vosbench.evaluation.board import report, tables
from vosbench.evaluation.board.choice import chosen
from vosbench.evaluation.board.latex import to_latex
from vosbench.evaluation.board.leaderboard import board, boards
from vosbench.evaluation.board.names import names
from vosbench.evaluation.board.quoted import load_published
from vosbench.evaluation.board.rows import Row, load
from vosbench.evaluation.board.statistics import Sample, paired_difference
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.results import records
from vosbench.evaluation.results.records import Record
from vosbench.tasks import leaderboard

SEQUENCES = ("bear", "cows", "dog_park", "goat", "mallard", "surf")


def record(method: str, values: Sequence[float], **changes: Any) -> Record:
    """J = F = `values` for the one object of each sequence."""
    names = [f"{name}_1" for name in SEQUENCES[: len(values)]]
    objects = {name: {"J-Mean": value, "F-Mean": value} for name, value in zip(names, values, strict=True)}
    mean = float(np.mean(values))
    made = Record(
        method=method,
        dataset="davis2017",
        split="val",
        protocol="davis",
        resolution="480p",
        frames="all",
        scores={"J&F-Mean": mean, "J-Mean": mean, "F-Mean": mean},
        objects=objects,
    )
    return replace(made, **changes)


GOOD = record(
    "good",
    [0.9, 0.8, 0.85, 0.7, 0.95, 0.6],
    supervision="self-supervised",
    checkpoint={"name": "good.ckpt", "sha256": "0123456789abcdef"},
    parameters=5_291_648,
    speed={"fps": 12.345, "latency_ms": {"p50": 80.4, "p95": 120.0}, "peak_memory_mb": 512.3, "device": "cpu"},
)
POOR_VALUES = [0.5, 0.45, 0.4, 0.35, 0.5, 0.2]
POOR = record("poor", POOR_VALUES, checkpoint="untrained")


def row(made: Record, run: str = "run") -> Row:
    return Row(made, run, Path("results/x.json"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three runs: two results of one kind, and one of another resolution."""
    small = record("good", [0.5, 0.6], resolution="240p")
    for run, made in (("a/good", GOOD), ("b/poor", POOR), ("a/small", small)):
        frames = {f"{name}/{kind}": np.linspace(1, 0, 9) for name in made.objects for kind in "JF"}
        path = records.path_of(tmp_path / "runs" / run, made.dataset, made.split, made.protocol)
        records.write(made, frames, path)
    return tmp_path / "runs"


def test_paired_difference() -> None:
    one, other = row(GOOD).headlines, row(POOR).headlines
    assert row(GOOD).sample is not None
    shifted = {name: value - 0.1 for name, value in one.items()}
    difference = paired_difference(Sample.of([shifted]), Sample.of([one]))
    assert difference is not None
    assert difference[:3] == pytest.approx((-0.1, -0.1, -0.1))  # though single videos range from .6 to .95
    assert paired_difference(Sample.of([one]), Sample.of([{**other, ObjectKey("new", 1): 0.5}])) is None


def test_rows_of_different_kinds_share_no_table() -> None:
    other = replace(POOR, resolution="240p", split="train")
    with pytest.raises(ValueError, match=r"differ in split \(train, val\); resolution \(240p, 480p\): .*mixed=true"):
        board([row(GOOD), row(other)])
    separate = boards([row(GOOD), row(other)])
    assert [len(each.rows) for each in separate] == [1, 1]
    (merged,) = boards([row(GOOD), row(other)], mixed=True)
    headers, cells = merged.cells
    assert headers[:6] == ["Method", "Dataset", "Split", "Protocol", "Resolution", "Frames"]
    assert [line[4] for line in cells] == ["480p", "240p"]


def test_rows_are_compared_with_the_best_and_a_baseline() -> None:
    made = board([row(POOR), row(GOOD)], baseline="poor")
    assert [each.record.method for each in made.rows] == ["good", "poor"]
    best, last = made.rows
    assert best.to_best is None
    assert last.to_baseline is None
    assert last.to_best is not None
    assert last.to_best.mean == pytest.approx(POOR.scores["J&F-Mean"] - GOOD.scores["J&F-Mean"])
    assert last.to_best.high is not None
    assert last.to_best.high < 0
    assert best.to_baseline is not None
    assert best.to_baseline[:3] == pytest.approx([-last.to_best[0], -(last.to_best[2] or 0), -(last.to_best[1] or 0)])
    assert best.to_baseline.p is not None
    assert best.to_baseline.p < 0.1  # all of six sequences: at best 2 of 64 flips


def test_supervised_rows_are_marked_and_compared_among_themselves() -> None:
    better, worse = ([value + shift for value in POOR_VALUES] for shift in (0.3, -0.1))
    rows = [
        row(record("munet", better, supervision="supervised", training_data="imagenet + davis2017"), "a"),
        row(record("munet_small", worse, supervision="supervised"), "b"),
        row(replace(POOR, supervision="self-supervised"), "c"),
        row(record("unnamed", worse), "d"),
    ]
    with pytest.raises(ValueError, match=r"differ in supervision \(not supervised, supervised\)"):
        board(rows)
    assert [[each.run for each in made.rows] for made in boards(rows)] == [["c", "d"], ["a", "b"]]
    assert [made.title.rpartition(", ")[2] for made in boards(rows)] == ["not supervised", "supervised"]
    made = board(rows, mixed="supervision")
    assert [each.run for each in made.rows] == ["a", "c", "b", "d"]
    differences = {each.run: each.to_best and round(each.to_best.mean, 3) for each in made.rows}
    assert differences == {"a": None, "b": -0.4, "c": None, "d": -0.1}
    note = "Supervised methods learned from masks"
    assert [text.startswith(note) for text in made.notes].count(True) == 1
    assert not any(text.startswith(note) for text in board(rows[:2]).notes)
    for text in (tables.to_markdown([made]), to_latex([made]), report.html([made])):
        assert all(part in text for part in ("Trained on", "imagenet + davis2017", "supervised", note))


def test_a_table_without_the_baseline_says_so() -> None:
    rows = [row(GOOD, "a"), replace(row(GOOD, "b"), record=replace(row(GOOD, "b").record, split="other"))]
    notes = {each.rows[0].run: each.notes for each in boards(rows, baseline="a")}
    assert {run: "The baseline a has no row here." in text for run, text in notes.items()} == {"a": False, "b": True}


def test_baselines_that_are_unknown_or_ambiguous() -> None:
    rows = [row(GOOD, "a"), row(GOOD, "b")]
    with pytest.raises(ValueError, match="baseline=bad is no method or run here: choose from a, b, good"):
        boards(rows, baseline="bad")
    with pytest.raises(ValueError, match="baseline=good names 2 results of one table: name one of the runs a, b"):
        boards(rows, baseline="good")
    assert boards(rows, baseline="b")[0].rows[0].to_baseline is not None


def test_results_over_other_objects_are_not_compared() -> None:
    made = board([row(GOOD), row(record("partial", [0.5, 0.6]))])
    assert made.rows[1].to_best is None
    assert any("1 result(s) are over other objects" in note for note in made.notes)


def test_quoted_numbers_are_marked_and_only_where_they_belong() -> None:
    published = load_published()
    mamp = next(each for each in published if each.record.method == "MAMP")
    assert mamp.record.scores == {"J&F-Mean": 0.697, "J-Mean": 0.683, "F-Mean": 0.712}
    assert mamp.record.parameters == 5_000_000
    marks = {each.record.supervision for each in published if each.record.method.startswith("MUNet")}
    assert marks == {"supervised"}
    assert not any(each.is_supervised for each in board([row(GOOD), row(POOR)], published=published).rows)
    made = board([row(GOOD), row(POOR)], published=published, mixed="supervision")
    names = [each.record.method for each in made.rows]
    assert names[:5] == ["LCM", "RMNet", "GMVOS", "KMN", "CFBI"]
    headers, cells = made.cells
    munet = dict(zip(headers, cells[names.index("MUNet (3-2)")], strict=True))
    assert munet["Method"] == "MUNet (3-2) †"
    assert munet["Supervision"] == "supervised"
    assert munet["Trained on"] == "imagenet + still images + davis2017 + youtube_vos"
    assert (munet["FPS †"], munet["Quoted from"]) == ("6.42", "MUNet 2")
    assert any(note.startswith("† MAMP 1: quoted, not measured, from Miao") for note in made.notes)
    assert len([note for note in made.notes if "quoted, not measured" in note]) == 3
    assert len(board([row(replace(GOOD, resolution="240p"))], published=published).rows) == 1


def test_a_result_that_several_papers_quote_is_one_row() -> None:
    quoted = [each for each in load_published() if each.record.split == "val"]
    (stm,) = (each for each in quoted if each.record.method == "STM" and each.record.scores["J&F-Mean"] == 0.818)
    assert list(stm.sources) == ["MAMP 1", "MUNet 2", "Mask embedding 1"]
    assert list(stm.record.scores) == ["J&F-Mean", "J-Mean", "J-Recall", "F-Mean", "F-Recall"]
    assert (stm.record.parameters, stm.record.speed) == (9_000_000, {"fps": 6.25})
    uvc = [each for each in quoted if each.record.method == "UVC"]
    assert [(each.headline, list(each.sources)) for each in uvc] == [(0.595, ["MAMP 1"]), (0.578, ["Mask embedding 1"])]
    (colorization,) = (each for each in quoted if each.record.method == "Colorization")
    assert colorization.remark == "its printed J and F average 33.65"


def test_cells_are_in_percent_and_empty_columns_are_left_out() -> None:
    headers, cells = board([row(GOOD), row(POOR)]).cells
    shown = dict(zip(headers, cells[0], strict=True))
    assert (shown["J&F"], shown["Weights"], shown["FPS"]) == ("80.0", "trained", "12.35")
    assert (shown["ms p95"], shown["Param. M"]) == ("120", "5.29")
    assert dict(zip(headers, cells[1], strict=True))["Weights"] == "untrained"
    assert dict(zip(headers, cells[1], strict=True))["FPS"] == "–"
    assert "Δ baseline" not in headers


def test_csv_holds_fractions() -> None:
    text = tables.to_csv(boards([row(GOOD), row(POOR), row(replace(POOR, split="train"))]))
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["split"] for line in lines] == ["train", "val", "val"]
    assert float(lines[1]["J&F-Mean"]) == GOOD.scores["J&F-Mean"]
    assert lines[1]["parameters"] == "5291648"
    assert float(lines[1]["J&F-Mean-low"]) < GOOD.scores["J&F-Mean"] < float(lines[1]["J&F-Mean-high"])
    assert (lines[1]["to-best"], lines[2]["fps"]) == ("", "")
    assert float(lines[2]["to-best"]) < 0


def test_markdown_and_latex_escape_what_they_must() -> None:
    made = boards([row(replace(GOOD, method="a|b_c&d"))])
    assert "| a\\|b_c&d |" in tables.to_markdown(made)
    latex = to_latex(made)
    assert r"a|b\_c\&d &" in latex
    assert re.search(r"(?<!\\)_", latex.split(r"\midrule")[1]) is None


def settings(runs: Path, out: Path, **changes: Any) -> leaderboard.Options:
    default = leaderboard.Options(
        runs=str(runs),
        run=str(out),
        mixed=False,
        where=None,
        columns=None,
        baseline=None,
        published=False,
        resamples=1000,
        seed=0,
    )
    return replace(default, **changes)


def test_verb_writes_four_files(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaderboard.run(settings(runs, tmp_path / "out", published=True))
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".csv", ".html", ".md", ".tex"]
    printed = capsys.readouterr().out
    assert "protocol davis" in printed
    assert "MAMP †" in printed
    assert {line["run"] for line in csv.DictReader(io.StringIO((tmp_path / "out/leaderboard.csv").read_text()))} == {
        "a/good", "b/poor", "a/small", "",
    }  # fmt: skip


def test_no_records_and_broken_records(runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match=r"no result record .* in .*empty"):
        load(tmp_path / "empty")
    broken = runs / "a/good/results/davis2017-val-davis.json"
    broken.write_text("{")
    assert [each.run for each in load(runs)] == ["a/small", "b/poor"]
    assert [line.partition(":")[0] for line in caplog.messages] == ["left out"]
    assert f"cannot read record {broken}" in caplog.text
    with pytest.raises(ValueError, match=rf"none of 1 result records in {re.escape(str(runs / 'a/good'))} can be read"):
        load(runs / "a/good")


def test_a_folder_that_is_not_there(runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(load(runs, tmp_path / "nowhere")) == len(load(runs))
    assert f"there is no folder {tmp_path / 'nowhere'}" in caplog.text


def test_thousands_of_rows_are_quick() -> None:
    rows = [row(replace(GOOD, method=f"m{number}"), f"run{number}") for number in range(1000)]
    start = time.process_time()  # of this process: others may be at work
    made = boards(rows)
    tables.to_csv(made)
    report.html(made)
    assert time.process_time() - start < 10  # about 2 s


def test_command_line(runs: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    assert command("leaderboard", f"runs={runs}", "baseline=poor", "run=out").status == 0
    assert "Δ baseline" in (tmp_path / "out/leaderboard.md").read_text()


def scored_on(made: Record, annotations: str) -> Record:
    return replace(made, provenance={"hashes": {"annotations": annotations}})


def test_results_on_part_of_a_set_are_marked_and_not_compared() -> None:
    whole, part = row(scored_on(GOOD, "whole"), "whole"), row(scored_on(POOR, "part"), "part")
    with pytest.raises(ValueError, match=r"differ in annotations \(part, whole\): .*mixed=true"):
        board([whole, part])
    assert [len(each.rows) for each in boards([whole, part])] == [1, 1]
    made = board([whole, part], mixed=True)
    assert [each.to_best for each in made.rows] == [None, None]
    assert any("1 result(s) are over other objects, frames or annotations" in note for note in made.notes)
    same = board([whole, row(scored_on(POOR, "whole"), "other")])
    assert same.rows[1].to_best is not None
    assert not any("other objects" in note for note in same.notes)


def with_g(made: Record) -> Record:
    return replace(made, protocol="youtube-vos", scores={"G": 0.99, **made.scores})


def test_a_board_is_ranked_by_a_score_that_all_have() -> None:
    plain = replace(GOOD, protocol="youtube-vos")
    made = board([row(with_g(POOR), "a"), row(plain, "b")])
    assert [each.measure.name for each in made.rows] == ["J&F-Mean", "J&F-Mean"]
    assert [each.run for each in made.rows] == ["b", "a"]


def test_unofficial_protocols_say_so_everywhere() -> None:
    made = board([row(replace(GOOD, protocol="youtube-vos")), row(POOR)], mixed=True)
    for text in (tables.to_csv([made]), tables.to_markdown([made]), report.html([made])):
        assert "youtube-vos (unofficial)" in text
    assert any(note.startswith("youtube-vos (unofficial): the server") for note in made.notes)
    assert "youtube-vos (unofficial)" in board([row(replace(GOOD, protocol="youtube-vos"))]).title


PART: dict[str, int | None] = {"videos": 3, "of": 10, "max_frames": 6}


def test_parts_of_a_set_have_boards_and_titles_of_their_own() -> None:
    part = replace(POOR, subset=PART, inference="short side 240")
    found = {made.rows[0].run: made for made in boards([row(GOOD, "whole"), row(part, "part")])}
    assert found["whole"].title == "davis2017 val, 480p, all frames, protocol davis"
    title = "3 of 10 videos, at most 6 frames, seen at short side 240, protocol davis"
    named = found["part"]
    assert named.title == f"davis2017 val, 480p, all frames, {title}"
    headers, cells = named.cells
    shown = dict(zip(headers, cells[0], strict=True))
    assert "Subset" not in shown  # the title says it
    assert shown["Seen at"] == "short side 240"
    assert f"\\caption{{davis2017 val, 480p, all frames, {title}; scores in percent}}" in to_latex([named])
    (line,) = csv.DictReader(io.StringIO(tables.to_csv([named])))
    assert (line["subset"], line["inference"]) == ("3 of 10 videos, at most 6 frames", "short side 240")
    with pytest.raises(ValueError, match=r"differ in subset \(3 of 10 videos, at most 6 frames, all videos\)"):
        board([row(GOOD), row(part)])
    headers, _ = board([row(GOOD), row(part)], mixed=True).cells
    assert headers[6:8] == ["Subset", "Seen at"]


def test_one_easy_sequence_is_not_ranked_above_the_whole_set() -> None:
    """Their records may agree in all that a title says: the annotations tell them apart."""
    easy = scored_on(replace(GOOD, scores={"J&F-Mean": 0.99}, objects={"bear_1": GOOD.objects["bear_1"]}), "1234567890")
    made = boards([row(easy, "easy"), row(scored_on(POOR, "abcdefghij"), "whole")])
    assert [[each.run for each in one.rows] for one in made] == [["easy"], ["whole"]]
    assert [one.title.rpartition(", ")[2] for one in made] == ["annotations 12345678", "annotations abcdefgh"]


def test_inference_sizes_stand_in_rows_where_they_differ() -> None:
    made = board([row(GOOD, "a"), row(replace(POOR, inference="short side 240"), "b")])
    headers, cells = made.cells
    assert [line[headers.index("Seen at")] for line in cells] == ["–", "short side 240"]
    assert "seen at" not in made.title
    assert any("at different sizes" in note for note in made.notes)


def test_flow_supervision_and_remarks_stand_below_the_table() -> None:
    flow = replace(GOOD, supervision="flow-supervised", remarks=["its masks are of other code."])
    made = board([row(flow, "a"), row(replace(POOR, supervision="self-supervised"), "b")])
    assert made.rows[1].to_best is not None  # they compete: neither learned from masks or labels
    assert any("learned from true flow" in note for note in made.notes)
    assert "good (a): its masks are of other code." in made.notes
    assert names(made.rows, marked=True) == ["good, flow-supervised", "poor"]


def test_a_measure_that_falls_ranks_the_lowest_first() -> None:
    decay = {"J-Decay": 0.2}
    made = board([row(replace(GOOD, scores=decay), "a"), row(replace(POOR, scores={"J-Decay": 0.1}), "b")])
    assert [each.run for each in made.rows] == ["b", "a"]


def test_records_of_protocols_that_are_not_here_are_shown() -> None:
    made = board([row(replace(GOOD, protocol="another"))])
    assert made.title.endswith("protocol another")
    assert "J&amp;F of each method" in report.html([made])
    assert any("is no mean over objects" in note for note in made.notes)


def test_rows_are_called_by_what_tells_them_apart() -> None:
    shipped = replace(GOOD, checkpoint={"name": "good", "sha256": "1"})
    untrained = replace(GOOD, checkpoint="untrained")
    named = replace(GOOD, provenance={"overrides": ["name=wide"]})
    typed = replace(GOOD, provenance={"overrides": ["dataset=x", "method.top_k=9", "workers=0", "seed=1"]})
    rows = [row(each, run) for each, run in zip((shipped, untrained, named, typed, GOOD), "abcde", strict=True)]
    assert names(rows) == [
        "good, shipped", "good, untrained", "good, trained, wide", "good, trained, method.top_k=9", "good, trained"
    ]  # fmt: skip
    assert names([row(GOOD)]) == ["good"]
    assert names([row(GOOD), row(GOOD)]) == ["good #1", "good #2"]


def test_a_file_of_the_hub_is_not_called_shipped() -> None:
    found = [replace(GOOD, checkpoint={"name": name, "sha256": "1"}) for name in ("good", "hf:lab/good/weights@1a2b3c")]
    assert names([row(each, run) for each, run in zip(found, "ab", strict=True)]) == ["good, shipped", "good, trained"]


def test_columns_are_chosen(runs: Path, tmp_path: Path) -> None:
    leaderboard.run(settings(runs, tmp_path / "out", columns=["j&f", "Method"]))
    assert "| J&F | Method |" in (tmp_path / "out/leaderboard.md").read_text()
    with pytest.raises(ValueError, match=r"unknown column 'FSP'"):
        leaderboard.run(settings(runs, tmp_path / "other", columns=["FSP"]))
    assert not (tmp_path / "other").exists()


def test_results_are_chosen(runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    leaderboard.run(settings(runs, tmp_path / "out", where={"method": ["good", "other"], "resolution": "480p"}))
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out/leaderboard.csv").read_text())))
    assert [line["run"] for line in lines] == ["a/good"]
    assert "left out by where: 2 of 3 results" in caplog.text
    with pytest.raises(ValueError, match=r"no result is left by where: method is good, poor"):
        leaderboard.run(settings(runs, tmp_path / "out", where={"method": "best"}))
    with pytest.raises(ValueError, match=r"unknown field 'where\.methd'"):
        leaderboard.run(settings(runs, tmp_path / "out", where={"methd": "best"}))


def test_typed_overrides_choose_results(tmp_path: Path) -> None:
    rows = [row(replace(GOOD, provenance={"overrides": [f"method.top_k={k}"]}), f"{k}") for k in (9, 36)]
    assert [each.run for each in chosen(rows, {"method.top_k": 9})] == ["9"]


def test_several_folders_of_runs(runs: Path, tmp_path: Path) -> None:
    folders = [str(runs / "a"), str(runs / "b"), str(runs)]
    leaderboard.run(replace(settings(runs, tmp_path / "out"), runs=folders))
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out/leaderboard.csv").read_text())))
    assert {line["run"] for line in lines} == {str(runs / name) for name in ("a/good", "a/small", "b/poor")}


def test_a_short_table_fits_a_terminal(runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    leaderboard.run(settings(runs, tmp_path / "out"))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    for part in ("Method", "J&F", "95 %", "FPS", "80.0", "12.35"):
        assert part in printed
    assert "ms p95" not in printed


def test_latex_marks_the_best_and_the_second(tmp_path: Path) -> None:
    third = record("third", [0.1] * 6, scores={"J&F-Mean": 0.1, "J-Mean": 0.1, "F-Mean": 0.1})
    text = to_latex(boards([row(GOOD), row(POOR), row(third)]))
    assert text.count(r"\textbf{80.0}") == 3
    assert text.count(r"\underline{40.0}") == 3
    assert r"\textbf{10.0}" not in text
    assert r"\label{tab:vosbench-" in text
    assert text.count(r"\begin{table}") == 1
    many = [row(replace(GOOD, method=f"m{number}"), f"r{number}") for number in range(90)]
    assert to_latex(boards(many, resamples=20)).count(r"\begin{table}") == 3


def test_speeds_of_several_devices_have_columns_of_their_own() -> None:
    quick = replace(
        POOR, speed={"fps": 50.0, "device": "NVIDIA H200", "peak_memory_mb": 900.0, "peak_memory_kind": "cuda"}
    )
    headers, cells = board([row(GOOD), row(quick, "b")]).cells
    assert [header for header in headers if header.startswith(("FPS", "GPU"))] == [
        "FPS (NVIDIA H200)", "FPS (cpu)", "GPU MB (NVIDIA H200)"
    ]  # fmt: skip
    good = dict(zip(headers, cells[0], strict=True))
    assert (good["FPS (NVIDIA H200)"], good["FPS (cpu)"]) == ("–", "12.35")
    assert "GPU MB" not in board([row(GOOD)]).cells[0]  # of a process, with all that it imports
