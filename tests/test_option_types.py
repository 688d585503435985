"""Values of the wrong type, as a user types them: one line that names key, value and what is wanted; no work begins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, Literal, Optional, Required, TypedDict

import pytest

from vosbench.cli import configuration
from vosbench.settings.option_types import fit
from vosbench.settings.options import Keywords, Positive, Share
from vosbench.util.errors import UsageError

Command = Callable[..., Any]
WRONG = {
    "check workers=two": "workers=two: give a whole number",
    "check workers=2.5": "workers=2.5: give a whole number",
    "check workers=true": "workers=true: give a whole number",
    "check workers=null": "workers=null: give a whole number",
    "check ~workers": "workers=null: give a whole number",
    "check workers=[1,2]": "workers=[1,2]: give a whole number",
    "check workers=-1": "workers=-1: give 0 or more",
    "evaluate pictures=many": "pictures=many: give a whole number",
    "benchmark pictures=-1": "pictures=-1: give 0 or more",
    "leaderboard resamples=-5": "resamples=-5: give 1 or more",
    "demo steps=-1": "steps=-1: give 1 or more",
    "demo baselines=mamp": "baselines=mamp: give a list such as [a,b]",
    "predict fps=-0.5": "fps=-0.5: give more than 0",
    "predict fps=fast": "fps=fast: give a number or null",
    "predict inference=3": "inference=3: give one of its options: "
    "cells, halved, long_side, mamp_ytvos_released, munet_narrow, munet_small, rounded_down, short_side, square, "
    "stretched",
    "train logger=null": "logger=null: give one of its options, or leave the group out with ~logger: "
    "csv, mlflow, tensorboard, wandb",
    "predict flow=1.5": "flow=1.5: give one of its options: dis, none, raft_large, raft_small",
    "evaluate overwrite=maybe": "overwrite=maybe: give true or false",
    "evaluate overwrite=1": "overwrite=1: give true or false",
    "evaluate training_data=[a,b]": "training_data=[a,b]: give text or null",
    "evaluate method_name=null": "method_name=null: give text",
    "evaluate dataset.frames=some": "dataset.frames=some: give all or annotated",
    "evaluate dataset=vip dataset.frames=some": "dataset.frames=some: give all or annotated",
    "evaluate dataset=youtube_vos dataset.frames=null": "dataset.frames=null: give all or annotated",
    "check dataset=video_folder dataset.root=x dataset.frames=6fps": "dataset.frames=6fps: give all or annotated",
    "check dataset=collage dataset.length=all": "dataset.length=all: give a whole number",
    "check dataset=collage dataset.frames=24": (
        "dataset.frames=24: give all or annotated; the length of a collage's videos is dataset.length"
    ),
    "train data.validation.frames=8": (
        "data.validation.frames=8: give all or annotated; the length of a collage's videos is data.validation.length"
    ),
    "check dataset=collage dataset.size=[64,x]": "dataset.size[1]=x: give a whole number",
    "check dataset.sequences=bear": "dataset.sequences=bear: give a list such as [a,b] or null",
    "check dataset.max_frames=two": "dataset.max_frames=two: give a whole number or null",
    "check dataset.late_objects=maybe": "dataset.late_objects=maybe: give true or false",
    "check dataset.protocol={a:1}": "dataset.protocol={a:1}: give text",
    "train data.sources.collage.dataset.seed=x": "data.sources.collage.dataset.seed=x: give a whole number",
    "benchmark method.matching=best": "method.matching=best: give flow or none or mast",
    "train trainer.max_steps=ten": "trainer.max_steps=ten: give a whole number",
    "train trainer.max_steps=1.5": "trainer.max_steps=1.5: give a whole number",
    "train trainer.max_steps=0": "trainer.max_steps=0: give 1 or more",
    "train trainer.val_check_interval=0": "trainer.val_check_interval=0: give 1 or more",
    "train trainer.gradient_clip_val=hard": "trainer.gradient_clip_val=hard: give a number or null",
    "train +trainer.fast_dev_run=maybe": "trainer.fast_dev_run=maybe: give a whole number or true or false",
    "train optimizer.lr=abc": "optimizer.lr=abc: give a number",
    "train optimizer.betas=[0.9]": "optimizer.betas=[0.9]: give a list of 2",
    "train schedule.samples=[-1]": "schedule.samples[0]=-1: give 0 or more",
    "train schedule.factor=0": "schedule.factor=0: give more than 0",
    "train data.workers=two": "data.workers=two: give a whole number",
    "train data.workers=-1": "data.workers=-1: give 0 or more",
    "train ~data.workers": "data.workers=null: give a whole number",
    "train data.batch_size=0": "data.batch_size=0: give 1 or more",
    "train data.clips.mode=best": "data.clips.mode=best: give resize or crop",
    "train data.sources.collage.repeat=0": "data.sources.collage.repeat=0: give 1 or more",
    "train seed=-1": "seed=-1: give 0 to 4294967295",
    "train seed=99999999999": "seed=99999999999: give 0 to 4294967295",
    "train method=copy_first": "this method has nothing to train: choose another, such as method=mamp",
    "train method=flow_warp": "this method has nothing to train: choose another, such as method=mamp",
    "demo methods.mamp_small=[1,[]]": "methods.mamp_small[1]=[]: give text",
    "benchmark memory.recent=[1,soon]": "memory.recent[1]=soon: give a whole number",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_value_of_the_wrong_type(command: Command, line: str) -> None:
    done = command(*line.split())
    done.error(2)
    assert done.err == f"vosbench: error: {WRONG[line]}\n"
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        ("method_name=123", "method_name", "123"),
        ("method_name=true", "method_name", "true"),
        ("method_name=0.5", "method_name", "0.5"),
        ("method_name='null'", "method_name", "null"),
        ("cache=2024", "cache", "2024"),
        ("cache=null", "cache", None),
        ("workers=0", "workers", 0),
        ("overwrite=true", "overwrite", True),
        ("workers=1e1", "workers", 10),
        ("workers=3.0", "workers", 3),
    ],
)
def test_text_may_look_like_a_number(typed: str, key: str, value: object) -> None:
    found = getattr(made("evaluate", typed), key)
    assert (found, type(found)) == (value, type(value))


def test_numbers_with_an_exponent_are_whole_numbers_inside_too() -> None:
    trainer = made("train", "trainer.max_steps=1e3").trainer
    assert (trainer["max_steps"], type(trainer["max_steps"])) == (1000, int)


def test_what_the_command_removes_is_null() -> None:
    assert made("train", "~logger").logger is None


@dataclass(frozen=True, kw_only=True)
class Options:
    """Those of a task."""

    steps: Positive = 1
    rate: float = 0.5
    on: bool = False


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps=0: give 1 or more"),
        ({"steps": "x"}, "steps=x: give a whole number"),
        ({"rate": -0.1}, "rate=-0.1: give 0 or more"),
    ],
)
def test_numbers_have_a_least_value(values: dict[str, Any], message: str) -> None:
    module = ModuleType("task")
    module.Options = Options  # type: ignore[attr-defined]
    least = {"steps": 1, "rate": 0, "on": False}
    assert configuration.options(module, least) == Options(steps=1, rate=0)
    with pytest.raises(UsageError, match=f"^{message}$"):
        configuration.options(module, least | values)


def made(verb: str, *typed: str) -> Any:
    """The Options of a command."""
    return configuration.options(
        configuration.task(verb), configuration.resolve(configuration.compose(verb, list(typed)))
    )


def test_numbers_name_data_sets_and_sequences(command: Command, davis: Path) -> None:
    for kind in ("JPEGImages", "Annotations"):
        (davis / kind / "480p/a").rename(davis / kind / "480p/12")
    arguments = ("check", "dataset=davis2017", f"dataset.root={davis}", "dataset.split=null", "workers=0")
    done = command(*arguments, "dataset.name=2017", "dataset.sequences=[12]")
    assert (done.status, done.out.splitlines()[0]) == (0, "2017 all, resolution 480p")
    assert "  videos     1\n" in done.out


class Thing:
    """Takes of everything."""

    def __init__(
        self,
        rate: float = 1,
        year: int | str = 2016,
        pair: tuple[int, int] = (1, 2),
        many: tuple[int, ...] = (),
        mode: Optional[Literal["a", "b"]] = None,  # noqa: UP045
        other: SimpleNamespace | None = None,
        weight: float | SimpleNamespace = 1,
        share: Share | None = None,
        counts: Sequence[Positive] = (),
        table: dict[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        raise NotImplementedError


@dataclass
class Unknowable:
    """What cannot be evaluated is not judged."""

    size: "int | NotThere"  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    "values",
    [
        {"rate": 1},
        {"rate": 1.5},
        {"year": 2016},
        {"year": "2016"},
        {"pair": [1, 2]},
        {"many": [1, 2, 3]},
        {"mode": "a"},
        {"mode": None},
        {"other": "judged by nobody"},
        {"other": {"_target_": "there.is.None", "x": 1}},
        {"other": {"_target_": 3}},
        {"rate": {"_target_": "math.sqrt", "_args_": [2]}},
        {"table": {"a": [1, {"b": None}]}},
        {"weight": {"_target_": "there.is.None"}},
        {"share": 0, "counts": [1, 2]},
        {"share": None},
        {"unheard_of": [object]},
    ],
)
def test_what_fits_stays_as_it_is(values: dict[str, Any]) -> None:
    assert fit(values, Thing) == values
    assert fit({"size": "big", **values}, Unknowable) == {"size": "big", **values}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": True}, "at.rate=true: give a number"),
        ({"rate": "1"}, "at.rate=1: give a number"),
        ({"year": None}, "at.year=null: give a whole number or text"),
        ({"pair": 3}, r"at.pair=3: give a list such as \[a,b\]"),
        ({"many": [1, "x"]}, r"at.many\[1\]=x: give a whole number"),
        ({"mode": "c"}, "at.mode=c: give a or b or null"),
        ({"weight": "heavy"}, "at.weight=heavy: give a number"),
        ({"pair": [1, 2, 3]}, r"at.pair=\[1,2,3\]: give a list of 2"),
        ({"pair": [1, "b"]}, r"at.pair\[1\]=b: give a whole number"),
        ({"share": 1.5}, "at.share=1.5: give 0 to 1"),
        ({"share": float("nan")}, "at.share=nan: give 0 to 1"),
        ({"counts": [1, 0]}, r"at.counts\[1\]=0: give 1 or more"),
        ({"table": [{"a": True}]}, r"at.table=\[\{a:true\}\]: give keys and values or null"),
        ({"table": {"deep": [{"_target_": f"{__name__}.Thing", "mode": 1}]}}, None),
    ],
)
def test_what_does_not_fit(values: dict[str, Any], message: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if message is None:
        monkeypatch.setattr("vosbench.settings.option_types.target", lambda path: Thing)
        message = r"at.table.deep\[0\].mode=1: give a or b or null"
    with pytest.raises(UsageError, match=f"^{message}$"):
        fit(values, Thing, "at.")


class Table(TypedDict, total=False):
    """Declares some keys of a mapping."""

    rows: Required[Positive]
    width: float | None


def takes_more(rows: int, given: object, width: float = 1.0) -> None:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rows": 0}, "rows=0: give 1 or more"),
        ({"width": None}, "rows=null: give a whole number"),
        ({"rows": 1, "width": "wide"}, "width=wide: give a number or null"),
        ({"rows": 1, "given": 3}, ": unknown key 'given'; there is: rows, width"),
        ({"rows": 1, "with": 3}, ": unknown key 'with' \\(did you mean 'width'\\?\\); there is: rows, width"),
    ],
)
def test_mappings_with_declared_keys(values: dict[str, Any], message: str) -> None:
    def takes(table: Annotated[Table, Keywords(takes_more, given=("given",))]) -> None:
        raise NotImplementedError

    assert fit({"table": {"rows": 2.0, "width": 3}}, takes) == {"table": {"rows": 2, "width": 3}}
    with pytest.raises(UsageError, match=rf"^table\.?{message}$"):
        fit({"table": values}, takes)


def test_keywords_that_are_missing() -> None:
    def takes(table: Annotated[dict[str, Any], Keywords(takes_more, given=("given",))]) -> None:
        raise NotImplementedError

    with pytest.raises(UsageError, match=r"^table: there is no rows: add \+table.rows=…$"):
        fit({"table": {"width": 1}}, takes)


def test_truth_values_and_numbers_as_text() -> None:
    def takes(texts: Sequence[str], path: str | Path, year: int | str) -> None:
        raise NotImplementedError

    found = fit({"texts": [1, True, "x"], "path": 2.5, "year": False}, takes)
    assert found == {"texts": ["1", "true", "x"], "path": "2.5", "year": "false"}
