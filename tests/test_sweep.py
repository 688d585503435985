"""Sweeps with rows: the tables of the papers, and files of one's own."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vosbench.cli import configuration, places, sweep

TABLE = """
params: {memory: "stm,previous"}
rows:
  a: [method.top_k=1, "memory.long=[]"]
  b: []
"""


def own(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `sweep=mine/table` of a text."""
    (tmp_path / "sweep" / "mine").mkdir(parents=True)
    (tmp_path / "sweep" / "mine" / "table.yaml").write_text(text)
    monkeypatch.setattr(configuration, "_folders", [str(tmp_path)])


def jobs(*typed: str) -> list[list[str]]:
    found = sweep.jobs("benchmark", typed, multirun=False)
    assert found is not None
    return found


def test_a_job_for_each_row_and_combination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, TABLE, monkeypatch)
    a, memories = ["method.top_k=1", "memory.long=[]"], (["memory=stm"], ["memory=previous"])
    assert jobs("sweep=mine/table") == [*(a + memory for memory in memories), *memories]
    assert jobs("sweep=mine/table", "memory=mamp", "seed=1,2") == [
        [*row, "memory=mamp", f"seed={seed}"] for row in (a, []) for seed in (1, 2)
    ]


def test_what_is_typed_replaces_a_rows_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, TABLE, monkeypatch)
    assert jobs("sweep=mine/table", "method.top_k=5", "memory=stm") == [
        ["memory.long=[]", "method.top_k=5", "memory=stm"],
        ["method.top_k=5", "memory=stm"],
    ]


def test_rows_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, TABLE, monkeypatch)
    assert jobs("sweep=mine/table", "row=b", "memory=mamp") == [["memory=mamp"]]
    assert jobs("sweep=mine/table", "row=b,a", "memory=mamp") == [
        ["memory=mamp"],
        ["method.top_k=1", "memory.long=[]", "memory=mamp"],
    ]


@pytest.mark.parametrize(
    ("text", "typed", "parts"),
    [
        (TABLE, "row=c", ["unknown row 'c'", "a, b"]),
        ("params: {seed: '0,1'}", "row=a", ["unknown row 'a'", "there is none"]),
        ("rowz: {a: []}", "seed=1", ["unknown key 'sweep.rowz'", "did you mean 'sweep.rows'?"]),
        ("rows: [seed=1]", "seed=1", ["sweep.rows=['seed=1']", "give keys and values"]),
        ("rows: {a: seed=1}", "seed=1", ["sweep.rows.a", "a: [key=value"]),
    ],
)
def test_wrong_rows_are_one_line(
    command: Callable[..., Any], tmp_path: Path, text: str, typed: str, parts: list[str]
) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text(text)
    done = command("benchmark", "--config-dir", str(tmp_path), "sweep=mine", typed)
    done.error(2, *parts)
    assert done.err.count("\n") == 1


def test_a_row_alone_is_an_unknown_key(command: Callable[..., Any]) -> None:
    command("benchmark", "row=a").error(2, "unknown key 'row'")


def test_files_with_hydras_own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {memory: 'stm,mamp'}}}\n"
    own(tmp_path, text, monkeypatch)
    assert jobs("sweep=mine/table", "seed=1") == [["memory=stm", "seed=1"], ["memory=mamp", "seed=1"]]


TABLES = {
    "mamp/table3": ("benchmark", []),
    "mamp/table4": ("benchmark", []),
    "mamp/table6": ("benchmark", []),
    "mask_embedding/small_table4f": ("train", []),
    "mask_embedding/table4a": ("train", []),
    "mask_embedding/table4b": ("benchmark", ["method=mask_embedding"]),
    "mask_embedding/table4c": ("train", ["experiment=mask_embedding/paper"]),
    "mask_embedding/table4d": ("train", ["experiment=mask_embedding/paper"]),
    "mask_embedding/table4e": ("benchmark", ["method=mask_embedding"]),
    "mask_embedding/table4f": ("train", []),
    "munet/table4": ("train", []),
    "seeds": ("train", []),
}


