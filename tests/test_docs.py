"""What the documentation shows runs as it stands there.

Each command is composed. Each command of README and docs is also run here, or is marked as needing what a test does not
have: data sets, GPUs, a cluster. CONTRIBUTING.md says how to mark it.
"""

import re
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from vosbench.cli import configuration, launch, sweep
from vosbench.cli import main as cli
from vosbench.drawing.encoding import write_video
from vosbench.video.images import write_label_map

Command = Callable[..., Any]

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CARDS = sorted((ROOT / "vosbench/weights").glob("*.md"))
STANDS_FOR = {"dataset=<name>": "dataset=collage"}  # other placeholders stand for files, and any name will do
TOKEN = re.compile(
    r"""^```[^\n]*\n (?P<block> .*? ) ^```
    | ^(?P<heading> \#+ )\s
    | ^\*(?P<mark> Needs | All\ commands\ here\ need )\s [^*]+ \.\*$
    | `(?P<span> [^`]+ )`""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)


class Shown(NamedTuple):
    """A command in the documentation. `marked`: the page says that it needs what a test does not have."""

    text: str
    marked: bool


def documented(page: Path, program: str = "vosbench") -> Iterator[Shown]:
    """The commands of a page that begin with `program`: lines of code blocks, and whole commands in the text.

    A line "*Needs …*" marks all commands until the next heading, "*All commands here need …*" those of the page, and a
    comment "# needs …" the command before it.
    """
    whole = section = False
    for token in TOKEN.finditer(page.read_text()):
        if token["mark"]:
            section, whole = True, whole or token["mark"] != "Needs"
        elif token["heading"]:
            section = False
        elif token["block"]:
            for line in token["block"].replace("\\\n", " ").splitlines():
                text, _, comment = line.partition(" #")
                if line.startswith(f"{program} "):
                    yield Shown(" ".join(text.split()), whole or section or comment.startswith(" needs "))
        elif token["span"] and re.match(rf"{program} [\w/.-]+ \S", text := " ".join(token["span"].split())):
            yield Shown(text, whole or section)


def words_of(command: str) -> list[str]:
    """The arguments, with something in place of what a reader has to fill in."""
    for placeholder, value in STANDS_FOR.items():
        command = command.replace(placeholder, value)
    return shlex.split(re.sub(r"<[^<>]*>", "given", command))[1:]


COMMANDS = sorted({shown.text for page in [*PAGES, *CARDS] for shown in documented(page)})
UNMARKED = sorted({shown.text for page in PAGES for shown in documented(page) if not shown.marked})
COPIED = [text for text in COMMANDS if "--config-dir mine " in text]  # needs the folder `mine`: see below
WRITTEN = [text for text in COMMANDS if "method=my_method" in text]  # needs what `vosbench new` writes: see test_new
WATCHING = [text for text in UNMARKED if "watch=true" in text]  # does not end: see below


def jobs_of(command: str) -> list[tuple[str, list[str]]]:
    """The verb and the overrides of every single command that this one stands for."""
    typed = cli.parse(words_of(command))
    _, words = launch.divided(typed.words)  # what is said to the launcher is no part of a job
    found = sweep.jobs(typed.verb, words, typed.multirun)
    return [(typed.verb, words)] if found is None else [(job.verb, job.words) for job in found]


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 80
    assert any("\\" not in command and "checkpoint=" in command for command in COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if "--config-dir" not in command and command not in WRITTEN]
)
def test_a_documented_command_composes(command: str) -> None:
    jobs = jobs_of(command)
    for verb, overrides in jobs[:2] + jobs[2:][-1:]:  # test_sweep composes all rows of all tables
        values = configuration.resolve(configuration.compose(verb, overrides))
        configuration.options(configuration.task(verb), values)


@pytest.mark.slow
def test_run_folders_in_the_docs_are_those_that_documented_trainings_make() -> None:
    known = [command for command in COMMANDS if command not in WRITTEN]
    made = {
        str(folder.relative_to(Path.cwd()))
        for command in known
        if command.startswith("vosbench train ")
        for verb, overrides in jobs_of(command)
        if (folder := configuration.run_folder(configuration.compose(verb, overrides)))
    }
    shown = {name for command in known for name in re.findall(r"(?:checkpoint|init|labels)=(runs/\S+)", command)}
    assert shown
    assert not shown - made


TINY = {
    "benchmark": "dataset.videos=1 dataset.max_frames=3 workers=0 pictures=0",
    "check": "workers=0",
    "draw": "",
    "leaderboard": "resamples=20",
    "predict": "",
    "prepare": "workers=0",
    "train": "trainer.max_steps=1 data.batch_size=1 data.clips.size=64 data.workers=0 validation=none",
}


def verb_of(text: str) -> str | None:
    verb: str | None = cli.parse(words_of(text)).verb
    return verb


def tiny(text: str) -> list[str]:
    """The words of a command, and overrides that make it end in seconds."""
    return [*words_of(text), *TINY[verb_of(text) or ""].split()]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with what readers bring along: videos of three frames, with a mask of the first one."""
    frames = np.random.default_rng(0).integers(0, 255, (3, 40, 68, 3), np.uint8)
    video = [np.kron(frame, np.ones((8, 8, 1), np.uint8)) for frame in frames]  # 320 by 544 pixels
    mask = np.zeros((320, 544), np.uint8)
    mask[120:240, 80:300] = 1
    (tmp_path / "clips").mkdir()
    write_video(tmp_path / "video.mp4", video, fps=10)
    for copy in ("clip.mp4", "clips/one.mp4", "clips/two.mp4"):
        shutil.copy(tmp_path / "video.mp4", tmp_path / copy)
    write_label_map(tmp_path / "first.png", mask)
    return tmp_path


def before(text: str) -> Iterator[str]:
    """The documented commands, and others like them, whose results a command reads."""
    if run := re.search(r"checkpoint=runs/(\w+)/(\w+)", text):
        yield next(other for other in UNMARKED if f"train method={run[1]} " in other and f"name={run[2]}" in other)
    if "dataset.root=small" in text:
        yield next(other for other in UNMARKED if "output=small" in other)
    if text.startswith("vosbench leaderboard") and "table=mamp_1" not in text:
        for method in ("mamp", "mamp_small") if "where=" in text else ("mamp_small",):
            yield f"vosbench train method={method} data=collage name=mine"
            yield f"vosbench benchmark method={method} dataset=collage checkpoint=runs/{method}/mine name=trained"
        yield "vosbench benchmark method=copy_first dataset=collage runs=elsewhere"


def test_scripts_are_there_and_are_marked() -> None:
    """They measure, for minutes."""
    scripts = [shown for page in PAGES for shown in documented(page, "python")]
    assert len(scripts) > 2
    assert [shown.text for shown in scripts if not (ROOT / shown.text.split()[1]).is_file()] == []
    assert [shown.text for shown in scripts if not shown.marked] == []


def test_commands_run_or_are_marked() -> None:
    assert len(UNMARKED) > 20
    assert {verb_of(text) for text in UNMARKED if text not in WRITTEN} <= TINY.keys()
    known = {*WRITTEN, *COPIED}
    on_frames = [text for text in UNMARKED if text not in known and verb_of(text) in ("predict", "benchmark")]
    assert on_frames
    assert not [text for text in on_frames if not re.search(r"input=|dataset=collage|dataset\.root=", text)]


@pytest.mark.slow
@pytest.mark.parametrize("text", [text for text in UNMARKED if text not in COPIED + WRITTEN + WATCHING])
def test_what_is_not_marked_runs(text: str, place: Path, command: Command) -> None:
    for each in [*before(text), text]:
        outcome = command(*tiny(each))
        assert not outcome.status, outcome.err


@pytest.mark.slow
def test_a_leaderboard_is_watched_until_it_is_interrupted(command: Command, started: Command, tmp_path: Path) -> None:
    command(*tiny("vosbench benchmark method=copy_first dataset=collage"))
    (text,) = WATCHING
    process = started(*words_of(text))
    until = time.monotonic() + 120
    while not [*tmp_path.rglob("leaderboard.html")] and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert [*tmp_path.rglob("leaderboard.html")], err


@pytest.mark.parametrize("text", COPIED)
def test_what_the_docs_write_into_a_folder_of_ones_own_runs(text: str, command: Command, tmp_path: Path) -> None:
    blocks = re.findall(
        r"this is `(mine/\S+)`[^\n]*:\n\n```\w+\n(.*?)```",
        (ROOT / "docs/extending.md").read_text(),
        re.DOTALL | re.IGNORECASE,
    )
    assert {Path(name).suffix for name, _ in blocks} == {".py", ".yaml"}
    for name, content in blocks:  # copied as they are
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (dataset,) = re.findall(r"dataset=(\w+)", text)
    done = command(*[word for word in tiny(text) if dataset == "collage" or not word.startswith("dataset.")])
    assert done.status == 0, done.err
    assert f"on {dataset} val" in " ".join(done.out.split())


def test_a_data_set_of_ones_own_gets_a_name(command: Command, davis: Path, tmp_path: Path) -> None:
    (content,) = re.findall(r"```yaml\n(_target_.*?)```", (ROOT / "docs/datasets.md").read_text(), re.DOTALL)
    (tmp_path / "mine/dataset").mkdir(parents=True)
    (tmp_path / "mine/dataset/garden.yaml").write_text(content)
    for kind in ("JPEGImages", "Annotations"):
        shutil.copytree(davis / kind / "480p", tmp_path / "garden" / kind)
    done = command("check", "--config-dir", "mine", "dataset=garden", f"paths.data={tmp_path}", "workers=0")
    assert done.status == 0, done.out + done.err
    assert "no problems found" in done.out
