"""The official scorer: its numbers through the command, and `scorer=official` without its package and a stand-in."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vosbench.evaluation.results import records
from vosbench.video.images import read_label_map, write_label_map

Command = Callable[..., Any]

STAND_IN = """
import runpy, sys
from pathlib import Path
import numpy as np

reference = runpy.run_path({reference!r})


class DAVISEvaluation:
    def __init__(self, davis_root, task, gt_set, sequences="all", codalab=False):
        self.root, self.task = Path(davis_root), task
        self.names = (self.root / "ImageSets/2017" / (gt_set + ".txt")).read_text().split()
        self.masks = self.root / ("Annotations_unsupervised" if task == "unsupervised" else "Annotations") / "480p"
        assert self.masks.is_dir()
        if not (self.root / "JPEGImages").is_dir() and not codalab:
            raise FileNotFoundError("images")

    def evaluate(self, res_path, metric=("J", "F"), debug=False):
        print("noise of the package")
        found = {{name: {{"M": [], "R": [], "D": [], "M_per_object": {{}}}} for name in "JF"}}
        for name in self.names:
            truth, masks = (reference["read"](folder / name) for folder in (self.masks, Path(res_path)))
            score = reference["davis_unsupervised" if self.task == "unsupervised" else "davis"]
            objects = list(score(truth, masks).values())
            if self.task == "unsupervised":  # numbered as their proposals are, not as the annotation's objects
                objects = objects[::-1]
            for place, curves in enumerate(objects, 1):
                for key in "JF":
                    values = reference["statistics"](curves[key] + {off})
                    for short, long in (("M", "Mean"), ("R", "Recall"), ("D", "Decay")):
                        found[key][short].append(values[long])
                    found[key]["M_per_object"][f"{{name}}_{{place}}"] = values["Mean"]
        return found
"""
SILENT = """
import sys


class DAVISEvaluation:
    def __init__(self, *arguments, **settings):
        pass

    def evaluate(self, res_path):
        sys.stdout.write("In your PNG files there is an index higher than the number of objects in the sequence!")
        sys.exit()
"""


@pytest.fixture
def masks(davis: Path, tmp_path: Path) -> Path:
    """The annotations of `davis` moved by one pixel. Both of b's objects are in every annotation here; the second is
    lost in one prediction."""
    for index in range(5):
        labels = np.zeros((48, 64), np.uint8)
        labels[4:20, 8:26], labels[28:44, 8 + index : 26 + index] = 1, 2
        write_label_map(davis / f"Annotations/480p/b/{index:05}.png", labels)
    for path in (davis / "Annotations/480p").glob("*/*.png"):
        labels = np.roll(read_label_map(path), 1, 1)
        labels[(labels == 2) & (path.stem == "00003")] = 0
        folder = tmp_path / "masks" / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        write_label_map(folder / path.name, labels)
    return tmp_path / "masks"


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Writes davis2017/evaluation.py and puts it on sys.path, which `command` restores."""

    def put(source: str) -> None:
        package = tmp_path / "site/davis2017"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "evaluation.py").write_text(source)
        sys.path.insert(0, str(package.parent))

    yield put
    for name in [name for name in sys.modules if name.split(".")[0] == "davis2017"]:
        del sys.modules[name]


def stand_in(off: float = 0.0) -> str:
    return STAND_IN.format(reference=str(Path(__file__).with_name("reference_scorer.py")), off=off)


def words(davis: Path, masks: Path, *more: str) -> list[str]:
    settings = [
        "evaluate",
        "dataset=davis2017",
        f"dataset.root={davis}",
        f"predictions={masks}",
        "workers=0",
        "run=out",
    ]
    return [*settings, "scorer=official", *more]


def results() -> list[str]:
    return sorted(path.name for path in Path("out").rglob("*") if path.suffix in (".json", ".csv", ".npz"))


def test_without_the_package(command: Command, davis: Path, masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "davis2017", None)  # also where it is installed
    command(*words(davis, masks)).error(1, "scorer=official needs", "pip install git+https://", "davis2017-evaluation")
    assert results() == []


def test_an_unknown_scorer(command: Command, davis: Path, masks: Path) -> None:
    command(*words(davis, masks, "scorer=offical")).error(1, "scorer=offical", "vosbench, official")
    assert results() == []


@pytest.mark.parametrize("protocol", ["vos-benchmark", "youtube-vos", "vip"])
def test_protocols_that_it_does_not_have(
    command: Command, davis: Path, masks: Path, install: Callable[[str], None], protocol: str
) -> None:
    install(stand_in())
    done = command(*words(davis, masks, f"protocol={protocol}"))
    done.error(1, "scorer=official scores protocols davis, davis-unsupervised", f"not {protocol}")
    assert results() == []


def largest_difference(out: str) -> str:
    (line,) = (line for line in out.splitlines() if line.startswith("largest difference"))
    return line


@pytest.mark.parametrize("protocol", ["davis", "davis-unsupervised"])
def test_differences_are_printed(
    command: Command, davis: Path, masks: Path, install: Callable[[str], None], protocol: str, tmp_path: Path
) -> None:
    install(stand_in())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    done = command(*words(davis, masks, f"protocol={protocol}"))
    assert (done.status, done.err) == (0, "")
    assert "noise" not in done.out
    rows = [line.split("│")[1:-1] for line in done.out.splitlines() if line.count("│") == 5 and "vosbench" not in line]
    assert [row[0].strip() for row in rows] == [
        *("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"),
    ]
    assert all(abs(float(row[3])) < 1e-12 and abs(float(row[1]) - float(row[2])) < 1e-11 for row in rows)
    assert 0 < float(rows[0][1]) < 1
    assert float(largest_difference(done.out).split(": ")[1].split()[0]) < 1e-12
    assert "(4 objects)" in largest_difference(done.out)
    assert f"davis2017-val-{protocol}.json" in results()
    assert {path: path.read_bytes() for path in before} == before


