"""The papers' tables as data: complete, printed as in the papers, and consistent but for the listed misprints."""

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import OmegaConf

from vosbench.evaluation.board import published_sheet
from vosbench.evaluation.published.printing import cells
from vosbench.evaluation.published.schema import Row, Table
from vosbench.evaluation.published.tables import number, table, tables, training_data
from vosbench.util.errors import UserError

ROOT = Path(__file__).parents[1]
ROUNDING = 0.05 + 1e-6  # of a number with one decimal
ROWS = {
    "mamp_1": 18,
    "mamp_2": 12,
    "mamp_3": 4,
    "mamp_4": 3,
    "mamp_6": 4,
    "mamp_7": 4,
    "munet_2": 35,
    "munet_3": 23,
    "munet_4": 7,
    "mask_embedding_1": 21,
    "mask_embedding_2": 9,
    "mask_embedding_3": 11,
    "mask_embedding_4a": 5,
    "mask_embedding_4b": 5,
    "mask_embedding_4c": 5,
    "mask_embedding_4d": 6,
    "mask_embedding_4e": 6,
    "mask_embedding_4f": 6,
    "mask_embedding_s1": 6,
    "mask_embedding_s2": 6,
    "features_1": 10,
    "features_2": 2,
    "features_3": 8,
    "features_4": 1,
    "features_5": 5,
    "features_6": 6,
    "features_7": 10,
    "features_8": 2,
}
# Printed numbers that the other numbers of their row contradict: table, system, score, what they give.
MISPRINTS = {
    ("mamp_1", "Colorization", "J&F-Mean", 33.65),
    ("mamp_1", "TimeCycle", "J&F-Mean", 48.2),
    ("mamp_2", "S2S", "G", 64.425),
    ("mamp_7", "MAST", "gap", -0.15),
    ("munet_3", "DMM-Net", "G", 54.725),
    ("munet_3", "FRTM", "G", 74.7),
    ("mask_embedding_1", "Colorization", "J&F-Mean", 33.65),
    ("mask_embedding_1", "TimeCycle", "J&F-Mean", 48.2),
    ("mask_embedding_3", "STM", "G", 79.575),
}
# Off by at most 0.1, which numbers that were rounded or cut off before they were averaged may be.
ROUNDED = {
    ("mamp_2", "MAMP", "G", 68.275),
    ("mamp_7", "Colorization", "G", 38.9),
    ("munet_2", "MUNet (1)", "J&F-Mean", 75.1),
    ("munet_2", "GMVOS", "J&F-Mean", 82.7),
}
# A number in another column than those of its kind.
MISPLACED = {("munet_3", "RGMP")}
# A change that the numbers do not give: it is -9.14 %.
CHANGES = {("mask_embedding_4e", "round5", "1.69 (-9.2%)")}
# Systems of which two papers print different numbers.
DISAGREEMENTS = {
    ("UVC", "mamp_1", "mask_embedding_1"),  # trained on Kinetics, or on COCO, too
    ("MuG", "mamp_1", "mask_embedding_1"),  # ResNet-50, or ResNet-18
    ("S2S", "mamp_2", "munet_3"),  # a misprint
    ("STM", "mamp_2", "mask_embedding_3"),  # a misprint of the latter
    ("STM", "munet_3", "mask_embedding_3"),
}


def loaded(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))


def scored() -> Iterator[tuple[Table, Row, dict[str, float]]]:
    for each in tables():
        for row in each.rows:
            yield from ((each, row, scores) for scores in row.scores.values() if scores)


def mean(scores: dict[str, float], *names: str) -> float:
    found = [scores[name] for name in names if name in scores]
    return sum(found) / len(found)


def derived(scores: dict[str, float]) -> dict[str, float]:
    """The scores that follow from others of the row, in percent."""
    found = {}
    if {"J-Mean", "F-Mean"} <= scores.keys():
        found["J&F-Mean"] = mean(scores, "J-Mean", "F-Mean")
    if {"J_seen", "F_seen", "J_unseen", "F_unseen"} <= scores.keys():
        found["G"] = mean(scores, "J_seen", "F_seen", "J_unseen", "F_unseen")
    if "gap" in scores:
        found["gap"] = mean(scores, "J_seen", "F_seen") - mean(scores, "J_unseen", "F_unseen")
    return found


