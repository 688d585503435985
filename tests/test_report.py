"""The report: one page with tables, curves, overlays and worst frames of what lies beside the records."""

import base64
import io
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vosbench.evaluation.board import report
from vosbench.evaluation.board.leaderboard import board, boards
from vosbench.evaluation.board.names import names
from vosbench.evaluation.board.rows import Row, load
from vosbench.evaluation.metrics import Curves as ObjectCurves
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.results import records
from vosbench.evaluation.results.pictures import write_pictures
from vosbench.evaluation.results.records import Record
from vosbench.evaluation.scoring.evaluate import Scores

SEQUENCES = ("bear", "cows", "dog_park")
Curves = Mapping[str, Sequence[float]]


def record(method: str, curves: Curves, **changes: Any) -> Record:
    """J = F = the mean of each object's curve."""
    objects = {
        name: {"J-Mean": float(np.mean(values)), "F-Mean": float(np.mean(values))} for name, values in curves.items()
    }
    mean = float(np.mean([values["J-Mean"] for values in objects.values()]))
    made = Record(
        method=method, dataset="davis2017", split="val", protocol="davis", resolution="480p", frames="all",
        scores={"J&F-Mean": mean, "J-Mean": mean, "F-Mean": mean}, objects=objects,
    )  # fmt: skip
    return replace(made, **changes)


def write(folder: Path, made: Record, curves: Curves, **arrays: Any) -> Path:
    """A run's record, with J and F = `curves` beside it."""
    frames = {f"{name}/{kind}": np.array(values, float) for name, values in curves.items() for kind in "JF"}
    path = records.path_of(folder, made.dataset, made.split, made.protocol)
    records.write(made, {**frames, **arrays}, path)
    return path


