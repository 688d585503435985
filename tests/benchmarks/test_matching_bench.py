"""`make bench`: matching against the plain full affinity, in single-thread CPU time and in memory.

mask_embedding: 128 channels, disks of radius 12, top 10, the first reference unrestricted. vit: frozen features at
strides 16 and 8, 384 channels, squares of radius 12 in the first and the last frames, top 5. Every measurement is a
process of its own, the median of three calls. The full affinity is one HW × NHW matrix, masked in place: with released
code's copies of it, it would need two to three times the memory.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

Case = tuple[str, int, int, int, int]

# Setting, grid, references, channels of what is read: 480p with the masks of 10 objects, or the mask embedding of one.
CASES: list[Case] = [
    ("mask_embedding", 60, 107, 21, 11),
    ("mask_embedding", 60, 107, 21, 512),
    ("mask_embedding", 60, 107, 6, 11),
    ("vit", 30, 53, 8, 11),
    ("vit", 30, 53, 29, 11),
    ("vit", 60, 107, 8, 11),
    ("vit", 60, 107, 29, 11),
]
LARGE: Case = ("vit", 90, 160, 8, 11)  # 1440p
# At least so many times faster and smaller.
REQUIRED = {CASES[0]: (1, 10), CASES[1]: (1, 10), CASES[2]: (1, 1), CASES[5]: (3, 10), CASES[6]: (3, 10)}
MOST_MIB = 2048  # of a process that segments one object with the whole method


def measure(script: str, *arguments: object) -> dict[str, float]:
    """Seconds and MiB that a script beside this one prints."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


@pytest.fixture(scope="module")
def table() -> dict[Case, dict[str, dict[str, float]]]:
    """All measurements; printed."""
    print(f"\n{'grid':>24} {'references':>10} {'values':>6} | {'full':>17} | {'blocked':>17} {'time':>6} {'memory':>6}")
    rows = {}
    for case in CASES:
        setting, h, w, references, values = case
        full, blocked = (measure("measure_matching.py", what, *case) for what in ("full", "blocked"))
        cells = [f"{each['seconds']:6.2f} s {each['mib']:5.0f} MiB" for each in (full, blocked)]
        ratios = f"{full['seconds'] / blocked['seconds']:5.1f}× {full['mib'] / blocked['mib']:5.1f}×"
        name = f"{setting} {h}×{w}"
        print(f"{name:>24} {references:>10} {values:>6} | {cells[0]} | {cells[1]} {ratios}", flush=True)
        rows[case] = {"full": full, "blocked": blocked}
    return rows


@pytest.mark.parametrize("case", REQUIRED, ids=lambda case: "×".join(map(str, case)))
def test_matching_is_small_and_fast(table: dict[Case, dict[str, dict[str, float]]], case: Case) -> None:
    full, blocked = table[case]["full"], table[case]["blocked"]
    faster, smaller = REQUIRED[case]
    assert full["seconds"] > faster * blocked["seconds"]
    assert full["mib"] > smaller * blocked["mib"]


def test_large_frames_are_matched_in_little_memory() -> None:
    found = measure("measure_matching.py", "blocked", *LARGE)
    print(f"\n1440p: {found['seconds']:.2f} s, {found['mib']:.0f} MiB")
    assert found["mib"] < MOST_MIB


@pytest.mark.parametrize("depth", [18, 50])
def test_a_step_of_the_whole_method_is_small(depth: int) -> None:
    """With 21 references at 480p, three rounds and one object."""
    found = measure("measure_step.py", depth, 1)
    print(f"\nResNet-{depth}: {found['seconds']:.2f} s a frame, {found['mib']:.0f} MiB")
    assert found["mib"] < MOST_MIB
