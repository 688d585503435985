"""Every option of every config group: a wrong value is one line that names it, before work begins.

Numbers are set to text, 0 and -1, choices to what does not exist, lists to text and to lists of wrong things. Then all
is made that a command makes before it works, from a tiny data set.
"""

import copy
import functools
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, is_typeddict

import pytest
from torch import nn

from vosbench.cli import configuration
from vosbench.cli.verbs import VERBS
from vosbench.settings.making import factory, made
from vosbench.settings.option_types import LISTS, kinds_of
from vosbench.settings.options import Keywords, Range
from vosbench.settings.recipe import hints, target
from vosbench.training.datamodule import ClipData
from vosbench.training.trainer import make_optimizer, make_trainer
from vosbench.util.errors import UsageError, UserError

Command = Callable[..., Any]
Values = dict[str, Any]

# What may be 0, or an empty list, or less, though no Range is declared that says so: by what takes it.
ZERO: dict[str, set[str]] = {
    "vosbench.inference.memory.FrameMemory": {"last_n"},
    "vosbench.inference.token_bank.TokenBank": {"similarity", "rate"},
    "vosbench.nn.optical_flow.Raft": {"far"},
    "vosbench.methods.mamp.method.MAMP": {"train_radius", "radius"},
    "vosbench.methods.munet.method.MUNet": {"overlap"},
    "vosbench.methods.mask_embedding.method.MaskEmbedding": {"rounds"},
    "vosbench.methods.mask_embedding.photometric.Photometric": {"weight"},
    "vosbench.methods.mask_embedding.contrastive.Contrastive": {"short", "long", "min_gap", "flip"},
    "vosbench.methods.mask_embedding.cycle.Cycle": {"weight", "dropout"},
    "vosbench.methods.mask_embedding.dino.Dino": {"centre_momentum"},
    "vosbench.methods.mask_embedding.crops.MultiCrop": {"local_crops"},
    "vosbench.methods.mask_embedding.ema.Ema": {"momentum"},
    "vosbench.methods.mask_embedding.ema.FrozenLastLayer": {"steps"},
    "vosbench.methods.mask_embedding.pseudo_labels.ClusterVideos": {"alpha", "largest", "motion"},
    "vosbench.training.averaging.Average": {"decay"},
    "vosbench.datasets.collage.Collage": {"seed"},
    "vosbench.datasets.coco.Coco": {"least"},
    "vosbench.datasets.static_images.StaticImages": {"least"},
    "vosbench.datasets.augment.Augment": {"flip", "rotation", "shift", "shear", "shared"},
    "ClipOptions.clips": {"paste"},
    "torch.optim.Adam": {"lr", "weight_decay"},
    "torch.optim.AdamW": {"lr", "weight_decay"},
    "torch.optim.SGD": {"lr", "momentum", "weight_decay"},
    "draw": {"alpha"},
    "check": {"workers"},
    "evaluate": {"workers", "pictures"},
    "benchmark": {"workers", "pictures"},
    "prepare": {"workers", "size", "quality"},  # of the last two, its own test knows
}
BELOW_ZERO = {("vosbench.inference.token_bank.TokenBank", "similarity")}  # a cosine
EMPTY: dict[str, set[str]] = {
    "vosbench.inference.memory.FrameMemory": {"long", "recent"},
    "vosbench.training.schedules.Milestones": {"samples"},
    "vosbench.datasets.collage.Collage": {"exclude"},
    "draw": {"kinds"},
}
# Lists of what is known later: names and pixels of what is read, methods (which a test below types), what was typed.
NAMES = {
    "sequences",
    "exclude",
    "seen",
    "pixel",
    "methods",
    "shipped",
    "baselines",
    "overrides",
    "runs",
    "columns",
    "record",
}
FOLDERS = {"year"}  # numbers that name a folder


class Option(NamedTuple):
    """Where an option is, the name of what takes it, its annotation, and whether an object is made of it."""

    path: tuple[str, ...]
    taker: str
    hint: Any
    is_object: bool

    @property
    def key(self) -> str:
        return ".".join(self.path)

    def allows(self, value: object) -> bool:
        """Whether a value makes sense, strange as it looks."""
        name = self.path[-1]
        if isinstance(value, int):
            ranges = [extra for kind in kinds_of(self.hint) for extra in kind.beside if isinstance(extra, Range)]
            declared = any(value in each for each in ranges)
            listed = name in ZERO.get(self.taker, ()) and (value == 0 or (self.taker, name) in BELOW_ZERO)
            return declared or listed or name in FOLDERS or (name == "seed" and value == 0)
        return value == [] and name in EMPTY.get(self.taker, ())


