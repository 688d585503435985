"""The command line as a user meets it: help, one-line errors, run folders, sweeps, and code of one's own."""

import errno
import logging
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from hydra.utils import instantiate

import vosbench
from vosbench.cli import configuration
from vosbench.cli import main as cli
from vosbench.cli.verbs import VERBS
from vosbench.launching.job import Job
from vosbench.launching.local import Local
from vosbench.util.errors import UsageError, UserError


@dataclass(frozen=True, kw_only=True)
class Options:
    """Those of a verb that only tests have."""

    runs: str
    name: str
    run: str
    overrides: list[str]
    paths: dict[str, Any]
    method: dict[str, Any]
    seed: int
    needed: str


PRIMARY = {
    "defaults": ["base", {"method": "mine"}, "_self_", {"experiment": None}],
    "seed": 0,
    "needed": "given",
}
METHOD_CODE = """
from vosbench.util.errors import UsageError, UserError


class Mine:
    def __init__(self, radius: int, top_k: int = 3) -> None:
        if radius < 0:
            raise UserError(f"radius is {radius}: give at least 0")
        self.radius = radius + top_k
"""


@dataclass
class Command:
    """Runs `vosbench <arguments>` in this process, with one more verb: `try`."""

    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch
    configs: Path
    task: Callable[[Options], None] = lambda options: None
    seen: list[Options] = field(default_factory=list)

    def run(self, options: Options) -> None:
        self.seen.append(options)
        self.task(options)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr."""
        self.patch.setattr(sys, "argv", ["vosbench", *arguments])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        out, err = self.capture.readouterr()
        return status, out, err

    def attempt(self, *overrides: str) -> tuple[int, str, str]:
        return self("try", *overrides, "--config-dir", str(self.configs))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    configs = tmp_path / "own"
    (configs / "method").mkdir(parents=True)
    (configs / "try.yaml").write_text(yaml.safe_dump(PRIMARY, sort_keys=False))
    mine = {"_target_": "my_method.Mine", "radius": 2}
    (configs / "method" / "mine.yaml").write_text(yaml.safe_dump(mine))
    (configs / "my_method.py").write_text(METHOD_CODE)
    command = Command(capsys, monkeypatch, configs)
    monkeypatch.setitem(sys.modules, "vosbench.tasks.try", module(command))
    monkeypatch.setitem(VERBS, "try", "only in tests")
    monkeypatch.setattr(configuration, "_folders", [])
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield command
    for handler in set(root.handlers) - set(before[1]):
        handler.close()
    root.level, root.handlers = before


def module(command: Command) -> ModuleType:
    task = ModuleType("vosbench.tasks.try")
    vars(task).update(Options=Options, run=command.run)
    return task


def test_no_verb_lists_all(command: Command) -> None:
    status, out, _ = command()
    assert status == 0
    assert all(f"  {verb}" in out and text in out for verb, text in VERBS.items())


def test_version(command: Command) -> None:
    status, out, _ = command("--version")
    assert (status, out) == (0, f"vosbench {vosbench.__version__}\n")


def test_help_shows_groups_and_keys(command: Command) -> None:
    status, out, _ = command.attempt("--help", "seed=5")
    assert status == 0
    assert "only in tests" in out
    assert "[mine]" in out
    assert "mamp" in out
    assert "  seed: 5" in out
    assert "hydra:\n" not in out


@pytest.mark.parametrize("arguments", [[], ["--version"], ["evaluate", "--help"], ["train", "--help"]])
def test_help_imports_no_torch(arguments: list[str]) -> None:
    code = "import sys; from vosbench.cli.main import main; main(); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "vosbench" in done.stdout


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "try"])
def test_every_verb_explains_itself(command: Command, verb: str) -> None:
    status, out, err = command(verb, "--help")
    assert status == 0, err
    assert VERBS[verb] in out
    assert all(f"\n  {key!s}:" in out for key in configuration.compose(verb, partial=True) if key != "hydra")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tryy"], ["unknown verb 'tryy'", "did you mean 'try'?", "evaluate"]),
        (["--wrong"], ["--wrong", "keys are written without dashes, wrong=<value>"]),
        (["try", "--seed", "3"], ["keys are written without dashes, seed=3"]),
        (["try", "--plan", "--seed=3"], ["keys are written without dashes, plan=<value>"]),
        (["try", "--config-dir", "nowhere"], ["--config-dir", "nowhere"]),
    ],
)
def test_wrong_commands(command: Command, arguments: list[str], parts: list[str]) -> None:
    one_line(command(*arguments), 2, parts)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("sead=1", ["unknown key 'sead'", "did you mean 'seed'?", "experiment"]),
        ("method.radus=1", ["unknown key 'method.radus'", "did you mean 'method.radius'?"]),
        ("seed.x=1", ["'seed' is a single value"]),
        ("+sead=1", ["unknown key 'sead'", "did you mean 'seed'?"]),
        ("method=minne", ["unknown method 'minne'", "did you mean 'mine'?", "mamp"]),
        ("flow=dis", ["unknown key 'flow'"]),
        ("seed", ["cannot read 'seed'", "key=value"]),
        ("seed=1,2", ["seed=1,2", "--multirun"]),
        ("needed=???", ["'needed' has no value", "needed="]),
        ("seed=${nothing}", ["'seed'", "nothing"]),
        ("+method.depth=1", ["unknown key of my_method.Mine 'depth'", "radius, top_k"]),
        ("~method.radius", ["radius"]),
        ("method._target_=my_method.Other", ["cannot find my_method.Other"]),
    ],
)
def test_wrong_configurations(command: Command, override: str, parts: list[str]) -> None:
    command.task = lambda options: instantiate(options.method)
    one_line(command.attempt(override), 2, parts)


def test_a_wrong_configuration_leaves_no_run_folder(command: Command) -> None:
    command.attempt("sead=1")
    command.attempt("needed=???")
    assert not Path("runs").exists()


def works(options: Options) -> None:
    """Leaves a folder, a file, and a note in the log."""
    logging.getLogger("x").info("at work")
    Path(options.run, "results/deep").mkdir(parents=True)
    Path(options.run, "results/deep/part").touch()


def fails(error: BaseException, *, after: Callable[[Options], None] = lambda options: None) -> Callable[..., None]:
    def task(options: Options) -> None:
        after(options)
        raise error

    return task


@pytest.mark.parametrize("error", [UserError("bad"), UsageError("bad"), PermissionError(13, "Permission denied", "x")])
def test_a_command_that_fails_leaves_no_folder(command: Command, error: Exception) -> None:
    command.task = fails(error, after=lambda options: Path(options.run, "results/empty").mkdir(parents=True))
    assert command.attempt()[0] in (1, 2)
    assert command.seen
    assert not Path("runs").exists()


def test_nothing_older_goes_with_it(command: Command) -> None:
    Path("runs/mine/other").mkdir(parents=True)
    command.task = fails(UserError("bad"))
    command.attempt("name=new")
    assert [path.name for path in Path("runs/mine").iterdir()] == ["other"]
    command.task = lambda options: None
    command.attempt("name=again")
    command.task = fails(UserError("bad"))
    command.attempt("name=again")
    assert Path("runs/mine/again/run.log").is_file()
    Path("runs/mine/empty").mkdir()
    command.attempt("name=empty")
    assert Path("runs/mine/empty").is_dir()


@pytest.mark.parametrize("error", [UserError("bad"), TypeError("a mistake"), KeyboardInterrupt()])
def test_work_stays_with_its_log(command: Command, error: BaseException) -> None:
    command.task = fails(error, after=works)
    command.attempt()
    folder = Path("runs/mine/default")
    assert "at work" in (folder / "run.log").read_text()
    assert (folder / "results/deep/part").is_file()


@pytest.mark.parametrize("error", [TypeError("a mistake"), KeyboardInterrupt()])
def test_what_says_no_more_than_where_keeps_its_log(command: Command, error: BaseException) -> None:
    command.task = fails(error)
    command.attempt()
    assert Path("runs/mine/default/run.log").is_file()


def one_line(outcome: tuple[int, str, str], status: int, parts: Sequence[str]) -> None:
    found, out, err = outcome
    assert (found, out) == (status, ""), err
    assert err.startswith("vosbench: "), err
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err


def raising(error: BaseException) -> Callable[[Options], None]:
    def task(options: Options) -> None:
        raise error

    return task


@pytest.mark.parametrize(
    ("error", "status", "parts"),
    [
        (UserError("a.png is\nno image: remove it"), 1, ["error: a.png is no image: remove it"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (OSError(errno.ENOSPC, "No space left on device", "x.png"), 1, ["disk is full", "x.png"]),
        (OSError(errno.ENOSPC, "No space left on device"), 1, ["disk is full", "runs/mine/default"]),
        (PermissionError(errno.EACCES, "Permission denied", "x.png"), 1, ["x.png: Permission denied"]),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    command: Command, error: BaseException, status: int, parts: list[str]
) -> None:
    command.task = raising(error)
    one_line(command.attempt(), status, parts)


def test_errors_of_instantiated_code_speak_for_themselves(command: Command) -> None:
    command.task = lambda options: instantiate(options.method)
    one_line(command.attempt("method.radius=-1"), 1, ["error: radius is -1: give at least 0"])


def test_tracebacks_on_demand(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    command.task = raising(UserError("bad"))
    with pytest.raises(UserError, match="bad"):
        command.attempt()


def test_mistakes_in_the_code_keep_their_traceback(command: Command) -> None:
    command.task = raising(TypeError("a mistake"))
    status, _, err = command.attempt()
    assert status == 1
    assert "    raise error\nTypeError: a mistake\n" in err


def test_the_run_folder_and_its_log(command: Command) -> None:
    command.task = lambda options: logging.getLogger("x").info("hello %d", options.seed)
    status, out, err = command.attempt("seed=3", "needed=x")
    assert (status, out) == (0, "hello 3\n"), err
    (options,) = command.seen
    folder = Path("runs/mine") / options.name
    assert options.run == str(folder.absolute())
    assert options.name.startswith("needed-x+seed-3-")
    assert options.overrides == ["seed=3", "needed=x"]
    assert "hello 3" in (folder / "run.log").read_text()
    assert yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text()) == ["seed=3", "needed=x"]


def test_several_folders_of_ones_own(command: Command, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "method").mkdir(parents=True)
        (tmp_path / name / f"method/from_{name}.yaml").write_text("# @package _global_\ndefaults: [copy_first]\n")
    folders = ["--config-dir", str(tmp_path / "one"), "--config-dir", str(tmp_path / "two")]
    _, _, found = command("predict", *folders, "method=neither", "dataset=collage")
    assert "from_one" in found
    assert "from_two" in found


def test_folders_are_named_after_the_subject(command: Command) -> None:
    experiments = command.configs / "experiment"
    experiments.mkdir()
    (experiments / "table3.yaml").write_text("# @package _global_\nseed: 7\n")
    command.attempt("experiment=table3")
    command.attempt("name=first", "runs=elsewhere")
    command.attempt("hydra.run.dir=here")
    places = [Path(options.run).relative_to(Path.cwd()).as_posix() for options in command.seen]
    assert places == ["runs/table3/default", "elsewhere/mine/first", "here"]
    assert command.seen[0].seed == 7


def test_other_processes_of_a_training_run_the_same_verb_in_the_same_folder(command: Command) -> None:
    command.attempt("seed=3")
    # Lightning starts them so, from sys.argv.
    folder = Path(command.seen[0].run).relative_to(Path.cwd())
    status, _, err = command(
        *sys.argv[1:],
        f'hydra.run.dir="{folder}"',
        "hydra.job.name=train_ddp_process_1",
        "hydra.output_subdir=null",
    )
    assert status == 0, err
    assert command.seen[0] == command.seen[1]
    assert (folder / "train_ddp_process_1.log").exists()


def test_a_method_of_ones_own(command: Command) -> None:
    made = []
    command.task = lambda options: made.append(instantiate(options.method))
    status, _, err = command.attempt("method.radius=4")
    assert status == 0, err
    assert made[0].radius == 7


def test_configs_of_installed_packages(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = command.configs / "their_package" / "conf"
    (conf / "method").mkdir(parents=True)
    (conf / "__init__.py").touch()
    (conf.parent / "__init__.py").touch()
    (conf / "method" / "theirs.yaml").write_text("_target_: their_package.Theirs\n")
    package = EntryPoint(name="theirs", value="their_package.conf", group="vosbench.configs")
    monkeypatch.setattr(configuration, "entry_points", lambda group: [package] if group == package.group else [])
    status, _, err = command.attempt("method=theirs")
    assert status == 0, err
    assert command.seen[0].method == {"_target_": "their_package.Theirs"}


def test_sweeps_run_each_combination_as_its_own_process(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    started = processes(monkeypatch, lambda arguments: "seed=1" in arguments)
    status, _, err = command.attempt("-m", "seed=0,1", "method.radius=1,2", "needed=x")
    flags = ["--config-dir", str(command.configs)]
    assert started == [
        ["try", *flags, f"seed={seed}", f"method.radius={radius}", "needed=x"] for seed in (0, 1) for radius in (1, 2)
    ]
    assert status == 1
    assert "2 of 4 jobs failed" in err
    assert shlex.join(started[2]) in err
    assert not Path("runs").exists()


def test_named_sweeps(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    started = processes(monkeypatch, lambda arguments: False)
    assert command.attempt("sweep=seeds", "needed=x")[0] == 0
    assert [arguments[3:] for arguments in started] == [[f"seed={seed}", "needed=x"] for seed in (0, 1, 2)]
    started.clear()
    assert command.attempt("sweep=seeds", "seed=7,8")[0] == 0
    assert [arguments[3:] for arguments in started] == [["seed=7"], ["seed=8"]]
    one_line(command.attempt("sweep=sead"), 2, ["unknown sweep 'sead'", "seeds"])


def processes(monkeypatch: pytest.MonkeyPatch, fails: Callable[[Sequence[str]], bool]) -> list[list[str]]:
    """Records the arguments of the processes that a sweep would start."""
    started: list[list[str]] = []

    def run(self: Local, jobs: Sequence[Job]) -> dict[Job, str]:
        started.extend(list(job.arguments) for job in jobs)
        return {job: "status 1" for job in jobs if fails(job.arguments)}

    monkeypatch.setattr(Local, "run", run)
    return started
