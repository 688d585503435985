"""The script for a real GPU, tried out on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent / "gpu/measure.py"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(SCRIPT), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_section(tmp_path: Path) -> None:
    done = run("--device", "cpu", "--quick", "--output", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stderr
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert list(sections) == ["equality", "precisions", "training", "references", "two_devices"]
    assert all(row["equal"] == 1 for row in sections["equality"]["rows"])
    assert all(row["equal"] >= 0.99 for row in sections["precisions"]["rows"])
    assert all(row["clips_s"] > 0 for row in sections["training"]["rows"])
    assert sections["references"]["rows"][0]["references"] == 4
    assert "| mamp | 32-true |" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu(tmp_path: Path) -> None:
    done = run("--output", str(tmp_path / "gpu.json"))
    assert done.returncode == 1
    assert done.stderr == "measure.py: torch sees no GPU here: nothing measured\n"
    assert not list(tmp_path.iterdir())