def test_every_table_is_complete() -> None:
    assert {each.name: len(each.rows) for each in tables()} == ROWS
    for each, row, scores in scored():
        (dataset,) = (name for name, of in row.scores.items() if of is scores)
        names = [column.field for column in each.columns if column.dataset == dataset]
        printed = [cell for cell, column in zip(row.printed, each.columns, strict=True) if column.dataset == dataset]
        assert set(scores) == {name for name, cell in zip(names, printed, strict=True) if cell != "-"}, row


def test_numbers_follow_from_each_other_but_for_the_misprints() -> None:
    found = {
        (each.name, row.key or row.system, name, round(value, 3))
        for each, row, scores in scored()
        for name, value in derived(scores).items()
        if abs(value - scores[name]) > ROUNDING
    }
    assert found == MISPRINTS | ROUNDED
    assert all(_error(*each) > 0.1 + 1e-6 for each in MISPRINTS)
    assert all(_error(*each) < 0.1 + 1e-6 for each in ROUNDED)


def _error(name: str, system: str, score: str, value: float) -> float:
    (printed,) = (scores[score] for row in table(name).rows if row.system == system for scores in row.scores.values())
    return abs(printed - value)


def test_both_categories_have_the_same_measures() -> None:
    found = {
        (each.name, row.system)
        for each, row, scores in scored()
        if len({frozenset(name[0] for name in scores if name.endswith(end)) for end in ("_seen", "_unseen")}) > 1
    }
    assert found == MISPLACED


def test_odd_numbers_have_notes() -> None:
    noted = {(each.name, row.key or row.system) for each in tables() for row in each.rows if row.note}
    assert noted == {(name, system) for name, system, *_ in (*MISPRINTS, *ROUNDED, *MISPLACED, *CHANGES)}


def test_papers_agree_but_for_what_is_listed() -> None:
    results = [each for each in tables() if not each.sweep]
    pairs = [(a, b) for a, b in combinations(results, 2) if _place(a) == _place(b)]
    found = {
        (system, a.name, b.name)
        for a, b in pairs
        for system in {row.system for row in a.rows} & {row.system for row in b.rows}
        if not any(_agree(x, y) for x in a.rows for y in b.rows if x.system == y.system == system)
    }
    assert len(pairs) == 28
    assert found == DISAGREEMENTS


def _place(of: Table) -> list[tuple[str, str]]:
    return [(where.dataset, where.split) for where in of.results]


def _agree(one: Row, other: Row) -> bool:
    (dataset,) = one.scores
    a, b = one.scores[dataset], other.scores[dataset]
    return all(a[name] == b[name] for name in a.keys() & b.keys())


def test_printed_differences() -> None:
    found = {
        (each.name, row.key, text)
        for each in tables()
        for place in range(len(each.columns))
        for row, text, change in _changes(each, place)
        if abs(change) > ROUNDING
    }
    assert found == CHANGES
    first, *others = table("munet_4").rows
    for row in others:
        difference = row.scores["davis2017"]["J&F-Mean"] - first.scores["davis2017"]["J&F-Mean"]
        assert number(row.printed[-1]) == pytest.approx(difference)


def _changes(of: Table, place: int) -> Iterator[tuple[Row, str, float]]:
    """Cells that also print the change from the first row (table 4f: the row before), and by how much it is wrong."""
    lines = [row.printed[place] for row in of.rows]
    for line, (row, text) in enumerate(zip(of.rows, lines, strict=True)):
        if found := re.fullmatch(r"([\d.]+) \(?([+-][\d.]+)(%?)\)?", text):
            before = number(lines[line - 1 if of.name == "mask_embedding_4f" else 0]) or 0.0
            change = float(found[1]) - before
            yield row, text, float(found[2]) - (100 * change / before if found[3] else change)


def test_ablations_say_which_rows_of_our_sweeps_they_are() -> None:
    for each in tables():
        keys = [row.key for row in each.rows]
        assert all(keys) == bool(each.sweep)
        assert not each.sweep or len(set(keys)) == len(keys)
        assert all(bool(row.ours) == bool(each.sweep) for row in each.rows), "every row of an ablation can be made"
        sweep = loaded(ROOT / "conf/sweep" / f"{each.sweep}.yaml") if each.sweep else {}
        for key, value in (override for row in each.rows for override in row.ours.items()):
            known = sweep["rows"] if key == "row" else str(sweep["params"][key]).split(",")
            assert value in known, (each.name, key)


