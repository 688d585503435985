"""What a wheel holds: the linked folders are easily lost, and none may become somebody's top-level package."""

import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINKED = ("methods", "datasets", "evaluation", "conf")
SHIPPED = {".py", ".yaml", ".json", ".csv", ".safetensors", ".md", ".html", ".css", ".js", ".txt", ".sh", ".toml"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def shipped(folder: Path) -> set[str]:
    """Files under a folder that have to ship, as paths from the folder."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in files if path.suffix in SHIPPED and not path.name.startswith(".")}


@pytest.mark.parametrize("linked", LINKED)
def test_wheel_has_every_file_of_the_linked_folders(wheel: set[str], linked: str) -> None:
    expected = {f"vosbench/{linked}/{name}" for name in shipped(ROOT / linked)}
    assert expected
    assert expected <= wheel


def test_wheel_has_every_file_of_the_package(wheel: set[str]) -> None:
    own = {f"vosbench/{name}" for name in shipped(ROOT / "vosbench")}
    assert "vosbench/cli/main.py" in own
    assert own <= wheel


def test_wheel_installs_one_package(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel if ".dist-info" not in name} == {"vosbench"}


@pytest.mark.parametrize("linked", LINKED)
def test_folders_are_relative_links(linked: str) -> None:
    assert (ROOT / "vosbench" / linked).readlink() == Path("..") / linked


@pytest.mark.parametrize("linked", LINKED[:3])
def test_folders_of_a_clone_shadow_no_package(linked: str) -> None:
    assert not (ROOT / linked / "__init__.py").exists(), "a clone's root on sys.path would hide packages of this name"


def test_hydra_finds_the_configs() -> None:
    assert (ROOT / "conf" / "__init__.py").exists()


def test_the_script_is_the_command_line() -> None:
    (script,) = entry_points(group="console_scripts", name="vosbench")
    assert script.value == "vosbench.cli.main:main"


def test_linked_folders_are_linted_and_typed_once(tmp_path: Path) -> None:
    """Mistakes planted in the linked folders of a copy are found by both tools, once each."""
    for name in ("vosbench", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "whole.py").touch()
    for name in LINKED:
        (tmp_path / name).mkdir()
        (tmp_path / name / "planted.py").write_text("import datasets\n\nx: int = 'text'\n")
        (tmp_path / "vosbench" / name).symlink_to(Path("..") / name)
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    ruff = subprocess.run([sys.executable, "-m", "ruff", "check"], cwd=tmp_path, capture_output=True, text=True)
    mypy = subprocess.run([sys.executable, "-m", "mypy"], cwd=tmp_path, capture_output=True, text=True)
    assert ruff.stdout.count("TID251") == len(LINKED), ruff.stdout
    assert mypy.stdout.count("[assignment]") == len(LINKED), mypy.stdout
    assert all(f"vosbench/{name}/planted.py" in mypy.stdout for name in LINKED)