def test_a_difference_shows(command: Command, davis: Path, masks: Path, install: Callable[[str], None]) -> None:
    install(stand_in(off=0.001))
    done = command(*words(davis, masks))
    assert done.status == 0
    assert largest_difference(done.out) == "largest difference of an object's J or F: 1.0e-03 (4 objects)"
    assert sum("-1.0e-03" in line for line in done.out.splitlines()) == 3  # the means; recall and decay stay


def test_a_finished_record_is_compared_too(
    command: Command, davis: Path, masks: Path, install: Callable[[str], None]
) -> None:
    assert command(*words(davis, masks, "scorer=vosbench")).status == 0
    before = {path: path.read_bytes() for path in Path("out/results").rglob("*.*")}
    install(stand_in())
    assert "largest difference" in command(*words(davis, masks)).out
    assert {path: path.read_bytes() for path in Path("out/results").rglob("*.*")} == before


def test_binary_masks_and_other_resolutions(
    command: Command, davis: Path, masks: Path, install: Callable[[str], None]
) -> None:
    """The package reads 480p only, and takes 255 for void: it gets copies."""
    for kind in ("JPEGImages", "Annotations"):
        (davis / kind / "480p").rename(davis / kind / "96p")
    shutil.move(davis / "ImageSets/2017", davis / "ImageSets/2016")
    for path in [*masks.rglob("*.png"), *(davis / "Annotations").rglob("*.png")]:
        write_label_map(path, read_label_map(path, binary=True) * np.uint8(255))
    install(stand_in())
    done = command(*words(davis, masks, "dataset=davis2016", "dataset.resolution=96p"))
    assert done.status == 0, done.err
    assert float(largest_difference(done.out).split(": ")[1].split()[0]) < 1e-12


def test_a_package_that_ends_the_process_is_an_error(
    command: Command, davis: Path, masks: Path, install: Callable[[str], None]
) -> None:
    """The real one ends with status 0 and a sentence on stdout when it does not like the masks."""
    install(SILENT)
    done = command(*words(davis, masks))
    assert done.status == 1
    assert "there is an index higher than the number of objects" in done.err


def golden_folder(real_data: Path, name: str) -> Path:
    """Predictions and the real package's numbers for them."""
    folder = real_data.parent / "golden" / name
    if not folder.is_dir():
        pytest.skip("needs the official scorer's numbers: golden/ beside VOSBENCH_DATA")
    return folder


@pytest.mark.real
def test_a_golden_folder(command: Command, real_data: Path, install: Callable[[str], None]) -> None:
    golden = golden_folder(real_data, "davis2017-240p-val-perturbed")
    install(stand_in())
    settings = ["dataset=davis2017_240p", f"paths.data={real_data}", f"predictions={golden / 'predictions'}"]
    done = command("evaluate", *settings, "run=out", "scorer=official")
    assert done.status == 0, done.err
    assert float(largest_difference(done.out).split(": ")[1].split()[0]) < 1e-12


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "overrides"),
    [
        ("davis2016-val10-stm", ["dataset=davis2016_val10"]),
        ("davis2017-240p-train-perturbed", ["dataset=davis2017_240p", "dataset.split=train"]),
        ("davis2017-240p-val-perturbed", ["dataset=davis2017_240p", "dataset.split=val"]),
    ],
)
def test_golden_folders_through_the_command(
    command: Command, real_data: Path, folder: str, overrides: list[str]
) -> None:
    golden = golden_folder(real_data, folder)
    words = [*overrides, f"paths.data={real_data}", f"predictions={golden / 'predictions'}", "run=out"]
    before = sorted(golden.rglob("*"))
    assert command("evaluate", *words).status == 0
    (path,) = Path("out/results").glob("*.json")
    record, frames = records.read(path), records.read_frames(path)
    official = json.loads((golden / "official_global.json").read_text())
    assert record.scores == pytest.approx(official, rel=0, abs=1e-12)
    over_time = np.load(golden / "official_per_frame.npz")
    assert set(over_time) == {key for key in frames if not key.endswith("/frame")}
    for key in over_time:
        np.testing.assert_allclose(frames[key], over_time[key], rtol=0, atol=1e-12, err_msg=key)
    table = next(Path("out/results").glob("*/global_results-*.csv")).read_text().splitlines()
    assert table[0] == "J&F-Mean,J-Mean,J-Recall,J-Decay,F-Mean,F-Recall,F-Decay"
    assert table[1] == ",".join(f"{official[name]:.3f}" for name in table[0].split(","))
    objects = json.loads((golden / "official_per_object.json").read_text())
    rows = next(Path("out/results").glob("*/per-sequence_results-*.csv")).read_text().splitlines()[1:]
    assert {row.split(",")[0]: row.split(",")[1:] for row in rows} == {
        name: [f"{values[kind]['mean']:.3f}" for kind in "JF"] for name, values in objects.items()
    }
    assert sorted(golden.rglob("*")) == before
