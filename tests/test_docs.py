"""What the documentation shows runs as it stands there."""

import re
from pathlib import Path

import pytest

from vosbench.cli import main as cli

DOCS = Path(__file__).parents[1] / "docs"


def test_the_method_of_the_docs_runs_from_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "methods.md").read_text()
    for language in ("python", "yaml"):
        block = re.search(rf"```{language}\n# (mine/\S+)\n(.*?)```", text, re.DOTALL)
        assert block, f"docs/methods.md shows no {language} file"
        path = tmp_path / block[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block[2])
    command = re.search(r"^vosbench (benchmark --config-dir mine .*)$", text, re.MULTILINE)
    assert command
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["vosbench", *command[1].split(), "dataset.max_frames=3", "workers=0"])
    cli.main()
    assert "last_mask on collage val" in capsys.readouterr().out
