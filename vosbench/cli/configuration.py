"""Composing a verb's configuration: the search path for YAML files, resolvers, and resolving all values."""

import copy
import importlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

from hydra import initialize_config_module
from hydra._internal.hydra import Hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from vosbench.cli import protocol_name, words
from vosbench.cli.explanations import Known, explain, explain_choice, explain_value
from vosbench.cli.sweep_file import CHOOSING
from vosbench.evaluation import protocols
from vosbench.runs.names import key_of, run_name, stage_name, subject, subject_group
from vosbench.settings.option_types import fit
from vosbench.settings.options import Content, FileName, Role, Where
from vosbench.settings.recipe import hint_of, hints, role_of
from vosbench.util.errors import UsageError, unknown


class HydraKeys(TypedDict):
    """Hydra's own keys, as far as they name files."""

    run: dict[str, FileName]


@dataclass
class Common:
    """Keys that every verb has and that its Options need not declare: those of conf/base.yaml, and Hydra's own."""

    runs: Where[FileName]
    name: Where[str]
    run: Where[FileName]
    overrides: Where[list[str]]
    paths: Where[dict[str, FileName]]
    sweep: Where[str | None]
    launcher: Where[dict[str, Any]]
    hydra: Where[HydraKeys]


@dataclass
class Recipe:
    """Keys that a method's recipe sets. They may refer to each other. A verb's Options declare those that it needs."""

    method: dict[str, Any]
    flow: dict[str, Any]
    memory: dict[str, Any]
    inference: dict[str, Any]
    backbone: dict[str, Any] | None
    matching: dict[str, Any]
    propagation: str | None
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    callbacks: dict[str, Any]
    weights: Content[FileName]


SHARED = {field.name for keys in (Common, Recipe) for field in fields(keys)}

_folders: list[str] = []


class Sources(SearchPathPlugin):
    """Adds the configs of `--config-dir` and of installed packages to Hydra's search path, after vosbench's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in _folders:
            search_path.append("--config-dir", f"file://{folder}")
        for package in entry_points(group="vosbench.configs"):
            search_path.append(package.name, f"pkg://{package.value}")


def add_folder(folder: Path) -> None:
    """Makes a folder's configs, Python modules and protocols available. A folder that is itself a package is imported
    by its name. Raises UsageError if the folder does not exist."""
    if not folder.is_dir():
        raise UsageError(f"--config-dir: there is no folder {folder}")
    whole = folder.resolve()
    if str(whole) not in _folders:
        _folders.append(str(whole))
        above = next(place for place in (whole, *whole.parents) if not (place / "__init__.py").exists())
        sys.path.insert(0, str(above))
        if (whole / "protocols").is_dir():
            protocols.PACKAGES.append(".".join((*whole.relative_to(above).parts, "protocols")))


def own_folders() -> list[str]:
    """The folders that were added."""
    return list(_folders)


def overrides() -> list[str]:
    """The overrides of the running command as typed, without overrides of Hydra's own keys."""
    typed = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(typed, list)
    return [words.as_typed(str(override)) for override in typed]


def _subject() -> str:
    hydra = HydraConfig.get()
    return subject(hydra.runtime.choices, str(hydra.job.config_name))


def _named(root: DictConfig) -> Callable[[str], bool]:
    """A function that says whether a key or group of the running command is part of the run's name. `root`: its
    configuration."""
    declared = _declared(str(HydraConfig.get().job.config_name))
    container, above = OmegaConf.to_container(root, resolve=False), subject_group(overrides())
    assert isinstance(container, dict)
    values = {str(key): value for key, value in container.items()}

    def is_named(key: str) -> bool:
        dotted = re.sub(r"[/:]", ".", key)
        return key != above and role_of(dotted, values, declared) in (Role.RESULT, Role.CONTENT)

    return is_named


def _declared(verb: str) -> dict[str, Any]:
    """The annotations of a verb's keys."""
    return hints(Common) | hints(Recipe) | hints(task(verb).Options)


def _choice() -> str:
    """The words that choose the running command's method and its network, for another command."""
    folders = (word for folder in _folders for word in ("--config-dir", folder))
    network = (word for word in overrides() if key_of(word).startswith(("method.", "correspondence")))
    return shlex.join([*folders, f"method={HydraConfig.get().runtime.choices['method']}", *network])


def _name(*, _root_: DictConfig) -> str:
    return run_name(overrides(), _named(_root_))


def _stage(*shared: str, _root_: DictConfig) -> str:
    return stage_name(overrides(), shared, _named(_root_))


def first(runs: str | Sequence[str]) -> str:
    """The folder that a command writes into, of those that it reads: a leaderboard may be of several."""
    return runs if isinstance(runs, str) else next(iter(runs), "runs")


def register() -> None:
    """Registers the resolvers and the search path with OmegaConf and Hydra; may be called twice."""
    OmegaConf.register_new_resolver("vosbench.overrides", overrides, replace=True)
    OmegaConf.register_new_resolver("vosbench.choice", _choice, replace=True)
    OmegaConf.register_new_resolver("vosbench.name", _name, replace=True)
    OmegaConf.register_new_resolver("vosbench.stage", _stage, replace=True)
    OmegaConf.register_new_resolver("vosbench.subject", _subject, replace=True)
    OmegaConf.register_new_resolver("vosbench.first", first, replace=True)
    OmegaConf.register_new_resolver("vosbench.propagation", protocol_name.named, replace=True)
    Plugins.instance().register(Sources)


