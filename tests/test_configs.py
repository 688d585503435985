"""Every configuration composes, resolves whole, and fits the code that it configures."""

import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from vosbench.cli import configuration
from vosbench.cli.helping import explanation
from vosbench.cli.verbs import VERBS
from vosbench.inference.memory import FrameMemory
from vosbench.util.errors import UsageError

HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}
RECIPES = {"method", "experiment"}  # they set top-level keys, which every verb has to know


def choices(verb: str) -> Iterator[list[str]]:
    """The overrides to try: nothing, and each option of a group (mostly for the first verb that has the group)."""
    config = configuration.compose(verb, partial=True)
    chosen = OmegaConf.to_container(config.hydra.runtime.choices)
    assert isinstance(chosen, dict)
    options = {group: names for group, names in configuration.groups(config).items() if "@" not in group and names}
    required = {group: names[0] for group, names in options.items() if chosen[group] == "???"}
    yield [f"{group}={name}" for group, name in required.items()]
    for group, names in options.items():
        if group in RECIPES or first_verb(group) == verb:
            others = [f"{other}={name}" for other, name in required.items() if other != group]
            yield from ([*others, f"{group}={name}"] for name in names if name != chosen[group])


@functools.cache
def first_verb(group: str) -> str:
    return next(verb for verb in VERBS if group in configuration.compose(verb, partial=True).hydra.runtime.choices)


def filled(config: DictConfig) -> DictConfig:
    """The configuration with something in place of what a user must give."""
    for key in missing(OmegaConf.to_container(config, resolve=False), ""):
        if not key.startswith("hydra."):
            OmegaConf.update(config, key, "given")
    return config


