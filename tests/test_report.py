"""The report: one page with tables, curves, overlays and worst frames of what lies beside the records."""

import base64
import hashlib
import io
import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from vosbench.datasets.davis import Davis
from vosbench.evaluation.board import report
from vosbench.evaluation.board.leaderboard import Board, board, boards
from vosbench.evaluation.board.names import names
from vosbench.evaluation.board.report import videos
from vosbench.evaluation.board.report.bars import bars_of
from vosbench.evaluation.board.report.beside import read_beside
from vosbench.evaluation.board.report.charts import charts_of
from vosbench.evaluation.board.report.plot import across, up
from vosbench.evaluation.board.report.store import Store
from vosbench.evaluation.board.rows import Row, load
from vosbench.evaluation.metrics import Curves as ObjectCurves
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.results import records
from vosbench.evaluation.results.pictures import write_pictures
from vosbench.evaluation.results.records import Record
from vosbench.evaluation.scoring.evaluate import Scores
from vosbench.video.video import Video

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


class Film(Video):
    """A video of three frames with one object, and its perfect predictions."""

    frame_names = ("0", "1", "2")

    def __init__(self, name: str) -> None:
        self.name = name

    def frame(self, index: int) -> Any:
        return np.full((30, 40, 3), 60 + 40 * index + sum(map(ord, self.name)) % 37, np.uint8)

    def annotation(self, index: int) -> Any:
        return np.eye(30, 40, dtype=np.uint8)


class Films:
    """Stands in for a data set and for predictions of it."""

    videos = tuple(map(Film, SEQUENCES))
    attributes: ClassVar = {"bear": ["occlusion", "fast motion"]}

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
    found = re.findall(r'<img [^>]*alt="([^"]*)"[^>]* src="data:image/\w+;base64,([^"]+)"', page)
    return [(alt, Image.open(io.BytesIO(base64.b64decode(data)))) for alt, data in found]


