"""`make bench`: matching with an unrestricted first frame against the plain full affinity, in single-thread CPU time
and in memory.

128 channels, radius 12, top 10, the first reference unrestricted. Every measurement is a process of its own, the median
of three calls. The full affinity is one HW × NHW matrix, masked in place: with released code's copies of it, it would
need two to three times the memory.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Grid, references, channels of what is read: 480p with the masks of 10 objects, or the mask embedding of one.
CASES = [(60, 107, 21, 11), (60, 107, 21, 512), (60, 107, 6, 11)]
LEAST_SMALLER = 10  # with 21 references
MOST_MIB = 2048  # of a process that segments one object with the whole method


def measure(script: str, *arguments: object) -> dict[str, float]:
    """Seconds and MiB that a script beside this one prints."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


@pytest.fixture(scope="module")
def table() -> dict[tuple[int, int, int, int], dict[str, dict[str, float]]]:
    """All measurements; printed."""
    print(f"\n{'grid':>9} {'references':>10} {'values':>6} | {'full':>17} | {'blocked':>17} {'time':>6} {'memory':>6}")
    rows = {}
    for case in CASES:
        h, w, references, values = case
        full, blocked = (measure("measure_matching.py", what, *case) for what in ("full", "blocked"))
        cells = [f"{each['seconds']:6.2f} s {each['mib']:5.0f} MiB" for each in (full, blocked)]
        ratios = f"{full['seconds'] / blocked['seconds']:5.1f}× {full['mib'] / blocked['mib']:5.1f}×"
        print(f"{f'{h}×{w}':>9} {references:>10} {values:>6} | {cells[0]} | {cells[1]} {ratios}", flush=True)
        rows[case] = {"full": full, "blocked": blocked}
    return rows


@pytest.mark.parametrize("case", CASES, ids=lambda case: "×".join(map(str, case)))
def test_matching_is_small_and_no_slower(
    table: dict[tuple[int, int, int, int], dict[str, dict[str, float]]], case: tuple[int, int, int, int]
) -> None:
    full, blocked = table[case]["full"], table[case]["blocked"]
    assert full["seconds"] > blocked["seconds"]
    if case[2] == 21:
        assert full["mib"] > LEAST_SMALLER * blocked["mib"]


@pytest.mark.parametrize("depth", [18, 50])
def test_a_step_of_the_whole_method_is_small(depth: int) -> None:
    """With 21 references at 480p, three rounds and one object."""
    found = measure("measure_step.py", depth, 1)
    print(f"\nResNet-{depth}: {found['seconds']:.2f} s a frame, {found['mib']:.0f} MiB")
    assert found["mib"] < MOST_MIB
