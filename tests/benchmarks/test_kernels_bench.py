"""`make bench`: what `channels_last` and `compile` gain, as a ratio of CPU time to that of neither. Reported as it
falls: it depends on the processor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def measured(method: str, option: str) -> dict[str, float]:
    script = Path(__file__).with_name("measure_kernels.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), method, option]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("method", ["mamp", "mask_embedding", "munet"])
def test_options_of_kernels(method: str) -> None:
    found = {option: measured(method, option) for option in ("plain", "channels_last", "compiled")}
    for option, each in found.items():
        ratio = each["frame"] / found["plain"]["frame"]
        print(f"\n{method}, {option}: {each['frame']:.3f} s a frame ({ratio:.2f}×), first two {each['first']:.1f} s")
    assert min(each["frame"] for each in found.values()) > 0