def options_of(values: Values, taker: Any, name: str, place: tuple[str, ...] = ()) -> Iterator[Option]:
    """All options in a configuration."""
    declared = hints(taker)
    for key, value in values.items():
        if key.startswith("_"):
            continue
        hint, path = declared.get(key, Any), (*place, key)
        is_object = isinstance(value, dict) and "_target_" in value
        if place or not isinstance(value, dict):
            yield Option(path, name, hint, is_object)
        if is_object:
            yield from options_of(value, target(value["_target_"]), value["_target_"], path)
        elif isinstance(value, dict):
            yield from options_of(value, keys_of(hint, value), f"{getattr(taker, '__name__', name)}.{key}", path)


def keys_of(hint: Any, value: Values) -> Any:
    """The annotations of the keys of a mapping with this annotation."""
    found: Values = {}
    for kind in kinds_of(hint):
        keywords = [extra.taker for extra in kind.beside if isinstance(extra, Keywords)]
        found |= {key: each for taker in keywords for key, each in hints(taker).items()}
        if is_typeddict(kind.type):
            found |= hints(kind.type)
        elif get_origin(kind.type) is dict:
            found |= dict.fromkeys(value, get_args(kind.type)[1])
    return types.MappingProxyType(found)


def wrong_values(option: Option) -> Iterator[object]:
    kinds = {get_origin(kind.type) or kind.type for kind in kinds_of(option.hint)}
    numbers = kinds & {int, float}
    if option.is_object or not kinds & {str, Path, Any, types.NoneType} or (kinds & {int, float, bool, Literal}):
        yield from () if str in kinds else ("wrong",)
    if numbers:
        yield from (0, -1)
    elif kinds & {Literal, bool}:
        yield 7
    if kinds & set(LISTS) and not NAMES & set(option.path):
        yield from ([], ["wrong"], [-1], [[]])


def make(values: Values, verb: str, section: str) -> None:
    """Makes what a command makes of a part of its configuration before it works."""
    options = configuration.options(configuration.task(verb), values)
    settings = getattr(options, section)
    match section:
        case "memory":
            factory(settings, section, _convert_="all")
        case "method" | "inference" | "schedule" | "dataset":
            made(settings, section, _convert_="all")
        case "optimizer":
            make_optimizer(settings, nn.Linear(2, 2))
        case "callbacks":
            for name, callback in settings.items():
                made(callback, f"callbacks.{name}")
        case "data":
            ClipData(settings, 0)
        case "trainer":
            make_trainer(settings, run="run", callbacks=[], loggers=[], best_by=None)


def failure(values: Values, verb: str, section: str) -> Exception | None:
    try:
        make(values, verb, section)
    except Exception as error:
        return error
    return None


def changed(values: Values, path: tuple[str, ...], value: object) -> Values:
    values = copy.deepcopy(values)
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return values


def judge(values: Values, verb: str, option: Option, value: object, before: Exception | None = None) -> str | None:
    """What is wrong with how a value is answered. `before`: what is said of its section without it."""
    error = failure(changed(values, option.path, value), verb, option.path[0])
    said = f"{verb} {option.key}={value!r} ({option.taker}): {type(error).__name__} {error}"
    if error is None or str(error) == str(before):  # such as data that are not there
        return None if option.allows(value) else f"accepted: {said}"
    if not isinstance(error, UsageError | UserError):
        return f"a traceback: {said}"
    return None if option.path[-1] in str(error) else f"names no key: {said}"


def problems(verb: str, choices: list[list[str]], prepare: Callable[[Values], None] = lambda values: None) -> list[str]:
    """Of all options of these configurations, each of them once for all that take it."""
    declared = hints(configuration.task(verb).Options)
    done: set[tuple[object, ...]] = set()
    found: list[str | None] = []
    for words in choices:
        values = configuration.resolve(configuration.compose(verb, words))
        prepare(values)
        before = functools.cache(lambda section, values=values: failure(values, verb, section))
        for option in options_of(values, configuration.task(verb).Options, verb):
            this = (option.taker, option.path[-1], option.is_object)
            if option.path[0] in declared and this not in done:
                done.add(this)
                found += [judge(values, verb, option, each, before(option.path[0])) for each in wrong_values(option)]
    assert len(done) > len(declared) / 2
    return [problem for problem in found if problem]


def tiny(values: Values) -> None:
    """One small video in place of a training's data, which may not be there, and one process."""
    small = configuration.resolve(configuration.compose("train", ["data=collage"]))["data"]["sources"]["collage"]
    small["dataset"] |= {"videos": 1, "length": 12, "size": [48, 64]}
    values["data"]["sources"] = {name: copy.deepcopy(small) for name in values["data"]["sources"]}
    values["data"]["validation"] = None
    values["method"].pop("weights", None)  # which may have to be downloaded
    values["trainer"] |= {"accelerator": "cpu", "devices": 1, "enable_progress_bar": False}


def group(verb: str, name: str, *words: str) -> list[list[str]]:
    """The choices of a config group, as overrides beside these words."""
    options = configuration.groups(configuration.compose(verb, words, partial=True))[name]
    return [[*words, f"{name}={option}"] for option in options if not option.startswith("_")]


