"""How threads wait: the setting is made before torch reads it, and a user's own counts."""

import os
import subprocess
import sys

import pytest

from vosbench.cli.threads import SETTINGS, wait_without_work


def test_waiting_threads_soon_sleep_from_before_torch_is_imported() -> None:
    code = """
import os, sys
from vosbench.cli import main
early = "torch" in sys.modules
sys.argv = ["vosbench", "--version"]
main.main()
print(early, "torch" in sys.modules, os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"])
"""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False passive 2000"


@pytest.mark.parametrize("name", SETTINGS)
def test_how_the_user_wants_threads_to_wait_counts(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each in SETTINGS:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "7")
    wait_without_work()
    assert {each: os.environ.get(each) for each in SETTINGS} == {**dict.fromkeys(SETTINGS), name: "7"}
