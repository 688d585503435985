"""What is called otherwise since an earlier version is said in one line, and what that line says works."""

import re
import shlex
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from vosbench.cli import configuration, sweep
from vosbench.cli.commands import Command
from vosbench.settings import renamed
from vosbench.settings.making import made
from vosbench.util.errors import UsageError

OPTIONS = [(group, old, new) for group, options in renamed.OPTIONS.items() for old, new in options.items()]
FOR_TRAINING: tuple[str, ...] = (
    "paper",
    "davis",
    "static",
    "small_",
    "dino",
    "correspondence",
    "photometric",
    "cycle",
    "training",
)
FOR_TRAINING += ("short", "long", "segmentation", "munet_table4")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("experiment=munet_paper", "experiment=munet_paper is now experiment=munet/paper"),
        ("experiment=munet_table4a", "experiment=munet_table4a is now sweep=munet/table4 row=a"),
        ("sweep=mamp_table3", "sweep=mamp_table3 is now sweep=mamp/table3"),
        ("memory=long", "memory=long is now memory=mamp memory.recent=[]"),
        ("flow=raft_large_ytvos", "flow=raft_large_ytvos is now flow=raft_large flow.far=5"),
    ],
)
def test_an_old_option_is_one_line(command: Callable[..., Any], typed: str, line: str) -> None:
    done = command("train", typed)
    done.error(2, line)
    assert done.err == f"vosbench: error: {line}\n"
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("method", "typed", "line"),
    [
        ("mask_embedding", "method.value_encoder=fused", "method.value_encoder is now method.variant=released"),
        ("mask_embedding", "method.alignment=released", "method.alignment is now method.variant=released"),
        ("munet", "method.alignment=released", "unknown key 'method.alignment'"),
        ("mamp", "inference.square=560", "inference.square is now inference=square inference.square=<pixels>"),
        ("mamp", "inference.upsample=released", "inference.upsample is now inference=mamp_ytvos_released"),
        (
            "mamp",
            "inference.halve_from=9",
            "inference.halve_from is now inference=halved inference.halve_from=<pixels>",
        ),
    ],
)
def test_an_old_key_is_one_line(command: Callable[..., Any], method: str, typed: str, line: str) -> None:
    command("benchmark", f"method={method}", typed).error(2, line)


@pytest.mark.parametrize("new", sorted(set(renamed.KEYS.values())))
def test_what_stands_for_an_old_key_composes(new: str) -> None:
    if "logger." in new:
        configuration.compose("train", ["logger=wandb", f"{new}=9"])
    else:
        configuration.compose("benchmark", ["method=mask_embedding", *new.replace("<pixels>", "9").split()])


@pytest.mark.slow
@pytest.mark.parametrize(("group", "old", "new"), OPTIONS)
def test_what_stands_for_an_old_option_composes(group: str, old: str, new: str) -> None:
    overrides = [word for word in new.split() if word != "-m"]
    verb = "benchmark" if group == "experiment" and not any(part in old for part in FOR_TRAINING) else "train"
    if group == "sweep" and "mask_embedding" in old:
        overrides.append("method=mask_embedding")
    jobs = sweep.jobs(verb, overrides, multirun="-m" in new.split())
    assert jobs is None or (len(jobs) == 1) == ("row=" in new)
    for job in jobs or [Command(verb, overrides)]:
        configuration.compose(*job)


@pytest.mark.parametrize("group", renamed.OPTIONS)
def test_no_old_option_exists(group: str) -> None:
    assert not renamed.OPTIONS[group].keys() & set(configuration.groups(configuration.compose("train"))[group])


@pytest.mark.parametrize(("old", "new"), renamed.MOVED.items())
def test_what_moved_is_there(old: str, new: str) -> None:
    try:
        import_module(new)
    except ModuleNotFoundError:
        module, _, name = new.rpartition(".")
        assert hasattr(import_module(module), name)
    assert renamed.importable(old) == f"{old} is now {new}"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("vosbench.memory.FrameMemory", "vosbench.memory.FrameMemory is now vosbench.inference.memory.FrameMemory"),
        ("vosbench.engine.Cosine", "vosbench.engine.Cosine is now vosbench.training.schedules.Cosine"),
        ("vosbench.types", "vosbench.types is now vosbench.contract"),
        ("vosbench.contract.Clip", None),
        ("torch.nn", None),
    ],
)
def test_where_a_name_is_now(name: str, line: str | None) -> None:
    assert renamed.importable(name) == line


def test_an_old_target_is_one_line(command: Callable[..., Any]) -> None:
    done = command("benchmark", "dataset=collage", "memory._target_=vosbench.memory.FrameMemory", "dataset.videos=1")
    done.error(2, "vosbench.memory.FrameMemory is now vosbench.inference.memory.FrameMemory")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from vosbench.types import Clip", "vosbench.types is now vosbench.contract"),
        ("import vosbench.viz", "vosbench.viz is now vosbench.drawing.overlays"),
        (
            "from vosbench.tasks.draw import Drawer_",
            "cannot import name 'Drawer_' from 'vosbench.tasks.draw'",  # what never was keeps its own message
        ),
    ],
)
def test_a_module_of_ones_own_that_imports_an_old_one(
    command: Callable[..., Any], tmp_path: Path, line: str, said: str, request: pytest.FixtureRequest
) -> None:
    module = f"mine_{abs(hash(request.node.name))}"  # a module is imported once in a process
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / f"{module}.py").write_text(f"{line}\n\n\nclass Mine:\n    pass\n")
    target = f"method._target_={module}.Mine"
    command("benchmark", "--config-dir", "own", target, "dataset=collage", "dataset.videos=1").error(
        2, f"cannot find {module}.Mine: ", said
    )


class WithVariant:
    def __init__(self, variant: str = "paper") -> None: ...


def test_an_old_key_in_a_file_of_ones_own_is_one_line() -> None:
    with pytest.raises(UsageError, match=re.escape("method.alignment is now method.variant=released")):
        made({"_target_": f"{__name__}.WithVariant", "alignment": "exact"}, "method")


def test_old_keys_are_gone() -> None:
    config = configuration.resolve(configuration.compose("benchmark", ["method=mask_embedding"]))
    config["logger"] = configuration.resolve(configuration.compose("train", ["logger=wandb"]))["logger"]
    for old in renamed.KEYS:
        group, name = old.split(".")
        assert name not in config[group]


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("logger.name=x", "logger.name is now logger.wandb.name"),
        ("logger.save_dir=x", "logger.save_dir is now logger.wandb.save_dir"),
        ("+logger.entity=x", "logger.entity is now +logger.wandb.entity"),
    ],
)
def test_old_keys_of_wandb(command: Callable[..., Any], typed: str, line: str) -> None:
    tiny = ["data=collage", "data.sources.collage.dataset.videos=1", "data.validation=null"]
    command("train", *tiny, "logger=[wandb,tensorboard]", "logger.offline=true", typed).error(2, line)
    assert not Path("runs").exists()


def test_null_is_no_option(command: Callable[..., Any]) -> None:
    command("train", "logger=null").error(
        2, "logger=null: give one of its options, or leave the group out with ~logger"
    )


def test_the_table_is_what_users_would_type() -> None:
    assert all(shlex.split(new.replace("[]", "")) for _, _, new in OPTIONS)
