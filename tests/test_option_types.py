"""Values of the wrong type, as a user types them: one line that names key, value and what is wanted; no work begins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal, Optional

import pytest

from vosbench.cli import configuration
from vosbench.cli.option_types import fit
from vosbench.util.errors import UsageError
from vosbench.util.options import Positive

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
    "predict fps=-0.5": "fps=-0.5: give 0 or more",
    "predict fps=fast": "fps=fast: give a number",
    "predict inference=3": "inference=3: give keys and values",
    "evaluate overwrite=maybe": "overwrite=maybe: give true or false",
    "evaluate overwrite=1": "overwrite=1: give true or false",
    "evaluate cache=[a,b]": "cache=[a,b]: give text or null",
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
    "check dataset.root={a:1}": "dataset.root={a:1}: give text",
    "train data.sources.collage.dataset.seed=x": "data.sources.collage.dataset.seed=x: give a whole number",
    "benchmark method.matching=best": "method.matching=best: give flow or none or mast",
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
    ],
)
def test_text_may_look_like_a_number(typed: str, key: str, value: object) -> None:
    found = getattr(made("evaluate", typed), key)
    assert (found, type(found)) == (value, type(value))


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
        ({"table": [{"a": True}]}, r"at.table=\[\{a:true\}\]: give keys and values or null"),
        ({"table": {"deep": [{"_target_": f"{__name__}.Thing", "mode": 1}]}}, None),
    ],
)
def test_what_does_not_fit(values: dict[str, Any], message: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if message is None:
        monkeypatch.setattr("vosbench.cli.option_types.target", lambda path: Thing)
        message = r"at.table.deep\[0\].mode=1: give a or b or null"
    with pytest.raises(UsageError, match=f"^{message}$"):
        fit(values, Thing, "at.")


def test_truth_values_and_numbers_as_text() -> None:
    def takes(texts: Sequence[str], path: str | Path, year: int | str) -> None:
        raise NotImplementedError

    found = fit({"texts": [1, True, "x"], "path": 2.5, "year": False}, takes)
    assert found == {"texts": ["1", "true", "x"], "path": "2.5", "year": "false"}