def test_every_sweep_is_tried() -> None:
    assert sorted(TABLES) == sorted(configuration.groups(configuration.compose("train"))["sweep"])


@pytest.mark.parametrize("table", TABLES)
def test_rows_compose_and_have_run_folders_of_their_own(table: str) -> None:
    verb, typed = TABLES[table]
    rows = sweep.jobs(verb, [f"sweep={table}", *typed], multirun=False)
    assert rows is not None
    values = [configuration.resolve(configuration.compose(verb, row)) for row in rows]
    assert len({value["run"] for value in values}) == len(rows) > 1


def test_stages_of_a_table_start_from_each_other() -> None:
    """Rows with the segmentation loss start from the run of the row with the same loss alone, whatever is typed."""
    typed = ["sweep=mask_embedding/table4f", "seed=3", "method.widths=[8,8]"]
    rows = sweep.jobs("train", typed, multirun=False)
    assert rows is not None
    runs = [configuration.resolve(configuration.compose("train", row)) for row in rows]
    alone, full = runs[:3], runs[3:]
    assert [Path(run["run"]).relative_to(Path.cwd()).as_posix() for run in alone] == [run["init"] for run in full]
    assert all("/method.widths-8-8+seed-3-" in run["run"] for run in alone)


def test_tables_share_the_runs_that_they_have_in_common() -> None:
    """The whole method is trained once for both tables, and once for its own command."""
    a, f = (sweep.jobs("train", [f"sweep=mask_embedding/table4{x}"], multirun=False) or [] for x in "af")
    assert [job for job in a if job in f] == [
        ["experiment=mask_embedding/correspondence"],
        ["experiment=mask_embedding/paper"],
    ]


@pytest.mark.parametrize(
    ("verb", "typed", "parts"),
    [
        ("evaluate", ["cache=a,b", "predictions=x"], ["cache", "name= of its own"]),
        ("evaluate", ["predictions=a,b", "hydra.run.dir=here"], ["predictions", "leave out hydra.run.dir"]),
        ("benchmark", ["checkpoint=none,mamp", "name=one"], ["checkpoint", "leave out name"]),
        ("benchmark", ["dataset.root=a,b"], ["dataset.root"]),
        ("predict", ["seed=0,1", "output=there"], ["seed", "leave out output"]),
        ("predict", ["input=a/clip.mp4,b/clip.mov", "mask=x.png"], ["input"]),
        ("predict", ["input=x.mp4", "mask=a,b"], ["mask"]),
        ("train", ["data=collage", "trainer.devices=1,2"], ["trainer.devices"]),
    ],
)
def test_jobs_that_would_meet_are_refused(
    command: Callable[..., Any], verb: str, typed: list[str], parts: list[str]
) -> None:
    done = command(verb, "-m", *typed)
    done.error(2, *parts)
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("verb", "typed"),
    [
        ("evaluate", ["predictions=a,b"]),
        ("evaluate", ["dataset=davis2016,davis2017", "protocol=davis,vos-benchmark", "name=x"]),
        ("benchmark", ["checkpoint=none,mamp"]),
        ("benchmark", ["dataset.split=train,val"]),
        ("predict", ["input=a.mp4,b.mp4", "mask=x.png", "output=there"]),
        ("prepare", ["size=128,256", "output=there"]),
        ("draw", ["kinds=[clusters],[insides]"]),
        ("check", ["stride=8,16"]),
        ("evaluate", ["predictions=a,a"]),
        ("evaluate", ["dataset=wrong,missing"]),
    ],
)
def test_jobs_that_do_not_meet(verb: str, typed: list[str]) -> None:
    found = sweep.jobs(verb, typed, multirun=True)
    assert found is not None
    places.placed(verb, found)


def test_names_of_swept_files_give_safe_folders_of_their_own(run_name: Callable[..., str]) -> None:
    values = ["a/b", "a b", "a,b", "a-b", "../x", "x" * 300, "x" * 301, "caf\udce9"]
    names = [run_name("evaluate", f"predictions={value}") for value in values]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w.+-]{1,89}", name) for name in names)
