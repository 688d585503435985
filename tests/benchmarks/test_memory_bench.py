"""`make bench`: memories that stop growing. Once full, here by frame 100, frame 10,000 costs what frame 100 does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FRAMES = 10_000
MOST_TIME, MOST_MIB = 1.25, 50


@pytest.mark.parametrize("policy", ["stm", "adaptive"])
def test_a_late_frame_costs_what_an_early_one_does(policy: str) -> None:
    script = Path(__file__).with_name("measure_memory.py")
    done = subprocess.run(
        [sys.executable, str(script), policy, str(FRAMES)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    (early, late), (before, after) = found["seconds"], found["mib"]
    times = f"{1000 * early:.1f} ms around frame 100, {1000 * late:.1f} ms around frame {FRAMES:,}"
    print(f"\n{policy}: {times} ({late / early:.2f}×); {before:.0f} and {after:.0f} MiB", flush=True)
    assert late <= MOST_TIME * early
    assert after <= before + MOST_MIB
