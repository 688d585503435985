"""A protocol is one file: one that is made up here is all that check, pack, evaluate, pictures, leaderboard, report and
training need."""

import ast
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import vosbench
from vosbench.evaluation import protocols
from vosbench.evaluation.protocols.protocol import all_protocols, known_protocol, protocol_named

Command = Callable[..., Any]
MADE_UP = '''
"""Protocol `blobs`: one minus the overlap, in every annotated frame: lower is better."""

import numpy as np

from vosbench.audit.findings import Note, Problem
from vosbench.evaluation.metrics import Curves, jaccard
from vosbench.evaluation.protocols.protocol import Measure, Protocol, SubmissionFormat

MISS = Measure("Miss-Mean", parts=("Miss-Mean",), high=2.0, falling=True)


def score(pairs, sequence):
    found = {}
    for position, (annotation, prediction) in enumerate(pairs):
        for id_ in annotation.ids:
            found.setdefault(id_, []).append((position, jaccard(annotation[id_], prediction[id_])))
    columns = {id_: np.array(rows).T for id_, rows in found.items()}
    return {id_: Curves(frames.astype(int), {"Overlap": values}) for id_, (frames, values) in columns.items()}


def summarise(curves):
    return {"Miss-Mean": 1 - float(curves.measures["Overlap"].mean())}


def aggregate(objects):
    return {"Miss-Mean": float(np.mean([MISS.of(values) for values in objects.values()]))}


PROTOCOL = Protocol(
    name="blobs", score=score, summarise=summarise, aggregate=aggregate, measures=(MISS,), over_time=("Overlap",),
    fewest_frames=5, late_objects=True, advice={Note.LATE: "blobs come late", Problem.TOO_SHORT: "blobs need 5"},
    submission=SubmissionFormat(top="Blobs/"), unofficial="it is made up",
)
'''
TINY = [
    *("train", "method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "data=collage"),
    *("data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.validation.videos=1", "data.validation.size=[48,64]"),
    *("data.clips.size=32", "data.batch_size=2", "trainer.accelerator=cpu", "trainer.devices=1"),
    *("trainer.max_steps=1", "trainer.val_check_interval=1", "name=one"),
]


@pytest.fixture
def blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "protocols"
    folder.mkdir()
    (folder / "blobs.py").write_text(MADE_UP)
    monkeypatch.setattr(protocols, "__path__", [*protocols.__path__, str(folder)])


@pytest.mark.usefixtures("blobs")
def test_it_is_found_by_name() -> None:
    assert "blobs" in [protocol.name for protocol in all_protocols()]
    with pytest.raises(ValueError, match="choose from blobs, davis, davis-unsupervised, pck-crw, pck-vfs, vip"):
        protocol_named("blob")


@pytest.mark.usefixtures("blobs")
def test_check_advises_by_it(command: Command, davis: Path) -> None:
    done = command("check", "dataset=davis2017", f"dataset.root={davis}", "dataset.protocol=blobs", "workers=0")
    assert "late objects: 1 of 3 videos (b ids 2); blobs come late" in done.out
    done.error(1, "too few frames to be scored: 1 of 3 videos (c 4); blobs need 5")


@pytest.mark.usefixtures("blobs")
def test_pack_makes_its_submissions(command: Command, davis: Path) -> None:
    masks = davis / "Annotations/480p"
    settings = ("dataset=davis2017", f"dataset.root={davis}", "dataset.late_objects=true", f"predictions={masks}")
    done = command("pack", *settings, "dataset.protocol=blobs", "output=blobs.zip")
    assert done.status == 0, done.err
    assert {name.split("/")[0] for name in ZipFile("blobs.zip").namelist()} == {"Blobs"}


@pytest.mark.usefixtures("blobs")
def test_records_pictures_and_boards_follow_it(command: Command, davis: Path) -> None:
    settings = ["dataset=davis2017", f"dataset.root={davis}", "protocol=blobs", "device=cpu", "workers=0"]
    for method in ("copy_first", "flow_warp"):
        done = command("benchmark", f"method={method}", *settings)
        assert done.status == 0, done.err
        assert "protocol blobs (unofficial), percent, mean over 4 objects" in " ".join(done.out.split())
    folder = Path("runs/copy_first/default/results/davis2017-val-blobs")
    pictures = json.loads((folder / "pictures.json").read_text())["pictures"]
    assert any(picture["caption"].startswith("b, object 2, frame 00002: Overlap 0.0") for picture in pictures)

    assert command("leaderboard", "resamples=50", "name=all").status == 0
    rows = list(csv.DictReader(Path("runs/leaderboard/all/leaderboard.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["flow_warp", "copy_first"]  # lower is better
    assert float(rows[0]["Miss-Mean"]) < float(rows[1]["Miss-Mean"])
    assert rows[0]["Miss-Mean-low"]
    assert float(rows[1]["to-best"]) > 0
    page = Path("runs/leaderboard/all/leaderboard.html").read_text()
    for part in ("<h3>Miss by sequence</h3>", "overlays, and Overlap over time</h3>", "protocol blobs (unofficial)"):
        assert part in page
    assert "blobs (unofficial): it is made up." in page


@pytest.mark.usefixtures("blobs")
def test_training_is_validated_by_it(command: Command) -> None:
    done = command(*TINY, "data.validation.protocol=blobs", "data.validation.length=6")
    assert done.status == 0, done.err
    (row,) = csv.DictReader(Path("runs/mamp_small/one/metrics.csv").read_text().splitlines())
    assert 0 <= float(row["val/Miss"]) <= 1
    assert not {"val/J", "val/F", "val/J&F"} & set(row)
    assert Path("runs/mamp_small/one/checkpoints/best.ckpt").is_file()


def test_declared_measures_are_those_that_are_given() -> None:
    for protocol in all_protocols():
        assert protocol.measures
        assert all(measure.low < measure.high for measure in protocol.measures)
        assert len({measure.name for measure in protocol.measures}) == len(protocol.measures)
    assert known_protocol("another") is None


MEASURES = {"J", "JF", "G", "IoU", "J&F", "J&F-Mean", "J-Mean"}  # not F, which is also a mode of images
NAMES = {protocol.name for protocol in all_protocols()} | MEASURES
OFFICIAL = "scoring/official.py"  # knows what another scorer calls its results


def sources() -> list[Path]:
    """The package's modules, without protocols, methods and data sets (which say what they are scored by)."""
    root = Path(vosbench.__file__).parent
    folders = [path for path in root.iterdir() if path.is_dir() and path.name not in ("methods", "datasets", "conf")]
    files = [path for folder in folders for path in folder.resolve().rglob("*.py")]
    return [path for path in files if path.parent.name != "protocols" and not path.as_posix().endswith(OFFICIAL)]


def test_nobody_else_names_a_protocol_or_its_measures() -> None:
    assert len(sources()) > 60
    for path in sources():
        constants = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        assert not [node.value for node in constants if node.value in NAMES], path
