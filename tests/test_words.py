"""What is typed on the command line is what an option gets: names of files, other text, and lists of names."""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from vosbench.cli import configuration, sweep, words
from vosbench.settings.options import FileName, Role, Where

FILE: Any = Where[FileName | None]  # type: ignore[misc]
TEXT, NAMES = Where[str], Sequence[str] | None
NAMES_OF_FILES = [
    *("my video (1).mp4", "café.mp4", "a=b.mp4", "a,b.mp4", "it's.mp4", 'say "x".mp4', "日本.mp4", "two  spaces"),
    *(" ahead", "behind ", "[a]", "{a}", "a[", "}", "C:\\x:y", "ends\\", "\\'", "#a", "~/a", "%a!", "$x", "a;b&c|d"),
    *("007", "1e3", "2024_01", "true", "inf", "choice(a,b)", "a\tb", "-m", "é\udcff", "x\\${y"),
]


def got(value: str, hint: Any, *, varied: bool = False) -> Any:
    """What an option with this annotation gets; a list of these if the value is a sweep."""
    (word,) = words.for_hydra([f"k={value}"], lambda key: hint, varied=varied)
    override = OverridesParser.create().parse_override(word)
    if override.is_sweep_override():
        return [got(words.as_typed(f"k={each}")[2:], hint) for each in override.sweep_string_iterator()]
    return OmegaConf.create({"k": override.value(), "y": "inserted"}).k


@pytest.mark.parametrize("name", NAMES_OF_FILES)
@pytest.mark.parametrize("hint", [FILE, Annotated[str, Role.CONTENT], str | Path])
def test_names_of_files_are_taken_literally(name: str, hint: Any) -> None:
    assert got(name, hint) == name


def test_any_name_of_a_file_is_taken_literally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dice = random.Random(0)
    for _ in range(300):
        name = "".join(dice.choices("ab01 ,'\"\\()[]{}$=:#~%!*.-+é\t", k=dice.randint(1, 9)))
        if not os.path.lexists(name):
            Path(name).touch()
        assert got(name, FILE) == name
        assert got(name, FILE, varied=True) == name


def test_quotes_null_and_interpolations_keep_their_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert got("'a b'", FILE) == got('"a b"', FILE) == got("a b", FILE) == "a b"
    assert got("null", FILE) is got("NULL", FILE) is None
    assert got("none", FILE) == "none"
    assert got("${y}/x", FILE) == "inserted/x"
    assert got("a, b (1)/${y}", FILE) == "a, b (1)/inserted"
    for name in ("'a b'", "${y}"):
        Path(name).touch()
        assert got(name, FILE) == name  # a file of that very name


def test_an_escaped_name_of_a_file_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert got(r"a\,b", FILE) == r"a\,b"
    Path("a,b").touch()
    assert got(r"a\,b", FILE) == "a,b"


def test_commas_separate_the_files_of_a_sweep_only() -> None:
    assert got("a,b", FILE) == "a,b"
    assert got("a,b", FILE, varied=True) == ["a", "b"]
    assert got("my video,x (1).mp4,007", FILE, varied=True) == ["my video", "x (1).mp4", "007"]
    assert got("'a,b',\"c d\"", FILE, varied=True) == ["a,b", "c d"]
    assert got("choice(a,b)", FILE, varied=True) == ["a", "b"]
    assert got("my video (1).mp4", FILE, varied=True) == "my video (1).mp4"


def test_text_that_looks_like_something_else() -> None:
    typed = ["007", "2e3", "true", "2024_01", "inf", "x (1)", "a=b", "'a,b'", "plain"]
    assert [got(value, TEXT) for value in typed] == [*typed[:-2], "a,b", "plain"]
    assert got("2e3,07", TEXT, varied=True) == ["2e3", "07"]
    assert got("null", str | None) is None
    assert got("2e3", int | str) == 2000


def test_lists_of_names() -> None:
    assert got("[01,2e3,null,true,1_0]", NAMES) == ["01", "2e3", "null", "true", "1_0"]
    assert got("['a,b',x=y,it's,my dog,a (1),\"c\"]", NAMES) == ["a,b", "x=y", "it's", "my dog", "a (1)", "c"]
    assert got("[]", NAMES) == []
    assert got("null", NAMES) is None
    assert got("[01],[x=y,2e3]", NAMES, varied=True) == [["01"], ["x=y", "2e3"]]
    assert got("[person,007]", Annotated[str | Path | Sequence[str] | None, Role.CONTENT]) == ["person", "007"]


@pytest.mark.parametrize(
    ("verb", "key", "also"),
    [
        *(("predict", key, ()) for key in ("input", "mask", "output", "checkpoint", "runs", "hydra.run.dir")),
        *(
            ("evaluate", key, ())
            for key in ("predictions", "cache", "checkpoint", "dataset.root", "dataset.annotations")
        ),
        *(("evaluate", key, ["dataset=static_coco"]) for key in ("dataset.images", "dataset.file", "dataset.root")),
        *(("export", key, ()) for key in ("output", "record", "checkpoint")),
        *(("annotate", key, ()) for key in ("input", "output")),
        *(("pack", key, ()) for key in ("output", "predictions")),
        *(("draw", key, ()) for key in ("input", "labels")),
        *(("train", key, ()) for key in ("init", "paths.data")),
        ("train", "data.sources.davis2016.dataset.root", ["data=davis2016_unlabelled"]),
        ("train", "data.validation.root", ["validation=davis2016_three"]),
        ("benchmark", "flow.weights", ["flow=raft_small"]),
        ("benchmark", "method.weights", ["method=munet"]),
        ("leaderboard", "runs", ()),
        ("prepare", "output", ()),
    ],
)
def test_keys_of_every_verb_that_name_files(verb: str, key: str, also: Sequence[str]) -> None:
    name = "a, b=[1] (it's)"
    config = configuration.compose(verb, [*also, f"{key}={name}"], partial=True)
    assert OmegaConf.select(config, key.lstrip("+")) == name


def test_numbers_stay_text_in_names() -> None:
    typed = ["dataset.sequences=[007,2e3]", "dataset.exclude=[1_0]", "name=2024_01", "method_name=1e3"]
    config = configuration.resolve(configuration.compose("evaluate", typed))
    assert (config["dataset"]["sequences"], config["dataset"]["exclude"]) == (["007", "2e3"], ["1_0"])
    assert (config["name"], config["method_name"]) == ("2024_01", "1e3")


def test_the_overrides_of_a_record_are_those_typed() -> None:
    typed = ["predictions=a, b (1)", "dataset.sequences=[x=y,007]", "name=2e3", "dataset.split='val'"]
    assert configuration.resolve(configuration.compose("evaluate", typed))["overrides"] == typed


def test_a_swept_job_is_the_command_that_would_be_typed() -> None:
    jobs = sweep.jobs("evaluate", ["predictions=my pred,x (1)", "name=2e3,a"], multirun=True)
    assert jobs == [("evaluate", [f"predictions={p}", f"name={n}"]) for p in ("my pred", "x (1)") for n in ("2e3", "a")]


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ("seed=1(", ["cannot read 'seed=1('", r"""'seed='"'"'1('"'"''"""]),
        ("device=cpu,cuda", ["add --multirun", "device"]),
    ],
)
def test_remedies_can_be_typed(command: Any, typed: str, parts: list[str]) -> None:
    command("predict", typed).error(2, *parts)
