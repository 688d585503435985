"""What the documentation shows runs as it stands there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from vosbench.cli import configuration, launch, sweep
from vosbench.cli import main as cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "vosbench/weights").glob("*.md"))]
STANDS_FOR = {"dataset=<name>": "dataset=davis2017"}  # other placeholders stand for files, and any name will do


def documented(page: Path) -> Iterator[str]:
    """The commands of a page: lines of code blocks, and whole commands in the text."""
    text = page.read_text()
    fence = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
    for block in fence.findall(text):
        lines = block.replace("\\\n", " ").splitlines()
        yield from (line.partition(" #")[0] for line in lines if line.startswith("vosbench "))
    spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", fence.sub("", text)))
    yield from (span for span in spans if re.match(r"vosbench \w+ \S", span))


def words_of(command: str) -> list[str]:
    """The arguments, with something in place of what a reader has to fill in."""
    for placeholder, value in STANDS_FOR.items():
        command = command.replace(placeholder, value)
    return shlex.split(re.sub(r"<[^<>]*>", "given", command))[1:]


COMMANDS = sorted({" ".join(command.split()) for page in PAGES for command in documented(page)})
ELSEWHERE = [command for command in COMMANDS if "--config-dir" in command]  # needs the reader's own folder: see below


def jobs_of(command: str) -> list[tuple[str, list[str]]]:
    """The verb and the overrides of every single command that this one stands for."""
    typed = cli.parse(words_of(command))
    _, words = launch.divided(typed.words)  # what is said to the launcher is no part of a job
    found = sweep.jobs(typed.verb, words, typed.multirun)
    return [(typed.verb, words)] if found is None else [(job.verb, job.words) for job in found]


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 80
    assert any("\\" not in command and "checkpoint=" in command for command in COMMANDS)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ELSEWHERE])
def test_a_documented_command_composes(command: str) -> None:
    jobs = jobs_of(command)
    for verb, overrides in jobs[:2] + jobs[2:][-1:]:  # test_sweep composes all rows of all tables
        values = configuration.resolve(configuration.compose(verb, overrides))
        configuration.options(configuration.task(verb), values)


@pytest.mark.slow
def test_run_folders_in_the_docs_are_those_that_documented_trainings_make() -> None:
    made = {
        str(folder.relative_to(Path.cwd()))
        for command in COMMANDS
        if command.startswith("vosbench train ")
        for verb, overrides in jobs_of(command)
        if (folder := configuration.run_folder(configuration.compose(verb, overrides)))
    }
    shown = {name for command in COMMANDS for name in re.findall(r"(?:checkpoint|init|labels)=(runs/\S+)", command)}
    assert shown
    assert not shown - made


SECONDS = [
    command
    for command in COMMANDS
    if re.match(r"vosbench benchmark method=(copy_first|flow_warp|mamp|mamp_small) dataset=\S+$", command)
]


@pytest.mark.parametrize("command", SECONDS)
def test_what_takes_seconds_runs_on_the_embedded_set(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = ["dataset=collage", "dataset.videos=1", "dataset.max_frames=3", "workers=0", "pictures=0"]
    monkeypatch.setattr("sys.argv", ["vosbench", *words_of(command), *tiny])
    cli.main()
    assert "on collage val" in capsys.readouterr().out


def test_the_method_of_the_docs_runs_from_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs/methods.md").read_text()
    for language in ("python", "yaml"):  # copied as they are
        block = re.search(rf"this is `(mine/\S+)`[^\n]*:\n\n```{language}\n(.*?)```", text, re.DOTALL | re.IGNORECASE)
        assert block, f"docs/methods.md shows no {language} file"
        path = tmp_path / block[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block[2])
    command = re.search(r"^vosbench (benchmark --config-dir mine .*)$", text, re.MULTILINE)
    assert command
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["vosbench", *command[1].split(), "dataset.max_frames=3", "workers=0"])
    cli.main()
    assert "last_mask on collage val" in capsys.readouterr().out
