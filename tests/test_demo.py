"""The demo in miniature: the same commands, two steps of training, four frames a video."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from vosbench.cli import main as cli
from vosbench.evaluation.board.report.beside import METHODS


@pytest.mark.slow
def test_demo_trains_scores_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["vosbench", "demo", "steps=2", "frames=4", "name=tiny"]
    monkeypatch.setattr("sys.argv", command)
    cli.main()
    run = tmp_path / "runs" / "demo" / "tiny"
    records = {
        path.parents[1].name: json.loads(path.read_text()) for path in run.glob("runs/mamp_small/**/results/*.json")
    }
    for method in ("mask_embedding_small", "munet_small"):
        results = {path.parents[1].name for path in run.glob(f"runs/{method}/**/results/*.json")}
        assert {"trained", "untrained"} <= results
    page = (run / "leaderboard.md").read_text()
    assert page.count("| supervised |") == 3
    baselines = [json.loads(path.read_text())["method"] for path in run.glob("runs/*/default/results/*.json")]
    assert sorted(baselines) == ["copy_first", "flow_warp"]
    shipped = [json.loads(path.read_text()) for path in run.glob("runs/*/shipped/results/*.json")]
    assert sorted(record["checkpoint"]["name"] for record in shipped) == ["mamp", "mask_embedding_small", "munet_small"]
    assert records["untrained"]["checkpoint"] == "untrained"
    assert records["trained"]["checkpoint"]["name"] == "best.ckpt"
    assert records["trained"]["training_data"] == "collage"
    command_line = records["untrained"]["provenance"]["command"]
    assert command_line.startswith("vosbench benchmark method=mamp_small dataset=collage")
    assert "name=untrained" in command_line
    page = (run / "leaderboard.html").read_text()
    sequences = {name.rpartition("_")[0] for name in records["trained"]["objects"]}
    panes = Counter(re.findall(r'<svg class="picture"[^>]* aria-label="([^:"]+): ', page))
    assert len(panes) == 1 + METHODS
    assert panes["annotation"] == len(sequences)
    assert set(panes.values()) == {len(sequences)}
    before = {path: path.stat().st_mtime_ns for path in run.glob("runs/**/*.png")}
    assert before
    monkeypatch.setattr("sys.argv", command)
    cli.main()  # again: everything is there
    assert {path: path.stat().st_mtime_ns for path in before} == before
    printed = capsys.readouterr().out
    assert "mamp_small" in printed
    assert "step 5 of 14" in printed
    assert printed.count("report so far: ") == 2 * 11