def missing(value: Any, place: str) -> Iterator[str]:
    """The keys whose value is ???, as dotted paths."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from missing(inner, f"{place}.{key}" if place else key)
    elif value == "???":
        yield place


def targets(value: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All mappings with a `_target_`, and where they are."""
    if isinstance(value, dict):
        if "_target_" in value:
            yield place, value
        for key, inner in value.items():
            yield from targets(inner, f"{place}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from targets(inner, f"{place}[{index}]")


@functools.cache
def mistakes(target: str, keys: frozenset[str], partial: bool) -> list[str]:
    """How the keys of a mapping disagree with what its target takes."""
    parameters = inspect.signature(get_object(target)).parameters.values()
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    wrong = set() if takes_any else keys - {p.name for p in named}
    lacking = set() if partial else {p.name for p in named if p.default is p.empty} - keys
    return [f"takes no {key}" for key in sorted(wrong)] + [f"needs {key}" for key in sorted(lacking)]


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_every_choice_composes_and_fits(verb: str) -> None:
    known = {field.name for field in fields(configuration.task(verb).Options)}
    problems: dict[str, str] = {}
    for overrides in filter(lambda choice: not for_another_verb(verb, choice), choices(verb)):
        values = configuration.resolve(filled(configuration.compose(verb, overrides)))
        for key in sorted((known ^ values.keys()) - configuration.SHARED | (known - values.keys())):
            problems.setdefault(f"Options and YAML disagree on {key}", " ".join(overrides))
        for place, mapping in targets(values, "config"):
            keys = frozenset(mapping.keys() - HYDRA_KEYS)
            for mistake in mistakes(mapping["_target_"], keys, bool(mapping.get("_partial_"))):
                problems.setdefault(f"{place}: {mapping['_target_']} {mistake}", " ".join(overrides))
    assert not problems, "\n".join(f"{verb} {overrides}: {problem}" for problem, overrides in problems.items())


def for_another_verb(verb: str, overrides: list[str]) -> bool:
    """Whether this is an experiment that sets what only other verbs have: a training's data in a prediction, say."""
    if not any(override.startswith("experiment=") for override in overrides):
        return False
    try:
        configuration.compose(verb, overrides)
    except UsageError as error:
        return "does not have" in str(error)
    return False


@pytest.mark.slow
def test_every_experiment_is_for_some_verb() -> None:
    verbs = [verb for verb in VERBS if "experiment" in configuration.compose(verb, partial=True).hydra.runtime.choices]
    for name in configuration.groups(configuration.compose(verbs[0]))["experiment"]:
        assert not all(for_another_verb(verb, [f"experiment={name}"]) for verb in verbs), name


@pytest.mark.parametrize("method", configuration.groups(configuration.compose("train"))["method"])
def test_validation_sees_videos_as_predicting_does(method: str) -> None:
    train, benchmark = (configuration.compose(verb, [f"method={method}"]) for verb in ("train", "benchmark"))
    for key in ("inference", "memory", "flow"):
        assert train[key] == benchmark[key]


def test_data_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configuration.compose("evaluate", ["dataset=davis2016"])
    monkeypatch.delenv("VOSBENCH_DATA", raising=False)
    assert configuration.resolve(config)["dataset"]["root"].startswith("data/")
    monkeypatch.setenv("VOSBENCH_DATA", "elsewhere")
    assert configuration.resolve(config)["dataset"]["root"].startswith("elsewhere/")


def test_mistakes_are_seen() -> None:
    assert mistakes("vosbench.contract.Padding", frozenset({"side", "colour"}), False) == [
        "takes no colour",
        "needs value",
    ]
    assert mistakes("vosbench.contract.Padding", frozenset({"side"}), True) == []


def test_struct_mode_is_on() -> None:
    assert OmegaConf.is_struct(configuration.compose("train"))


def test_folders_hold_options_and_are_shown_so() -> None:
    config = configuration.compose("train", ["experiment=munet/paper"])
    assert "munet/paper" in configuration.groups(config)["experiment"]
    names = [name for options in configuration.groups(config).values() for name in options]
    assert not [name for name in names if name.rpartition("/")[2].startswith("_")]
    lines = explanation("train", VERBS["train"], ["experiment=munet/paper"]).splitlines()
    (line,) = (line for line in lines if "[munet/paper]" in line)
    assert "MUNet, protocol (2)" in line


def test_the_folder_of_an_experiment_in_a_folder() -> None:
    run = configuration.resolve(configuration.compose("train", ["experiment=munet/paper", "seed=1"]))["run"]
    assert re.search(r"/runs/munet-paper/seed-1-[0-9a-f]{8}$", run)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("experiment=munet/papr", "unknown experiment 'munet/papr' (did you mean 'munet/paper'?); there is: mamp/"),
        ("sweep=mamp/tabel4", "unknown sweep 'mamp/tabel4' (did you mean 'mamp/table4'?)"),
        ("memory=frames", "unknown memory 'frames'; there is: adaptive, first_last, mamp, previous, stm"),
        ("sampler=pair", "unknown sampler 'pair' (did you mean 'pairs'?)"),
    ],
)
def test_near_misses_in_folders(typed: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        configuration.compose("train", [typed])


def options(group: str) -> list[str]:
    return configuration.groups(configuration.compose("train", ["method=mask_embedding"]))[group]


@functools.cache
def chosen(*typed: str) -> list[Any]:
    """Sampler, augmentation and validation that training has with these overrides."""
    data = configuration.resolve(configuration.compose("train", typed))["data"]
    return [data["clips"]["sampler"], data["clips"]["augment"], data["validation"]]


@pytest.mark.parametrize("data", options("data"))
def test_what_is_typed_of_samplers_augmentation_and_validation_is_what_data_has(data: str) -> None:
    """Nothing of the data set's own choice is left in them."""
    for typed in (["augment=none", "validation=none"], ["augment=near", "validation=davis2016_three"]):
        typed.append("sampler=stills")
        assert chosen(f"data={data}", *typed) == chosen("data=collage", *typed)
    assert chosen(f"data={data}", "data.validation=null")[2] is None


def test_no_augmentation_and_no_validation() -> None:
    assert chosen("data=munet_davis_small", "augment=none", "validation=none")[1:] == [None, None]


def test_a_data_set_typed_for_validation() -> None:
    values = configuration.resolve(configuration.compose("train", ["dataset@data.validation=davis2017"]))
    assert values["data"]["validation"]["name"] == "davis2017"


@pytest.mark.parametrize("memory", [name for name in options("memory") if name != "adaptive"])
def test_every_memory_of_frames_takes_every_key(memory: str) -> None:
    keys = inspect.signature(FrameMemory).parameters
    config = configuration.resolve(configuration.compose("benchmark", [f"memory={memory}", "memory.prefilled=true"]))
    assert config["memory"].keys() == {"_target_", *keys}
    assert config["memory"]["prefilled"] is True


@pytest.mark.parametrize("sampler", options("sampler"))
def test_every_sampler_takes_every_key(sampler: str) -> None:
    mapping = configuration.resolve(configuration.compose("train", [f"sampler={sampler}"]))["data"]["clips"]["sampler"]
    assert mapping.keys() == {"_target_", *inspect.signature(get_object(mapping["_target_"])).parameters}
