"""Sweeps with rows: the tables of the papers, and files of one's own."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vosbench.cli import configuration, places, sweep
from vosbench.util.errors import UsageError

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
    assert {job.verb for job in found} == {"benchmark"}
    return [job.words for job in found]


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
    "features_settings": ("benchmark", ["backbone=resnet"]),
    "features_trio": ("benchmark", ["method=features", "propagation=crw"]),
    "mamp/every_fifth": ("benchmark", []),
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
    "munet/every_fifth": ("benchmark", []),
    "munet/table4": ("train", []),
    "seeds": ("train", []),
}


def test_every_sweep_is_tried() -> None:
    assert sorted(TABLES) == sorted(configuration.groups(configuration.compose("train"))["sweep"])


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_rows_compose_and_have_run_folders_of_their_own(table: str) -> None:
    verb, typed = TABLES[table]
    rows = sweep.jobs(verb, [f"sweep={table}", *typed], multirun=False)
    assert rows is not None
    values = [configuration.resolve(configuration.compose(*row)) for row in rows]
    assert len({value["run"] for value in values}) == len(rows) > 1


def test_stages_of_a_table_start_from_each_other() -> None:
    """Rows with the segmentation loss start from the run of the row with the same loss alone, whatever is typed."""
    typed = ["sweep=mask_embedding/table4f", "seed=3", "method.widths=[8,8]"]
    rows = sweep.jobs("train", typed, multirun=False)
    assert rows is not None
    runs = [configuration.resolve(configuration.compose(*row)) for row in rows]
    alone, full = runs[:3], runs[3:]
    assert [Path(run["run"]).relative_to(Path.cwd()).as_posix() for run in alone] == [run["init"] for run in full]
    assert all("/method.widths-8-8+seed-3-" in run["run"] for run in alone)


def test_tables_share_the_runs_that_they_have_in_common() -> None:
    """The whole method is trained once for both tables, and once for its own command."""
    a, f = (sweep.jobs("train", [f"sweep=mask_embedding/table4{x}"], multirun=False) or [] for x in "af")
    assert [job.words for job in a if job in f] == [
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
    places.placed(found)


def test_names_of_swept_files_give_safe_folders_of_their_own(run_name: Callable[..., str]) -> None:
    values = ["a/b", "a b", "a,b", "a-b", "../x", "x" * 300, "x" * 301, "caf\udce9"]
    names = [run_name("evaluate", f"predictions={value}") for value in values]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w.+-]{1,89}", name) for name in names)


TRAINED = """
train: [experiment=mask_embedding/mini]
benchmark: [method=mask_embedding_small, correspondence=contrastive]
params: {optimizer.lr: "0.5,0.9"}
rows:
  a: {train: [method.correspondence.long=0], benchmark: [method.decode=false]}
  b: []
scales:
  tiny:
    before: [experiment=mask_embedding/mini, trainer.max_steps=1]
    train: [experiment=mask_embedding/mini, trainer.max_steps=2]
    params: {optimizer.lr: "0.7"}
    rows: {b: [method.correspondence.short=0]}
"""


def test_rows_that_are_trained_before_they_are_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, TRAINED, monkeypatch)
    found = sweep.jobs("benchmark", ["sweep=mine/table", "row=a", "seed=3", "trainer.devices=1", "pictures=0"], False)
    assert found is not None
    train, score, *others = found
    assert train.verb == "train"
    assert train.words == [
        *("experiment=mask_embedding/mini", "method.correspondence.long=0", "optimizer.lr=0.5", "seed=3"),
        "trainer.devices=1",
    ]
    assert score.verb == "benchmark"
    run = configuration.run_folder(configuration.compose(*train))
    assert run is not None
    checkpoint = f"checkpoint={run.relative_to(Path.cwd())}"
    assert score.words == [
        *("method=mask_embedding_small", "correspondence=contrastive", "method.decode=false", "seed=3", "pictures=0"),
        checkpoint,
    ]
    assert [each.verb for each in others] == ["train", "benchmark"]
    first, second = places.waves(places.placed(found))
    assert ({job.verb for job in first}, {job.verb for job in second}) == ({"train"}, {"benchmark"})


def test_a_wrong_word_is_found_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, TRAINED, monkeypatch)
    for word in ("pictuers=0", "trainer.max_stepz=3"):
        with pytest.raises(UsageError, match=f"unknown key '{word.partition('=')[0]}'"):
            sweep.jobs("benchmark", ["sweep=mine/table", word], multirun=False)
    with pytest.raises(UsageError, match=r"unknown key 'trainer\.max_stepz'"):
        sweep.jobs("train", ["sweep=mine/table", "trainer.max_stepz=3"], multirun=False)


def test_keys_of_the_recipe_that_a_table_chooses_may_be_typed() -> None:
    word = "data.sources.davis2016.dataset.max_frames=16"
    found = sweep.jobs("train", ["sweep=mask_embedding/table4d", "scale=mini", word], multirun=False)
    assert found is not None
    assert len(found) == 7
    assert all(word in job.words for job in found)


def test_training_alone_and_weights_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, TRAINED, monkeypatch)
    found = sweep.jobs("train", ["sweep=mine/table"], multirun=False)
    assert found is not None
    assert [each.verb for each in found] == ["train"] * 4
    found = sweep.jobs("benchmark", ["sweep=mine/table", "row=a", "checkpoint=x.ckpt"], multirun=False)
    assert found is not None
    assert {each.verb for each in found} == {"benchmark"}


def test_another_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, TRAINED, monkeypatch)
    found = sweep.jobs("benchmark", ["sweep=mine/table", "scale=tiny", "seed=0,1"], multirun=False)
    assert found is not None
    before, train, score, *_ = found
    assert before.words == ["experiment=mask_embedding/mini", "trainer.max_steps=1", "seed=0"]
    assert "trainer.max_steps=2" in train.words
    assert "optimizer.lr=0.7" in train.words
    assert not any(word.startswith("optimizer") for word in (*before.words, *score.words))
    assert [each.verb for each in found].count("train") == 2 + 4  # two seeds: what comes before, and two rows
    with pytest.raises(UsageError, match=r"unknown scale 'small'; there is: tiny"):
        sweep.jobs("benchmark", ["sweep=mine/table", "scale=small"], multirun=False)


MINI = [table for table in TABLES if "table" in table and "small" not in table]


@pytest.mark.slow
@pytest.mark.parametrize("table", MINI)
def test_every_table_has_a_small_scale_that_composes(table: str) -> None:
    found = sweep.jobs("benchmark", [f"sweep={table}", "scale=mini"], multirun=False)
    assert found is not None
    values = [configuration.resolve(configuration.compose(*job)) for job in found]
    assert len({value["run"] for value in values}) == len(found) > 2
    scored = [value for job, value in zip(found, values, strict=True) if job.verb == "benchmark"]
    assert {value["dataset"]["name"] for value in scored} == {"davis2016_mini"}
    for value in scored:
        assert value["checkpoint"] in ("mamp", "mask_embedding_small") or any(
            value["checkpoint"] == str(Path(other["run"]).relative_to(Path.cwd())) for other in values
        )
