"""What shipped weights and baselines score on one generated video: a change that costs accuracy fails here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VIDEO = ("dataset=collage", "dataset.videos=1", "dataset.max_frames=8", "workers=0", "pictures=0")
WITH_WEIGHTS = {"mamp": 91.5, "mask_embedding_small": 78.6, "munet_small": 58.8, "munet_narrow": 21.7}
PINNED = WITH_WEIGHTS | {"flow_warp": 69.7, "copy_first": 19.6}
TOLERANCE = 0.5  # J&F in percent: processors round differently


def score(command: Callable[..., Any], method: str, *changes: str) -> float:
    """J&F in percent, from the record that the command writes."""
    done = command("benchmark", f"method={method}", *VIDEO, "name=pinned", *changes)
    assert done.status == 0, done.err
    record = json.loads(Path(f"runs/{method}/pinned/results/collage-val-davis.json").read_text())
    return 100 * float(record["scores"]["J&F-Mean"])


@pytest.mark.parametrize("method", PINNED)
def test_a_score_stays_what_it_is(command: Callable[..., Any], method: str) -> None:
    assert score(command, method) == pytest.approx(PINNED[method], abs=TOLERANCE)


@pytest.mark.parametrize("method", WITH_WEIGHTS)
def test_other_weights_do_not_score_the_same(command: Callable[..., Any], method: str) -> None:
    assert abs(score(command, method, "checkpoint=none") - PINNED[method]) > 2 * TOLERANCE
