"""`make bench`: k-means on points like a video's against scikit-learn's, two threads each, several seeds.

Every measurement is a process of its own; the two alternate. Medians are over all seeds. Both wait for their threads
without spinning: otherwise anything else that runs on the same cores decides the times.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

WAYS, CLUSTERS = ("sklearn", "ours"), (5, 10)
SEEDS = ([0, 1, 2], [3, 4, 5], [6, 7, 8])  # of each round
LEAST_FASTER, MOST_INERTIA = 3, 1.01
Measured = dict[str, list[float]]


def measure(way: str, clusters: int, seeds: list[int]) -> Measured:
    script = Path(__file__).with_name("measure_kmeans.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, str(script), way, str(clusters), json.dumps(seeds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    measured: Measured = json.loads(done.stdout)
    return measured


@pytest.fixture(scope="module")
def table() -> dict[int, dict[str, Measured]]:
    """All measurements; printed."""
    print(
        f"\n50,000 × 254 points\n{'clusters':>8} {'way':<8} {'median s':>8} {'range':>13} {'inertia':>9} {'faster':>7}"
    )
    rows = {}
    for clusters in CLUSTERS:
        found: dict[str, Measured] = {way: {"seconds": [], "inertias": []} for way in WAYS}
        for seeds in SEEDS:
            for way in WAYS:
                for key, values in measure(way, clusters, seeds).items():
                    found[way][key] += values
        for way, measured in found.items():
            seconds, inertia = measured["seconds"], statistics.median(measured["inertias"])
            faster = statistics.median(found["sklearn"]["seconds"]) / statistics.median(seconds)
            spread = f"{min(seconds):.3f}–{max(seconds):.3f}"
            middle = f"{statistics.median(seconds):8.3f} {spread:>13}"
            print(f"{clusters:>8} {way:<8} {middle} {inertia:9.1f} {faster:6.1f}×", flush=True)
        rows[clusters] = found
    return rows


@pytest.mark.parametrize("clusters", CLUSTERS)
def test_inertia_is_no_worse(table: dict[int, dict[str, Measured]], clusters: int) -> None:
    theirs, ours = (statistics.median(table[clusters][way]["inertias"]) for way in WAYS)
    assert ours <= MOST_INERTIA * theirs


@pytest.mark.parametrize("clusters", CLUSTERS)
def test_less_time(table: dict[int, dict[str, Measured]], clusters: int) -> None:
    theirs, ours = (statistics.median(table[clusters][way]["seconds"]) for way in WAYS)
    assert theirs >= LEAST_FASTER * ours
