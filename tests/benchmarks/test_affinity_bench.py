"""`make bench`: local attention against the plain unfold version, in single-thread CPU time and in memory.

Five references, radius 12, top 36. Every measurement is a process of its own; `skip` is with masks of one object on an
eighth of the picture, whose windows of one label need no search. The unfold version is measured on a band of rows where
the whole would need more than `LIMIT`, and its time and memory, which grow with the number of queries, are multiplied.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 5 * 2**30  # bytes
CASES = [(60, 108, 64), (60, 108, 256), (120, 214, 64), (120, 214, 256)]
LEAST_FASTER, LEAST_SMALLER = 20, 10


def measure(what: str, h: int, w: int, channels: int) -> dict[str, float]:
    """Seconds (median of three) and MiB of one implementation."""
    command = [sys.executable, str(Path(__file__).with_name("measure_affinity.py")), what, *map(str, (h, w, channels))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def bands(h: int, w: int, channels: int) -> int:
    """Into how many bands of rows the unfold version is cut; its features' windows and their products take most."""
    return math.ceil(2 * 4 * channels * 25**2 * h * w / LIMIT)


@pytest.fixture(scope="module")
def table() -> dict[tuple[int, int, int], dict[str, dict[str, float]]]:
    """All measurements; printed."""
    print(
        f"\n{'grid':>9} {'channels':>8} | {'unfold':>17} | {'local':>17} {'time':>5} {'memory':>6} | {'skip':>17} time"
    )
    rows = {}
    for h, w, channels in CASES:
        n = bands(h, w, channels)
        plain = {key: n * value for key, value in measure("unfold", h // n, w, channels).items()}
        local, skip = (measure(what, h, w, channels) for what in ("local", "skip"))
        cells = [f"{each['seconds']:6.2f} s {each['mib']:5.0f} MiB" for each in (plain, local, skip)]
        time, skipped = (plain["seconds"] / each["seconds"] for each in (local, skip))
        ratios = f"{time:4.0f}× {plain['mib'] / local['mib']:5.0f}×"
        note = f"  unfold: {n} × {h // n} rows" if n > 1 else ""
        line = f"{f'{h}×{w}':>9} {channels:>8} | {cells[0]} | {cells[1]} {ratios} | {cells[2]} {skipped:3.0f}×"
        print(line + note, flush=True)
        rows[h, w, channels] = {"unfold": plain, "local": local, "skip": skip}
    return rows


@pytest.mark.parametrize("case", CASES, ids=lambda case: "×".join(map(str, case)))
def test_local_attention_is_fast_and_small(
    table: dict[tuple[int, int, int], dict[str, dict[str, float]]], case: tuple[int, int, int]
) -> None:
    plain, local = table[case]["unfold"], table[case]["local"]
    assert plain["seconds"] > LEAST_FASTER * local["seconds"]
    assert plain["mib"] > LEAST_SMALLER * local["mib"]