def data_of(page: str) -> Any:
    """What the page's script is told."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found)


def panes(page: str) -> list[str]:
    """What each pane of a video shows, for those who do not see it."""
    return re.findall(r'<svg class="picture" [^>]*aria-label="([^"]*)"', page)


def shown(rows: Sequence[Row]) -> list[videos.Video]:
    return videos.videos_of(read_beside(rows, set()), Store(), mixed=False)


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


def test_names_in_plots_say_what_is_supervised() -> None:
    munet = record("munet", GOOD, supervision="supervised")
    quoted = Row(replace(munet, method="MUNet"), sources={"MUNet 2": "a paper"})
    rows = [quoted, *(Row(each, "run", Path("x.json")) for each in (munet, record("poor", POOR, supervision="none")))]
    assert names(rows, marked=True) == ["MUNet †, supervised", "munet, supervised", "poor"]
    bars = bars_of(board(rows[1:], published=rows[:1], mixed="supervision")).bars
    assert [bar.name for bar in bars] == ["MUNet †, supervised", "munet, supervised", "poor"]
    assert [bar.measured for bar in bars] == [False, True, True]
    assert bars[1].interval is not None
    assert bars[1].interval[0] < bars[1].length < bars[1].interval[1]
    assert bars[0].interval is None


def test_bars_stay_inside_whatever_a_record_says() -> None:
    made = record("odd", GOOD, scores={"J&F-Mean": 1e9})
    (bar,) = bars_of(board([Row(made, "run", Path("x.json"))])).bars
    assert (bar.start, bar.length) == (0, 100)


def test_page_needs_no_other_file(runs: Path) -> None:
    page = report.html(boards(load(runs)), title="On <b>")
    assert "<h1>On &lt;b&gt;</h1>" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "url(" not in page
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in page
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; img-src data:;")
    for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert "J&amp;F of each method" in page


def test_contents_lead_to_every_part(runs: Path) -> None:
    page = report.html(boards(load(runs)))
    links = re.findall(r'<a [^>]*href="#([^"]+)"', page)
    assert {"b1", "b1-table", "b1-bars", "b1-sequences", "b1-v1", "b1-v3"} <= set(links)
    for link in links:
        assert page.count(f'id="{link}"') == 1


def test_methods_stand_beside_the_annotation(runs: Path) -> None:
    page = report.html(boards(load(runs)))
    assert panes(page) == [
        f"{name}: {sequence}, frame 2"
        for sequence in ("bear", "dog_park", "cows")
        for name in ("annotation", "good", "poor")
    ]
    first = data_of(page)["videos"]["b1-v1"]
    assert (first["names"], first["positions"], first["start"]) == (["1", "2"], [1, None], 1)
    assert len(first["layers"]) == 3


def test_every_picture_is_held_once(runs: Path) -> None:
    page = report.html(boards(load(runs)))
    frames = [key for video in data_of(page)["videos"].values() for key in video["frames"]]
    assert len(frames) == len(set(frames)) == 6
    held = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    worst = {data for _, data in re.findall(r'<img ([^>]*) src="data:image/jpeg;base64,([^"]+)"', page)}
    assert len([each for each in held if each not in worst]) == 6


def test_worst_frames_have_captions(runs: Path) -> None:
    page = report.html(boards(load(runs)))
    assert re.findall(r"<figcaption>(\w+): dog_park, object 1, frame 1: J 25.0, F 25.0</figcaption>", page) == [
        "good", "poor",
    ]  # fmt: skip
    assert {image.width for _, image in pictures(page)} == {1200}
    assert len(pictures(page)) == 6
    assert pictures(page)[0][0].startswith("good, worst frame: bear, object 1, frame 1: J 25.0, F 25.0. Annotation,")


def test_report_survives_broken_and_missing_pictures(runs: Path) -> None:
    folder = runs / "good/results/davis2017-val-davis"
    (folder / "moments/bear/2.jpg").write_bytes(b"no picture")
    (folder / "moments/bear/1.prediction.png").unlink()
    (folder / "worst/1-bear_1-1.jpg").unlink()
    (runs / "poor/results/davis2017-val-davis/pictures.json").write_text("{")
    page = report.html(boards(load(runs)))
    found = data_of(page)["videos"]["b1-v1"]
    assert found["names"] == ["1"]
    assert [layer[0] is None for layer in found["layers"]] == [False, True, True]
    assert len(pictures(page)) == 2
    (folder / "pictures.json").unlink()
    page = report.html(boards(load(runs)))
    assert not pictures(page)
    assert not panes(page)
    assert page.count("<figcaption>J over time") == 2
    assert "Worst frames" not in page


def test_pages_hold_so_many_worst_frames(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "WORST", 4)
    worst = [alt for alt, _ in pictures(report.html(boards(load(runs))))]
    assert len(worst) == 4
    assert sum(alt.startswith("poor") for alt in worst) == 2


def cells(page: str) -> list[list[str]]:
    """The cells of all rows of all tables."""
    return [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)]


def test_tables_by_sequence_and_by_object(runs: Path) -> None:
    page = report.html(boards(load(runs)))
    assert ["bear", "60.0", "36.7", "occlusion, fast motion"] in cells(page)  # means over two objects
    (folded,) = re.findall(r"<details><summary>J and F of 3 objects</summary>(.*?)</details>", page, re.DOTALL)
    assert cells(folded)[0] == ["Object", "good: J", "good: F", "poor: J", "poor: F"]
    assert ["bear, object 2", "40.0", "40.0", "3.3", "3.3"] in cells(folded)


def test_attributes_are_a_column_and_stand_at_their_video(runs: Path) -> None:
    page = report.html(boards(load(runs)))
    assert ["Sequence", "good", "poor", "Attributes"] in cells(page)
    assert '<p class="note">occlusion, fast motion</p>' in page
    for path in runs.rglob("pictures.json"):
        path.unlink()
    assert "Attributes" not in report.html(boards(load(runs)))


def test_names_and_headline_come_first_and_stay(runs: Path) -> None:
    page = report.html(boards(load(runs)))
    headers = re.findall(r'<th scope="col"([^>]*)>([^<]*)</th>', page.split("</thead>")[0])
    assert headers[:3] == [(' class="name"', "Method"), (' class="stays"', "J&amp;F"), ("", "95 %")]


def test_commands_of_measured_rows(tmp_path: Path) -> None:
    origin = {"command": "vosbench benchmark 'name=<b>'", "commit": "0123456789abcdef", "seed": 3, "time": ["odd"]}
    for method, provenance in (("good", origin), ("poor", {"command": None}), ("fair", None)):
        write(tmp_path / method, record(method, GOOD, provenance=provenance), GOOD)
    page = report.html(boards(load(tmp_path)))
    assert "The commands that made 1 of 3 rows" in page
    assert "<code>vosbench benchmark &#39;name=&lt;b&gt;&#39;</code>" in page
    assert "<small>(commit 0123456789, seed 3)</small>" in page


def test_videos_begin_with_those_that_differ_most(runs: Path) -> None:
    rows = sorted(load(runs), key=lambda row: row.record.method)
    found = shown(rows)
    assert [video.title for video in found] == ["bear", "dog_park", "cows"]
    first = found[0].curves
    assert first is not None
    assert first.measures == ("J", "F")
    assert first.positions == [1, 2, 3]
    assert first.objects == ["mean of 2 objects", "object 1", "object 2"]
    good, poor = first.values[2][0]
    assert (good, poor) == ([50, 40, 30], [10, 0, 0])
    assert first.values[0][1] == [[70, 60, 50], [45, 35, 30]]


def test_curves_stand_at_their_frames(tmp_path: Path) -> None:
    path = write(tmp_path, record("late", GOOD), GOOD, **{"bear_2/frame": np.array([4, 5, 9])})
    (first, *_) = shown([Row(record("late", GOOD), "", path)])
    assert first.title == "bear", "the worst video of a single method comes first"
    assert first.curves is not None
    assert first.plot is not None
    assert first.curves.positions == [1, 2, 3, 4, 5, 9]
    assert first.curves.values[0][0] == [[90, 80, 70, 50, 40, 30]]
    assert first.curves.values[2][0] == [[None, None, None, 50, 40, 30]]
    (points,) = first.plot.panels[0].lines[0]
    assert points.split()[3] == f"{across(4, 1, 9):g},{up(50):g}"
    assert first.moments.names[0] == "1 of the annotated ones"


def test_gaps_of_curves_stay_gaps(tmp_path: Path) -> None:
    arrays = {"bear_2/frame": np.array([7, 8, 9]), "dog_park_1/frame": np.array([4, 5, 9])}
    write(tmp_path / "a", record("one", GOOD), GOOD, **arrays)
    write(tmp_path / "b", record("two", GOOD), GOOD)
    for video in shown(load(tmp_path)):
        assert video.plot is not None
        assert video.plot.panels[0].lines[1] == [" ".join(video.plot.panels[0].lines[1]).strip()]


def test_so_many_videos_are_drawn(tmp_path: Path) -> None:
    curves = {f"s{number:02}_1": [number / 20] * 3 for number in range(20)}
    found = shown([Row(record("one", curves), "", write(tmp_path, record("one", curves), curves))])
    assert [video.title for video in found] == [f"s{number:02}" for number in range(12)]


def test_other_measures_have_neither_curves_nor_worst_frames(tmp_path: Path) -> None:
    made = record(
        "parts", GOOD, protocol="vip", scores={"IoU-Mean": 0.5, "IoU-00": 0.5},
        objects={name: {"IoU": 0.5, "intersection": 4.0, "union": 8.0} for name in GOOD},
    )  # fmt: skip
    arrays = {f"{name}/{kind}": np.ones(3) for name in GOOD for kind in ("intersection", "union", "frame")}
    records.write(made, arrays, records.path_of(tmp_path / "run", "vip", "val", "vip"))
    page = report.html(boards(load(tmp_path)))
    assert "<h3>IoU of each method</h3>" in page
    assert not pictures(page)
    assert not panes(page)
    assert "J&amp;F" not in page
    assert "over time" not in page.split("<script>")[1]


def test_mixed_boards_keep_videos_of_one_name_apart(runs: Path) -> None:
    path = records.path_of(runs / "poor", "davis2017", "val", "davis")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"resolution": "1080p"}))
    page = report.html(boards(load(runs), mixed=True))
    titles = re.findall(r'<h4 id="[^"]+">([^<]+)</h4>', page)
    assert len(titles) == 6
    assert "bear (davis2017, val, davis, 1080p, all, all videos)" in titles


def test_many_rows_are_quick(tmp_path: Path) -> None:
    rows = [Row(record(f"m{place}", GOOD), f"run{place}", tmp_path / f"{place}.json") for place in range(5_000)]
    started = time.perf_counter()
    page = report.html([Board("many", rows)])
    assert page.count("<tr>") > 5_000
    assert page.count('class="bar-box"') == 40
    assert "4960 more rows are in the table." in page
    assert time.perf_counter() - started < 20  # 2 s on a free machine


@pytest.mark.real
def test_twenty_videos_of_five_methods_take_less_than_15_mb(real_data: Path, tmp_path: Path) -> None:
    """Two of the twenty are drawn: one of smooth water, one of rocks."""
    names = ["blackswan", "goat"]
    data = Davis(real_data / "davis2016-val10", split="val", year=2016, sequences=names)
    keys = [ObjectKey(name, 1) for name in names]
    for method in range(5):
        curves = {key: ObjectCurves(np.arange(1, 50), {kind: np.full(49, 0.5) for kind in "JF"}) for key in keys}
        scores = Scores(
            protocol_named("davis"), {}, {}, curves, {key: [f"{i:05}" for i in range(1, 50)] for key in keys}
        )
        path = write(tmp_path / str(method), record(f"m{method}", {str(key): [0.5] * 49 for key in keys}), {})
        source: Any = Ragged(data.videos, method)
        write_pictures(data, source, scores, path.with_suffix(""), 20)
    page = report.html(boards(load(tmp_path)))
    assert page.count('<svg class="picture"') == 2 * 6
    worst = re.findall(r'<img [^>]*src="([^"]+)"', page)
    assert len(worst) == 10
    others = len(page) - sum(map(len, worst))
    assert 10 * others + videos.WORST * max(map(len, worst)) < 15_000_000


class Ragged:
    """Stands in for predictions: annotations with ragged borders, which are larger than smooth ones."""

    def __init__(self, videos: Sequence[Video], seed: int) -> None:
        self.videos, self.seed = {video.name: video for video in videos}, seed

    def sequence(self, name: str) -> Any:
        video, random = self.videos[name], np.random.default_rng(self.seed)

        class Maps:
            names = video.frame_names

            def read(self, frame: str) -> Any:
                labels = video.annotation(video.frame_names.index(frame))
                assert labels is not None
                shifts = random.integers(-6, 6, (labels.shape[0] // 8 + 1,)).repeat(8)[: labels.shape[0]]
                return np.stack([np.roll(row, shift) for row, shift in zip(labels, shifts, strict=True)])

        return Maps()


def charted(method: str, score: float, fps: float, parameters: int, device: str = "cpu") -> Row:
    curves = {f"s{number}_1": list(np.linspace(score, score / 2, 20)) for number in range(3)}
    speed = {"fps": fps, "device": device}
    return Row(record(method, curves, speed=speed, parameters=parameters), method, Path("x.json"))


def test_charts_show_what_there_is(tmp_path: Path) -> None:
    rows = [
        charted("a", 0.8, 2.0, 5_000_000),
        charted("b", 0.6, 90.0, 1_000_000),
        charted("c", 0.5, 9.0, 2_000_000, "gpu"),
    ]
    fast = replace(rows[0].record, speed={"fps": 50.0})
    quoted = replace(rows[0], record=fast, path=None, sources={"MUNet 2": "a paper"})
    shown = {chart.title: chart for chart in charts_of(board([*rows], published=[quoted]), [])}
    speed = shown["J&F against frames per second"]
    assert speed.x == "frames per second, cpu"
    assert speed.names == ["a", "b"]  # not the one of another device, nor the paper's
    assert [label for _, label in speed.across] == ["1", "10", "100"]  # logarithmic
    assert speed.marks[0].x < speed.marks[1].x
    assert speed.marks[0].y < speed.marks[1].y  # higher up is better
    size = shown["J&F against the number of parameters"]
    assert [mark.measured for mark in size.marks].count(False) == 1
    assert "J&F against training time" not in shown
    assert "Loss of the trainings" not in shown


def test_accuracy_over_time_is_averaged_in_tenths_of_videos(tmp_path: Path) -> None:
    curves = {"long_1": list(np.linspace(1, 0, 40)), "short_1": list(np.linspace(1, 0, 20)), "tiny_1": [0.1] * 3}
    write(tmp_path, record("falling", curves), curves)
    found = read_beside(load(tmp_path), set())
    (chart,) = (each for each in charts_of(board(load(tmp_path)), found) if "over time" in each.title)
    points = [tuple(map(float, point.split(","))) for point in chart.marks[0].points.split()]
    assert len(points) == 10
    heights = [y for _, y in points]
    assert heights == sorted(heights)  # downwards on a page
    assert np.ptp(np.diff(heights)) < 1  # a straight line, which the video of three frames does not bend
    assert "J&amp;F over time" in report.html(boards(load(tmp_path)))


def test_losses_of_trainings(tmp_path: Path) -> None:
    training = {
        "seed": 0, "recipe": "r", "overrides": [], "earlier": [], "steps": 9, "max_steps": 9, "hours": 1.0,
        "earlier_hours": 0.5, "device": "cpu", "losses": [[1, 2.0], [5, 1.0], [9, 0.5]],
    }  # fmt: skip
    write(tmp_path, record("trained", GOOD, training=training), GOOD)
    found = read_beside(load(tmp_path), set())
    (chart,) = (each for each in charts_of(board(load(tmp_path)), found) if "Loss" in each.title)
    assert [label for _, label in chart.up] == ["0.5", "1", "1.5", "2"]
    assert chart.names == ["trained"]
    page = report.html(boards(load(tmp_path)))
    assert "Loss of the trainings" in page