@pytest.fixture
def plotted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The matplotlib figures that become pictures."""
    figures: list[Any] = []
    original = report._png

    def keep(figure: Any) -> bytes:
        figures.append(figure)
        return original(figure)

    monkeypatch.setattr(report, "_png", keep)
    return figures


class Film:
    """A video of three frames with one object, and its perfect predictions."""

    frame_names = ("0", "1", "2")
    binary = False

    def __init__(self, name: str) -> None:
        self.name = name

    def frame(self, index: int) -> Any:
        return np.full((30, 40, 3), 90 + index, np.uint8)

    def annotation(self, index: int) -> Any:
        return np.eye(30, 40, dtype=np.uint8)


class Films:
    """Stands in for a data set and for predictions of it."""

    videos = tuple(map(Film, SEQUENCES))

    def sequence(self, name: str) -> Any:
        class Maps:
            names = Film.frame_names

            def read(self, frame: str) -> Any:
                return np.eye(30, 40, dtype=np.uint8)

        return Maps()


def draw(path: Path) -> None:
    """Pictures beside a record, as scoring would leave them."""
    keys = [ObjectKey(name, 1) for name in SEQUENCES]
    curves = {key: ObjectCurves(np.array([1]), {kind: np.full(1, 0.25) for kind in "JF"}) for key in keys}
    films: Any = Films()
    scores = Scores(protocol_named("davis"), {}, {}, curves, {key: ["1"] for key in keys})
    write_pictures(films, films, scores, path.with_suffix(""), 8)


def pictures(page: str) -> list[tuple[str, Image.Image]]:
    """Description and picture of each image on the page."""
    found = re.findall(r'<img alt="([^"]*)" src="data:image/\w+;base64,([^"]+)"', page)
    return [(alt, Image.open(io.BytesIO(base64.b64decode(data)))) for alt, data in found]


GOOD = {"bear_1": [0.9, 0.8, 0.7], "bear_2": [0.5, 0.4, 0.3], "dog_park_1": [0.9, 0.9, 0.9]}
POOR = {"bear_1": [0.8, 0.7, 0.6], "bear_2": [0.1, 0.0, 0.0], "dog_park_1": [0.9, 0.8, 0.9]}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for method, curves in (("good", GOOD), ("poor", POOR)):
        draw(write(folder / method, record(method, curves), curves))
    return folder


@pytest.fixture
def runs(drawn: Path, tmp_path: Path) -> Path:
    """Two runs with pictures."""
    return Path(shutil.copytree(drawn, tmp_path / "runs"))


def test_names_in_plots_say_what_is_supervised(plotted: list[Any]) -> None:
    munet = record("munet", GOOD, supervision="supervised")
    quoted = Row(replace(munet, method="MUNet"), sources={"MUNet 2": "a paper"})
    rows = [quoted, *(Row(each, "run", Path("x.json")) for each in (munet, record("poor", POOR, supervision="none")))]
    assert names(rows, marked=True) == ["MUNet †, supervised", "munet, supervised", "poor"]
    report.bar_plot(board(rows[1:], published=rows[:1], mixed="supervision"))
    bars = [text.get_text() for text in plotted[0].axes[0].get_yticklabels()]
    assert bars == ["poor", "munet, supervised", "MUNet †, supervised"]


def test_page_needs_no_other_file(runs: Path) -> None:
    page = report.html(boards(load(runs)), title="On <b>")
    assert "<h1>On &lt;b&gt;</h1>" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    bars, curves, *rest = pictures(page)
    assert (bars[0], curves[0]) == ("J&amp;F of each method", "J and F over time")
    assert bars[1].width > 400
    assert curves[1].width > 400
    assert {image.width for _, image in rest} == {1200}


def test_sheets_stand_below_the_annotations_shown_once(runs: Path) -> None:
    page = report.html(boards(load(runs)))
    sheets = page.split("Overlays over time</h3>")[1].split("<h3>Worst frames")[0]
    shown = re.findall(r"<h4>(\w+)</h4>|<figcaption>([^<]+)</figcaption>", sheets)
    assert ["".join(each) for each in shown] == [
        each for name in SEQUENCES for each in (name, "annotation", "good", "poor")
    ]


def test_worst_frames_have_captions(runs: Path) -> None:
    worst = report.html(boards(load(runs))).split("<h3>Worst frames")[1]
    assert re.findall(r"<h4>(\w+)</h4>", worst) == ["good", "poor"]
    assert worst.count("<figcaption>dog_park, object 1, frame 1: J 25.0, F 25.0</figcaption>") == 2


def test_report_survives_broken_and_missing_pictures(runs: Path) -> None:
    folder = runs / "good/results/davis2017-val-davis"
    (folder / "sheets/bear.jpg").write_bytes(b"no picture")
    (folder / "worst/1-bear_1-1.jpg").unlink()
    (runs / "poor/results/davis2017-val-davis/pictures.json").write_text("{")
    names = [alt for alt, _ in pictures(report.html(boards(load(runs))))][2:]
    assert names.count("good") == 2
    assert "poor" not in names
    assert sum("frame 1" in name for name in names) == 2
    (folder / "pictures.json").unlink()
    page = report.html(boards(load(runs)))
    assert len(pictures(page)) == 2
    assert "Overlays" not in page
    assert "Worst frames" not in page


def test_pages_hold_so_many_worst_frames(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "WORST", 4)
    worst = report.html(boards(load(runs))).split("<h3>Worst frames")[1]
    assert worst.count("<figure>") == 4
    assert worst.split("<h4>poor")[1].count("<figure>") == 2


def test_tables_by_sequence_and_by_object(runs: Path) -> None:
    page = report.html(boards(load(runs)))
    assert "<td>bear</td><td>60.0</td><td>36.7</td>" in page  # means over two objects
    folded = page.split("<details>")[1].split("</details>")[0]
    assert "J and F of 3 objects" in folded
    assert "<th>good: J</th><th>good: F</th><th>poor: J</th><th>poor: F</th>" in folded
    assert "<td>bear, object 2</td><td>40.0</td><td>40.0</td><td>3.3</td><td>3.3</td>" in folded


def test_curves_of_both_measures_start_with_what_differs_most(runs: Path, plotted: list[Any]) -> None:
    rows = sorted(load(runs), key=lambda row: row.record.method)
    report.curve_plot(rows)
    (figure,) = plotted
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:4] == ["bear, object 2: J", "bear, object 2: F", "bear, object 1: J", "bear, object 1: F"]
    good, poor = figure.axes[0].get_lines()
    assert good.get_ydata().tolist() == pytest.approx([50, 40, 30])
    assert poor.get_ydata().tolist() == pytest.approx([10, 0, 0])
    assert good.get_xdata().tolist() == [1, 2, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["good", "poor"]


def test_curves_stand_at_their_frames(tmp_path: Path, plotted: list[Any]) -> None:
    path = write(tmp_path, record("late", GOOD), GOOD, **{"bear_2/frame": np.array([4, 5, 9])})
    report.curve_plot([Row(record("late", GOOD), "", path)])
    first, last = plotted[0].axes[0], plotted[0].axes[-1]
    assert first.get_title() == "bear, object 2: J", "the worst object of a single method comes first"
    assert first.get_lines()[0].get_xdata().tolist() == [4, 5, 9]
    assert last.get_lines()[0].get_xdata().tolist() == [1, 2, 3]


def test_at_most_twelve_objects_are_drawn(tmp_path: Path, plotted: list[Any]) -> None:
    curves = {f"s{number:02}_1": [number / 20] * 3 for number in range(20)}
    report.curve_plot([Row(record("one", curves), "", write(tmp_path, record("one", curves), curves))])
    assert len(plotted[0].axes) == 24
    assert {axes.get_title()[:3] for axes in plotted[0].axes} == {f"s{number:02}" for number in range(12)}


def test_other_measures_have_neither_curves_nor_worst_frames(tmp_path: Path, plotted: list[Any]) -> None:
    made = record(
        "parts", GOOD, protocol="vip", scores={"IoU-Mean": 0.5, "IoU-00": 0.5},
        objects={name: {"IoU": 0.5, "intersection": 4.0, "union": 8.0} for name in GOOD},
    )  # fmt: skip
    arrays = {f"{name}/{kind}": np.ones(3) for name in GOOD for kind in ("intersection", "union", "frame")}
    records.write(made, arrays, records.path_of(tmp_path / "run", "vip", "val", "vip"))
    page = report.html(boards(load(tmp_path)))
    assert [alt for alt, _ in pictures(page)] == ["IoU of each method"]
    assert plotted[0].axes[0].get_xlabel().startswith("IoU, percent")
    assert "J&amp;F" not in page
    assert "over time" not in page
