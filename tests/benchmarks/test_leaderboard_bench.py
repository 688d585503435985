"""Thousands of records become a leaderboard in seconds."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from vosbench.evaluation.results.records import Record, path_of

RECORDS = 5_000
MEASURE = """
import json, resource, sys
from pathlib import Path
from vosbench.tasks import leaderboard
leaderboard.run(leaderboard.Options(
    runs=sys.argv[1], run=sys.argv[2], mixed=False, where=None, columns=None, baseline=None, published=True,
    resamples=10_000, seed=0,
))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
"""


def test_five_thousand_records(tmp_path: Path) -> None:
    """Of the size of DAVIS-2017 val: 30 videos with 61 objects."""
    write(tmp_path / "runs")
    began = time.perf_counter()
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "runs"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    took, memory = time.perf_counter() - began, float(done.stdout.split()[-1])
    print(f"\n{RECORDS:,} records: {took:.1f} s, {memory:,.0f} MiB with all that is imported")
    assert memory < 1024
    assert took < 60  # under 10 s on a free machine: it is the memory that must not grow


def write(runs: Path) -> None:
    generator = np.random.default_rng(0)
    names = [f"video{number % 30:02}_{1 + number // 30}" for number in range(61)]
    for number in range(RECORDS):
        values = generator.random((61, 6))
        keys = ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
        objects = {name: dict(zip(keys, map(float, row), strict=True)) for name, row in zip(names, values, strict=True)}
        scores = {key: float(mean) for key, mean in zip(keys, values.mean(0), strict=True)}
        record = Record(
            method=f"m{number % 50}", dataset="davis2017", split="val", protocol="davis", resolution="480p",
            frames="all", scores={"J&F-Mean": (scores["J-Mean"] + scores["F-Mean"]) / 2, **scores}, objects=objects,
            supervision="self-supervised",
        )  # fmt: skip
        path = path_of(runs / f"run{number}", "davis2017", "val", "davis")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(asdict(replace(record, provenance={"overrides": [f"method.top_k={number}"]}))))
