"""Completion of commands: what is suggested, and the scripts in real shells."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vosbench.cli.suggestions import suggestions
from vosbench.cli.verbs import VERBS


def suggested(line: str) -> list[str]:
    return suggestions(line, list(VERBS))


@pytest.mark.parametrize(
    ("line", "some", "none"),
    [
        ("vosbench ", ["train", "completion", "--version"], ["method="]),
        ("vosbench tr", ["train"], ["predict"]),
        ("vosbench train", ["train"], ["method="]),
        ("vosbench train ", ["method=", "data.", "init=", "seed="], ["train", "hydra=", "hydra.", "input="]),
        ("vosbench train -", ["-m", "--config-dir"], ["method="]),
        ("vosbench predict inp", ["input="], ["mask="]),
        ("vosbench train method=mam", ["method=mamp", "method=mamp_small"], ["method=munet"]),
        ("vosbench train -m method=", ["method=mamp", "method=munet"], []),
        ("vosbench train experiment=mamp/p", ["experiment=mamp/paper"], ["experiment=munet/paper"]),
        ("vosbench benchmark method=mamp inference.s", ["inference.short_side="], ["inference.kernel="]),
        ("vosbench train method=munet method.", ["method.motion."], ["method.matching=", "method._target_="]),
        ("vosbench train overwrite=", ["overwrite=true", "overwrite=false"], []),
        ("vosbench train nonsense=3 metho", ["method="], []),
    ],
)
def test_suggestions(line: str, some: list[str], none: list[str]) -> None:
    found = suggested(line)
    assert set(some) <= set(found)
    assert not set(none) & set(found)
    last = "" if line.endswith(" ") else line.split()[-1]
    assert all(each.startswith(last) for each in found)


@pytest.mark.parametrize("line", ["vosbench predict input=", "vosbench nonsense ", "vosbench train --config-dir "])
def test_nothing_where_shells_know_better(line: str) -> None:
    assert suggested(line) == []


def test_configs_of_ones_own_are_suggested(tmp_path: Path) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "method/of_my_own.yaml").write_text("# @package _global_\nmethod: {}\n")
    code = "import sys; from vosbench.cli.suggestions import suggestions; print(suggestions(sys.argv[1], ['train']))"
    line = f"vosbench train --config-dir {tmp_path} method=of"  # in its own process, since the folder stays known
    found = subprocess.run([sys.executable, "-c", code, line], check=True, capture_output=True, text=True)
    assert "method=of_my_own" in found.stdout


ASKED = {
    "bash": 'source <(vosbench completion bash); COMP_LINE="$1"; COMP_POINT=${#1}; compopt() { :; }; _vosbench; '
    'printf "%s\\n" "${COMPREPLY[@]}"',
    "fish": "vosbench completion fish | source; complete --do-complete $argv[1]",
}


def completed(shell: str, line: str) -> list[str]:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [path, "-c", ASKED[shell], *(["-"] if shell == "bash" else []), line]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert not found.stderr
    return found.stdout.split()


@pytest.mark.parametrize("shell", ASKED)
def test_a_verb_is_completed(shell: str) -> None:
    assert completed(shell, "vosbench bench") == ["benchmark"]


def test_bash_takes_what_follows_an_equals_sign_for_a_word() -> None:
    assert completed("bash", "vosbench train method=mamp") == ["mamp", "mamp_small"]


def test_fish_completes_an_option() -> None:
    assert completed("fish", "vosbench train method=mamp") == ["method=mamp", "method=mamp_small"]


def test_zsh_reads_its_script() -> None:
    path = shutil.which("zsh")
    if path is None:
        pytest.skip("zsh is not installed")
    script = subprocess.run(
        [sys.executable, "-m", "vosbench", "completion", "zsh"], check=True, capture_output=True, text=True
    ).stdout
    code = f"autoload -U compinit; compinit -u; {script}\nprint -r -- $_comps[vosbench]"
    found = subprocess.run([path, "-fc", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "_vosbench"
    assert not found.stderr
