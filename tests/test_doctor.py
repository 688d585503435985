"""`vosbench doctor`: what it finds, and what counts as a problem."""

from dataclasses import replace
from pathlib import Path

import pytest

from vosbench.audit import installation
from vosbench.cli import main as cli
from vosbench.weights.index import index


def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["vosbench", "doctor", *words])
    status = 0
    try:
        cli.main()
    except SystemExit as end:
        status = int(end.code or 0)
    return status, *capsys.readouterr()


def test_what_it_finds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, davis: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOSBENCH_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/DAVIS2017").symlink_to(davis)
    status, out, err = doctor(monkeypatch, capsys)
    assert status == 0, err
    found = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line.startswith("  ")}
    assert "torch" in found["packages"]
    assert "cores" in found["cpu"]
    assert found["mamp"].startswith("whole, 10.6 MB")
    assert found["collage"] == "6 videos in memory"
    assert found["davis2017"].endswith(f"videos in {tmp_path}/data/DAVIS2017")
    assert found["vip"].startswith("none: ")
    assert "writable" in found["runs"]
    assert "no problems found" in out
    assert not (tmp_path / "runs").exists()


def test_a_package_that_is_too_old_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installation, "requires", lambda package: ["pillow<1", "rich", "timm; extra == 'features'"])
    status, out, err = doctor(monkeypatch, capsys)
    assert status == 1
    assert "but vosbench needs <1: pip install 'pillow<1'" in err
    assert "! pillow" in out
    assert "  rich" not in out


def test_missing_extras_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "requires", lambda package: ["not-there-at-all>=2; extra == 'features'"])
    (fact,) = installation.extras()
    assert fact == ("features", "not-there-at-all missing: pip install 'vosbench[features]'", False)


def test_damaged_weights_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"half of a file")
    broken = replace(index()["mamp"], path=tmp_path / "mine.safetensors")
    monkeypatch.setattr(installation, "index", lambda: {"mine": broken})
    (fact,) = installation.weights()
    assert fact.problem
    assert "mine.safetensors have the sha256" in fact.text


def test_a_folder_that_cannot_be_written_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.access", lambda path, how: False)
    (fact,) = installation.places(tmp_path / "runs")
    assert fact == ("runs", f"{tmp_path} cannot be written: give runs=<another folder>", True)
