"""A sweep ends with its table, and a leaderboard can be watched."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vosbench.tasks import leaderboard
from vosbench.training.summary import summary

Command = Callable[..., Any]
VIDEOS = ["dataset=collage", "dataset.videos=2", "dataset.length=4", "dataset.size=[48,64]", "device=cpu", "pictures=0"]


@pytest.mark.slow
def test_a_sweep_of_benchmarks_ends_with_its_table(started: Any, tmp_path: Path) -> None:
    mamp = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "checkpoint=none"]
    done = started("benchmark", "-m", *mamp, *VIDEOS, "seed=0,1", "method.top_k=1,9").communicate()[0]
    (folder,) = (tmp_path / "runs/sweeps").iterdir()
    rows = list(csv.DictReader(io.StringIO((folder / "leaderboard.csv").read_text())))
    assert sorted((row["name"], row["seeds"]) for row in rows) == [
        ("mamp_small, method.top_k=1", "2"),
        ("mamp_small, method.top_k=9", "2"),
    ]
    assert "leaderboard.{csv,md,tex,html}" in done


def write_metrics(run: Path, *scores: float) -> Path:
    run.mkdir(parents=True)
    lines = [
        "step,loss,val/J&F,val/J",
        "0,1.0,,",
        *(f"{9 + 10 * i},0.5,{score},{score}" for i, score in enumerate(scores)),
    ]
    (run / "metrics.csv").write_text("\n".join(lines) + "\n")
    return run


def test_trainings_are_told_by_their_best_validation(tmp_path: Path) -> None:
    runs = {
        write_metrics(tmp_path / "a", 0.5, 0.4): ("data=collage", "seed=0", "method.top_k=1"),
        write_metrics(tmp_path / "b", 0.6, 0.7): ("data=collage", "seed=1", "method.top_k=1"),
        write_metrics(tmp_path / "c", 0.1): ("data=collage", "seed=0", "method.top_k=9"),
        tmp_path / "never started": ("data=collage", "seed=1", "method.top_k=9"),
    }
    sheet = summary(runs)
    assert sheet is not None
    assert sheet.headers == ["overridden", "J&F", "seeds", "step"]
    assert sheet.rows == [["method.top_k=1", "60.0 ± 14.1", "2", "10, 20"], ["method.top_k=9", "10.0", "1", "10"]]
    assert sheet.notes[0] == "All: data=collage."
    assert summary({tmp_path / "none": ()}) is None


def test_watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    """The page is made once there is a record, again when there is another, and not in between."""
    (tmp_path / "runs").mkdir()
    page, made = Path("out/leaderboard.html"), list[int]()

    def pause(_: float) -> None:
        made.append(page.stat().st_mtime_ns if page.exists() else 0)
        if method := {2: "copy_first", 4: "flow_warp"}.get(len(made)):
            assert command("benchmark", f"method={method}", *VIDEOS, "workers=0").status == 0
        if len(made) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(leaderboard, "sleep", pause)
    options = leaderboard.Options(
        runs="runs", run="out", mixed=False, where=None, columns=None, baseline=None, published=False, watch=True,
        resamples=50, seed=0,
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        leaderboard.run(options)
    assert made[0] == made[1] == 0
    assert 0 < made[2] == made[3] < made[4] == made[5]
    text = page.read_text()
    assert '<meta http-equiv="refresh" content="30">' in text
    assert "flow_warp" in text
