"""`make bench`: how many clips a second each recipe trains on, and how much of a step it waits for them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = {
    "mamp_small": ["method=mamp_small"],
    "mask_embedding_small": ["method=mask_embedding_small"],
    "munet_small": ["method=munet_small", "data=munet_collage"],
}
REAL = {
    "mamp/davis2016": ["experiment=mamp/davis2016"],
    "mask_embedding/small_correspondence": ["experiment=mask_embedding/small_correspondence"],
    "mask_embedding/small_full": ["experiment=mask_embedding/small_full"],
    "munet/small_davis": ["experiment=munet/small_davis"],
}


@pytest.mark.parametrize("recipe", [*RECIPES, *REAL])
def test_clips_a_second(recipe: str, tmp_path: Path) -> None:
    if recipe in REAL and "VOSBENCH_DATA" not in os.environ:
        pytest.skip("needs real video: set VOSBENCH_DATA to its folder")
    words = {**RECIPES, **REAL}[recipe]
    # Many processors emulate bf16, and would wait for no clip whatever the loader does.
    plan = [
        sys.executable,
        "-m",
        "vosbench",
        "train",
        *words,
        "validation=none",
        "trainer.precision=32-true",
        "plan=true",
    ]
    done = subprocess.run(plan, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if " " in line)
    batch = int(re.findall(r"(\d+) a step", found["samples"])[0])
    seconds, waiting = re.findall(r"([\d.]+) s, (\d+) %", found["step"])[0]
    print(f"\n{recipe}: {batch / float(seconds):.1f} clips a second, {waiting} % of a step spent waiting", flush=True)
    assert int(waiting) < 50