def test_table_3_of_mamp_is_printed_as_it_stands() -> None:
    headers, rows = cells(table("mamp_3"))
    assert headers == ["M", "A", "DAVIS-2017 J&F", "DAVIS-2017 J", "DAVIS-2017 F", "YouTube-VOS J&F"]
    assert rows == [
        ["", "", "65.8", "63.6", "68.0", "61.8"],
        ["✓", "", "68.9 +3.1", "66.9 +3.3", "70.9 +2.9", "68.2 +6.4"],
        ["", "✓", "67.4 +1.6", "65.9 +2.3", "68.9 +0.9", "61.8 +0.0"],
        ["✓", "✓", "69.7 +3.9", "68.3 +4.7", "71.2 +3.2", "68.2 +6.4"],
    ]
    text = published_sheet.of(table("mamp_3")).markdown()
    assert "|  | ✓ | 67.4 +1.6 | 65.9 +2.3 | 68.9 +0.9 | 61.8 +0.0 |" in text
    assert "- Miao et al." in text


def test_systems_are_columns_where_the_paper_has_them_so() -> None:
    headers, rows = cells(table("mask_embedding_s1"))
    assert headers == ["Method", "TimeCycle", "CRW", "CLTC", "VFS", "LIIR", "Ours"]
    assert rows == [["mIoU", "28.9", "38.6", "37.8", "39.9", "41.2", "42.9"]]
    assert "- S2S: its printed J and F average 64.4." in published_sheet.of(table("mamp_2")).markdown()


def test_facts_are_read_from_cells() -> None:
    stm = next(row for row in table("mask_embedding_1").rows if row.system == "STM")
    assert (stm.year, stm.backbone, stm.supervision) == (2019, "ResNet-50", "supervised")
    assert stm.training_data == "imagenet + davis2017 + youtube_vos"
    rpm_net = next(row for row in table("mamp_1").rows if row.system == "RPM-Net")
    assert (rpm_net.year, rpm_net.parameters, rpm_net.hours) == (2020, 43_000_000, 5.67)
    assert (rpm_net.training_data, rpm_net.supervision) == ("davis2017 + youtube_vos", "self-supervised")
    assert {row.hours for row in table("mask_embedding_1").rows if row.system == "ConCorr"} == {300}
    assert [row.fps for row in table("mask_embedding_4e").rows] == [1.86, 1.84, 1.80, 1.77, 1.73, 1.69]
    assert [row.minutes_per_epoch for row in table("mask_embedding_s2").rows][2:4] == [223.8, 239.9]


@pytest.mark.parametrize("path", sorted((ROOT / "evaluation/published").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_letter_for_training_data_is_known(path: Path) -> None:
    legend = {name: name for name in loaded(path)["legend"]}
    found = [text for each in tables() if each.name.startswith(path.stem) for text in _data(each)]
    assert found
    for text in found:
        known = training_data(text, legend) or ""
        assert known.replace(" + ", "") == re.sub(r"\(.*, .*\)$", "", text).replace("+", "")


def _data(of: Table) -> list[str]:
    places = [place for place, column in enumerate(of.columns) if column.field == "training_data"]
    return [row.printed[place] for row in of.rows for place in places]


@pytest.mark.parametrize(("cell", "value"), [("75", 75.0), ("75.0 +1", 75.0), ("-1.2", -1.2), ("-", None), ("", None)])
def test_whole_numbers_are_numbers_and_dashes_are_not(cell: str, value: float | None) -> None:
    assert number(cell) == value


@pytest.mark.parametrize("name", ["mamp_1", "mask_embedding_1"])
@pytest.mark.parametrize("room", [60, 80, 200])
def test_printed_tables_break_no_words(name: str, room: int, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room, columns are left out, and said to be; texts first."""
    monkeypatch.setenv("COLUMNS", str(room))
    sheet = published_sheet.of(table(name))
    sheet.show()
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= room
    assert {"ResNet-101", "TimeCycle"} & set(shown.split()) or room == 60
    assert ("Too narrow for" in shown) == (room < 200)
    assert shown.count("69.7") == sum(row.count("69.7") for row in sheet.rows)


def test_unknown_tables() -> None:
    with pytest.raises(UserError, match=r"unknown table 'mamp_5' \(did you mean 'mamp_.'\?\); there is: .*munet_4"):
        table("mamp_5")
