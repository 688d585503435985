"""`vosbench new method=…`: what it writes keeps its promises, trains, and becomes a package that vosbench finds."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vosbench.cli import main as cli

ROOT = Path(__file__).parents[1]
Run = Callable[..., tuple[int, str, str]]
TINY = ["dataset=collage", "dataset.videos=1", "dataset.max_frames=3", "workers=0", "pictures=0"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in a temporary folder: its status, what it printed, and its errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["vosbench", *arguments])
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return run


def vosbench(folder: Path, *arguments: str, path: Path | None = None) -> str:
    """What a command prints as a process of its own, since modules of one name are imported once."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, filter(None, [path, ROOT])))}
    command = [sys.executable, "-m", "vosbench", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_what_is_written_has_the_name_everywhere(run: Run, tmp_path: Path) -> None:
    status, out, err = run("new", "method=colour_copy")
    assert status == 0, err
    assert "vosbench check --config-dir colour_copy method=colour_copy" in out
    written = [path for path in (tmp_path / "colour_copy").rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path / "colour_copy")) for path in written} == {
        "README.md",
        "pyproject.toml",
        "colour_copy/__init__.py",
        "colour_copy/network.py",
        "colour_copy/method/colour_copy.yaml",
        "tests/test_colour_copy.py",
    }
    texts = "".join(path.read_text() for path in written)
    assert "my_method" not in texts
    assert "MyMethod" not in texts
    assert "class ColourCopy(Method" in texts
    assert "# Colour copy: label propagation" in texts


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My-Method", "give a Python name in small letters"),
        ("class", "give a Python name"),
        ("mamp", "exists already"),
        ("json", "Python has a module of that name"),
    ],
)
def test_names_that_cannot_be(run: Run, tmp_path: Path, name: str, said: str) -> None:
    status, _, err = run("new", f"method={name}")
    assert status == 1
    assert said in err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_stays(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    status, _, err = run("new", "method=mine")
    assert status == 1
    assert "mine exists: give output=<another folder>" in err
    assert run("new", "method=mine", "output=other")[0] == 0
    assert (tmp_path / "other/mine/network.py").is_file()


@pytest.mark.slow
def test_it_works_as_its_readme_says(run: Run, tmp_path: Path) -> None:
    """By `--config-dir`: the checks, a training, a benchmark of its weights."""
    assert run("new", "method=readme_method")[0] == 0
    project = tmp_path / "readme_method"
    lines = [line for line in (project / "README.md").read_text().splitlines() if line.startswith("vosbench ")]
    docs = (ROOT / "docs/extending.md").read_text()
    assert all(line.replace("readme_method", "my_method") in docs.splitlines() for line in lines)
    check, train, benchmark = (line.split()[1:] for line in lines)
    assert "all promises kept" in vosbench(project, *check)
    vosbench(project, *train, "trainer.max_steps=2", "data.validation.max_frames=3")
    assert "first" in vosbench(project, *benchmark, *TINY)


@pytest.mark.slow
def test_the_test_that_it_writes_passes(run: Run, tmp_path: Path) -> None:
    assert run("new", "method=tested_method")[0] == 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "tests"]
    done = subprocess.run(command, cwd=tmp_path / "tested_method", env=environment, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.slow
def test_it_is_installed_and_found_by_its_entry_point(run: Run, tmp_path: Path) -> None:
    assert run("new", "method=packed_method")[0] == 0
    project, wheels, installed = (tmp_path / name for name in ("packed_method", "wheels", "installed"))
    (project / "packed_method/protocols").mkdir()
    (project / "packed_method/protocols/packed_rules.py").write_text(
        "from dataclasses import replace\n"
        "from vosbench.evaluation.protocols.davis import PROTOCOL as DAVIS\n"
        'PROTOCOL = replace(DAVIS, name="packed-rules")\n'
    )
    build = ["-m", "hatchling", "build", "--target", "wheel", "--directory", str(wheels)]
    subprocess.run([sys.executable, *build], cwd=project, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(installed), str(wheel)]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    shutil.rmtree(project)
    words = ["method=packed_method", "checkpoint=none", "protocol=packed-rules", *TINY]
    out = vosbench(tmp_path, "benchmark", *words, path=installed)
    assert "packed_method on collage val" in out
    assert "protocol packed-rules" in out