@pytest.mark.slow
def test_what_a_training_is_made_of() -> None:
    of_masks = "method=mask_embedding_small"
    choices = [
        *([f"method={name}"] for name in ("mamp_small", "mask_embedding_small", "munet_small")),
        *(words for name in ("flow", "memory", "inference") for words in group("train", name)),
        *(words for name in ("correspondence", "pseudo_labels") for words in group("train", name, of_masks)),
        *group("train", "data"),
        *(words for words in group("train", "experiment") if is_for("train", words)),
    ]
    assert not (found := problems("train", choices, tiny)), "\n".join(found)


def is_for(verb: str, words: list[str]) -> bool:
    try:
        configuration.compose(verb, words)
    except UsageError:  # an experiment that sets what only other verbs have
        return False
    return True


def test_data_sets() -> None:
    choices = [[*words, "dataset.root=nowhere"] for words in group("check", "dataset") if words != ["dataset=collage"]]
    assert not (found := problems("check", [["dataset=collage"], *choices])), "\n".join(found)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "train"])
def test_verbs(verb: str) -> None:
    needed = {
        "annotate": ["input=x"],
        "pack": ["predictions=x", "output=y.zip"],
        "export": ["checkpoint=x", "output=y", "licence=z"],
        "prepare": ["output=x"],
        "completion": ["shell=bash"],
        "new": ["method.name=x"],
    }
    method = ["method=copy_first"] if verb != "new" and "method" in hints(configuration.task(verb).Options) else []
    assert not (found := problems(verb, [[*method, *needed.get(verb, [])]])), "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "benchmark protocol=wrong",
        "benchmark dataset.protocol=wrong",
        "benchmark precision=wrong",
        "benchmark device=wrong",
        "benchmark method=mamp_small checkpoint=wrong",
        "predict output=x fps=0",
        "draw kinds=[wrong]",
        "draw pixel=[1]",
        "draw clusters=255",
        "evaluate predictions=. scorer=wrong",
        "evaluate predictions=. protocol=wrong",
        "evaluate predictions=wrong",
        "pack predictions=. output=x.zip format=wrong",
        "pack predictions=. output=wrong",
        "prepare output=x size=0",
        "prepare output=x quality=0",
        "export output=x.safetensors licence=x checkpoint=wrong",
        "demo baselines=[wrong]",
        "demo methods.mamp_small=[data=wrong]",
        "leaderboard runs=.",
    ],
)
def test_text_that_is_a_choice_or_a_place(command: Command, line: str) -> None:
    verb, *words = line.split()
    known = hints(configuration.task(verb).Options)
    video = ["dataset=collage", "dataset.videos=1", "dataset.length=4"] if "dataset" in known else []
    method = ["method=copy_first"] if "method" in known and "method=mamp_small" not in words else []
    done = command(verb, *video, *method, *words)
    key, _, value = words[-1].partition("=")
    done.error(done.status)
    assert done.status in (1, 2)
    assert key.rpartition(".")[2] in done.err or value.strip("[]") in done.err
    assert len(done.err.splitlines()) == 1, done.err
    assert not list(Path().iterdir()), "it left something"


class Unchecked:
    """Takes what it is given."""

    def __init__(self, size: int = 1, scale: float = 1, mode: object = "x") -> None:
        self.size = 10 // int(size)


def test_a_missing_check_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vosbench.methods.copy_first.method.Unchecked", Unchecked, raising=False)
    place = "vosbench.methods.copy_first.method.Unchecked"
    values = configuration.resolve(configuration.compose("benchmark", ["method=copy_first"]))
    values["method"] = {"_target_": place, "size": 1, "scale": 1, "mode": "x"}
    options = {option.path[-1]: option for option in options_of({"method": values["method"]}, None, "benchmark")}
    assert list(wrong_values(options["size"])) == ["wrong", 0, -1]
    said = {(name, value): judge(values, "benchmark", options[name], value) for name in options for value in (0, -1)}
    assert said["size", 0] is not None
    assert said["size", 0].startswith(f"a traceback: benchmark method.size=0 ({place}): ZeroDivisionError")
    assert said["scale", 0] is not None
    assert said["scale", 0].startswith("accepted: ")
    assert judge(values, "benchmark", options["scale"], "wrong") is None


@pytest.mark.parametrize("words", ["prepare dataset=collage", "predict method=copy_first dataset=collage"])
def test_an_output_that_is_a_file(command: Command, tmp_path: Path, words: str) -> None:
    (tmp_path / "notes").write_text("kept")
    command(*words.split(), f"output={tmp_path / 'notes'}").error(1, f"{tmp_path / 'notes'} is a file, where a folder")
    assert (tmp_path / "notes").read_text() == "kept"


def test_a_root_that_is_a_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    for dataset in ("video_folder", "davis2017"):
        command("check", f"dataset={dataset}", f"dataset.root={tmp_path / 'notes'}").error(1, "is a file: set dataset.")
