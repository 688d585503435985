"""`make bench`: many objects at 480p with a network of the paper's size, read from a memory as full as it gets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

OBJECTS, MOST_MB = 12, 4000
PAST = {"stm": 100, "adaptive": 16}  # frames after which 20 references are kept, or the bank is full


@pytest.mark.parametrize("policy", PAST)
def test_munet_holds_many_objects(policy: str) -> None:
    script = Path(__file__).with_name("measure_objects.py")
    command = [sys.executable, str(script), "munet", policy, str(OBJECTS), str(PAST[policy])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = json.loads(done.stdout)
    print(f"\nMUNet, {policy}, {OBJECTS} objects: {found['seconds']:.1f} s a frame, {found['mb']:.0f} MB", flush=True)
    assert found["references"] == (20 if policy == "stm" else 1)
    assert found["mb"] < MOST_MB