def for_hydra(verb: str, changes: Sequence[str], *, varied: bool = False) -> list[str]:
    """The overrides of a command as Hydra has to be given them; see `words.for_hydra`."""

    @cache
    def declared() -> dict[str, Any]:
        return _declared(verb)

    @cache
    def values() -> dict[str, Any]:
        plain = [change for change in changes if words.is_plain(_first(change))]
        known = [_first(change) for change in plain if key_of(change) not in CHOOSING]
        try:
            container = OmegaConf.to_container(_compose(verb, known, partial=True), resolve=False)
        except UsageError:  # the same error ends the command when the whole of it is composed
            return {}
        assert isinstance(container, dict)
        return {str(key): value for key, value in container.items()}

    def hint(key: str) -> Any:
        return hint_of(key, values(), declared()) if "." in key else declared().get(key, Any)

    return words.for_hydra(changes, hint, varied=varied)


def _first(change: str) -> str:
    """The first choice of a sweep over a config group; any other override unchanged."""
    return change.split(",")[0] if "." not in key_of(change) else change


def compose(verb: str, changes: Sequence[str] = (), *, partial: bool = False) -> DictConfig:
    """A verb's configuration, with Hydra's own under the key `hydra` and interpolations unresolved.

    `changes` are overrides as they are typed. `partial`: mandatory groups may be missing. Raises UsageError for unknown
    keys, groups and options.
    """
    return _compose(verb, for_hydra(verb, changes), partial=partial)


def _compose(verb: str, changes: Sequence[str], *, partial: bool) -> DictConfig:
    mode = RunMode.MULTIRUN if partial else RunMode.RUN
    try:
        with _hydra() as hydra:
            return hydra.compose_config(
                verb, list(changes), mode, from_shell=False, validate_sweep_overrides=not partial
            )
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise UsageError(explain(verb, error, lambda: _known(verb))) from error
    except ValueError as error:
        if not str(error).startswith("Config group override"):
            raise
        raise UsageError(explain_choice(changes, _known(verb))) from error


def resolve(config: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain values, without Hydra's own. Raises UsageError for a key without a value."""
    with _running(config) as running, open_dict(running):
        del running["hydra"]
        return plain(running)


def run_folder(config: DictConfig) -> Path | None:
    """The folder where Hydra writes its files for this command; None if it writes none. Raises UsageError like
    `resolve`."""
    with _running(config) as running:
        return None if running.hydra.output_subdir is None else Path(running.hydra.runtime.output_dir)


@contextmanager
def _running(config: DictConfig) -> Iterator[DictConfig]:
    """A copy of a composed configuration as it would be while the command runs."""
    config, before = copy.deepcopy(config), HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(config)
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(Path(config.hydra.run.dir).absolute())
        HydraConfig.instance().set_config(config)
        yield config
    except OmegaConfBaseException as error:
        raise UsageError(explain_value(error)) from error
    finally:
        HydraConfig.instance().cfg = before


def plain(config: DictConfig) -> dict[str, Any]:
    """A configuration with all values resolved. Raises an OmegaConf error for a missing value or a bad
    interpolation."""
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def groups(config: DictConfig) -> dict[str, list[str]]:
    """The config groups of a composed configuration and the options of each. Includes options in folders
    (`mamp/paper`), but not base configs (`_frames`)."""
    names = sorted(str(name) for name in config.hydra.runtime.choices if not str(name).startswith("hydra/"))
    with _hydra() as hydra:
        return {name: _options_of(hydra.config_loader, name.split("@")[0]) for name in names}


def _known(verb: str) -> Known:
    config = compose(verb, partial=True)
    return Known(config, groups(config))


def _options_of(loader: ConfigLoader, group: str) -> list[str]:
    own = [name for name in loader.get_group_options(group, ObjectType.CONFIG) if not name.startswith("_")]
    folders = loader.get_group_options(group, ObjectType.GROUP)
    return sorted(own) + [f"{folder}/{name}" for folder in folders for name in _options_of(loader, f"{group}/{folder}")]


def task(verb: str) -> ModuleType:
    """The module of a verb: an `Options` dataclass and `run(options)`."""
    return importlib.import_module(f"vosbench.tasks.{verb}")


def options(module: ModuleType, values: Mapping[str, Any]) -> Any:
    """A task's Options from the keys that it declares; a key removed by the command (`~logger`) is null.

    Raises UsageError for an unknown key, and for a value of the wrong type or out of its range (0 or more, unless
    declared otherwise).
    """
    known = [field.name for field in fields(module.Options)]
    for key in values:
        if key not in known and key not in SHARED:
            raise UsageError(unknown("key", key, known))
    fitted = fit({key: values.get(key) for key in known}, module.Options, least=0)
    return module.Options(**fitted)


@contextmanager
def _hydra() -> Iterator[Hydra]:
    """A separate Hydra instance, which also works inside a running command (the demo composes the commands it runs)."""
    register()
    everywhere = GlobalHydra.instance()
    outer, everywhere.hydra = everywhere.hydra, None
    try:
        with initialize_config_module("vosbench.conf", version_base="1.3"):
            assert everywhere.hydra is not None
            yield everywhere.hydra
    finally:
        everywhere.hydra = outer
