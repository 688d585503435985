"""Pictures beside a record: moments of videos, worst frames with their errors, and what becomes of old ones."""

import itertools
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8
from PIL import Image

from vosbench.datasets.davis import Davis
from vosbench.drawing import overlays
from vosbench.evaluation.metrics import Curves
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.predictions.label_maps import open_source
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.results.moments import MOMENTS, WIDTH
from vosbench.evaluation.results.picture_index import INDEX, Facts, is_current, read_facts, read_pictures
from vosbench.evaluation.results.pictures import write_pictures
from vosbench.evaluation.results.worst_frames import worst_frames
from vosbench.evaluation.scoring.evaluate import Scores, evaluate
from vosbench.video.images import read_image, write_label_map

RED = overlays.COLOURS[1]


def scores(curves: Mapping[str, Sequence[tuple[float, float]]]) -> Scores:
    """J and F by "<sequence>_<id>" over frames 00001, 00002, …"""
    found = {
        ObjectKey.parse(key): Curves(
            np.arange(1, len(values) + 1), {name: np.array(values, float)[:, i] for i, name in enumerate("JF")}
        )
        for key, values in curves.items()
    }
    stems = {key: [f"{index:05}" for index in curve.frames] for key, curve in found.items()}
    return Scores(protocol_named("davis"), {}, {}, found, stems)


NOTHING = scores({})


@pytest.fixture
def predictions(davis: Path, tmp_path: Path) -> Path:
    """The annotations themselves."""
    return Path(shutil.copytree(davis / "Annotations/480p", tmp_path / "predictions"))


def dataset(root: Path) -> Davis:
    return Davis(root, split="val", year=2017)


def write(davis: Path, predictions: Path, folder: Path, found: Scores = NOTHING, count: int = 8) -> None:
    write_pictures(dataset(davis), open_source(predictions), found, folder, count)


def share(image: UInt8[np.ndarray, "_ _ 3"], colour: object) -> float:
    """Of pixels that look like the colour."""
    return float((np.abs(image.astype(int) - np.array(colour)).max(-1) < 40).mean())


def covered(path: Path) -> float:
    """The share of a layer that is not transparent."""
    with Image.open(path) as image:
        return float((np.asarray(image.convert("RGBA"))[..., 3] > 0).mean())


def panels(path: Path) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    image = read_image(path)
    return [image[:, 400 * place : 400 * (place + 1)] for place in range(3)]


def test_moments_have_a_frame_an_annotation_and_a_prediction(davis: Path, predictions: Path, tmp_path: Path) -> None:
    for path in (predictions / "a").iterdir():
        write_label_map(path, np.full((48, 64), 1, np.uint8))
    write(davis, predictions, tmp_path / "out")
    found = [picture for picture in read_pictures(tmp_path / "out") if picture.sequence == "a"]
    # Of 6 frames; the first was given, and is no moment.
    names = [f"{index:05}" for index in range(1, 6)]
    for kind in ("frame", "annotation", "prediction"):
        assert [picture.caption for picture in found if picture.kind == kind] == names
    assert {picture.file for picture in found if picture.caption == "00001"} == {
        "moments/a/00001.jpg", "moments/a/00001.annotation.png", "moments/a/00001.prediction.png",
    }  # fmt: skip
    folder = tmp_path / "out/moments/a"
    assert {read_image(path).shape for path in folder.iterdir()} == {(WIDTH * 48 // 64, WIDTH, 3)}
    assert covered(folder / "00001.prediction.png") == 1
    assert covered(folder / "00001.annotation.png") == pytest.approx(16 * 18 / (48 * 64), abs=0.01)
    with Image.open(folder / "00001.annotation.png") as layer:
        colours = {colour for _, colour in layer.convert("RGBA").getcolors() or ()}
    assert colours == {(0, 0, 0, 0), (*RED, 128), (*RED, 255)}  # nothing, the object, its contour


def test_frames_and_annotations_are_the_same_bytes_for_all_methods(
    davis: Path, predictions: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(predictions, tmp_path / "other"))
    for path in other.rglob("*.png"):
        write_label_map(path, np.zeros((48, 64), np.uint8))
    write(davis, predictions, tmp_path / "one")
    write(davis, other, tmp_path / "two")
    for kind, alike in (("frame", True), ("annotation", True), ("prediction", False)):
        one, two = ([p.data for p in read_pictures(tmp_path / out) if p.kind == kind] for out in ("one", "two"))
        assert (one == two) == alike


def test_moments_do_not_depend_on_predictions(davis: Path, predictions: Path, tmp_path: Path) -> None:
    for index in (1, 2, 4):
        (predictions / f"a/{index:05}.png").unlink()
    shutil.rmtree(predictions / "b")
    write(davis, predictions, tmp_path / "out")
    found = read_pictures(tmp_path / "out")
    assert {picture.sequence for picture in found} == {"a", "c"}
    moments = {
        kind: [p.caption for p in found if p.sequence == "a" and p.kind == kind] for kind in ("frame", "prediction")
    }
    assert moments == {"frame": ["00001", "00002", "00003", "00004", "00005"], "prediction": ["00003", "00005"]}


def test_moments_of_a_long_video_are_spread_evenly(tmp_path: Path) -> None:
    root = tmp_path / "long"
    for index in range(60):
        for kind, end in (("JPEGImages", "jpg"), ("Annotations", "png")):
            path = root / kind / "480p/v" / f"{index:05}.{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((6, 8), min(index, 1), np.uint8)).save(path)
    write_pictures(Davis(root), open_source(root / "Annotations/480p"), NOTHING, tmp_path / "out", 1)
    moments = [int(picture.caption) for picture in read_pictures(tmp_path / "out") if picture.kind == "frame"]
    assert len(moments) == MOMENTS
    assert (moments[0], moments[-1]) == (1, 59)
    assert {b - a for a, b in itertools.pairwise(moments)} <= {3, 4}


def test_frames_without_annotation_have_no_such_layer(davis: Path, predictions: Path, tmp_path: Path) -> None:
    for index in range(1, 6):
        (davis / f"Annotations/480p/a/{index:05}.png").unlink()
    write(davis, predictions, tmp_path / "out")
    kinds = [picture.kind for picture in read_pictures(tmp_path / "out") if picture.sequence == "a"]
    assert set(kinds) == {"frame", "prediction"}


def test_what_is_known_about_videos_is_noted(davis: Path, predictions: Path, tmp_path: Path) -> None:
    assert read_facts(tmp_path / "out") == {}
    write(davis, predictions, tmp_path / "out", scores({"a_1": [(0.5, 0.5), (0.4, 0.4)]}))
    assert read_facts(tmp_path / "out") == {"a": Facts([], {"00001": 1, "00002": 2})}
    info = {"attributes": ["OCC"], "sequences": [{"name": "b", "attributes": ["OCC", "XY"]}, {"name": "zebra"}, 5]}
    (davis / "Annotations/db_info.yml").write_text(json.dumps(info))
    write(davis, predictions, tmp_path / "out")
    assert read_facts(tmp_path / "out") == {"b": Facts(["occlusion", "XY"], {})}


@pytest.mark.parametrize("content", ["{", "[]", "sequences: 5", "sequences: [{name: b, attributes: x}]", ""])
def test_odd_lists_of_attributes_are_left_out(davis: Path, content: str) -> None:
    (davis / "Annotations/db_info.yaml").write_text(content)
    assert dataset(davis).attributes == {}


def test_pictures_of_an_earlier_version(
    davis: Path, predictions: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their worst frames can still be shown. Strips are left out, which is said, and scoring again replaces them."""
    out = tmp_path / "out"
    write(davis, predictions, out, scores({"a_1": [(0.5, 0.5)]}))
    assert is_current(out)
    listed = [each for each in json.loads((out / INDEX).read_text())["pictures"] if each["kind"] == "worst"]
    (out / "sheets").mkdir()
    for kind in ("sheet", "truth"):
        Image.new("RGB", (8, 8)).save(out / f"sheets/{kind}.jpg")
        listed.append({"kind": kind, "file": f"sheets/{kind}.jpg", "sequence": "a", "caption": "frame 1"})
    (out / INDEX).write_text(json.dumps(listed))
    assert not is_current(out)
    assert [picture.kind for picture in read_pictures(out)] == ["worst"]
    assert "is of an earlier version: score again for overlays over time" in caplog.text
    write(davis, predictions, out)
    assert not (out / "sheets").exists()


def test_sequences_are_chosen_evenly_and_alike_for_all_methods(davis: Path, predictions: Path, tmp_path: Path) -> None:
    for count, expected in ((1, "a"), (2, "ac"), (3, "abc")):
        write(davis, predictions, tmp_path / "out", count=count)
        assert {picture.sequence for picture in read_pictures(tmp_path / "out")} == set(expected)
    shutil.rmtree(predictions / "a")
    write(davis, predictions, tmp_path / "out", count=2)
    assert {picture.sequence for picture in read_pictures(tmp_path / "out")} == {"c"}


def test_worst_frames_are_one_a_sequence_and_sorted() -> None:
    found = worst_frames(
        scores(
            {
                "a_1": [(0.9, 0.7), (0.5, 0.3), (0.2, 0.6)],  # equally bad at 2 and 3: the earlier one
                "b_1": [(0.9, 0.9), (0.0, 0.0)],
                "b_2": [(0.2, 0.2), (0.0, 0.0), (0.0, 0.0)],  # as bad as object 1, and worse on the whole
                "dog_park_12": [(0.0, 0.1)],
                "empty_1": [(0.5, 0.5)],
            }
        )
    )
    assert [(worst.key.sequence, worst.key.id, worst.frame) for worst in found] == [
        ("b", 2, "00002"), ("dog_park", 12, "00001"), ("a", 1, "00002"), ("empty", 1, "00001"),
    ]  # fmt: skip
    assert found[2].caption == "a, object 1, frame 00002: J 50.0, F 30.0"


def test_protocols_without_j_and_f_have_no_worst_frames() -> None:
    key, ones, none = ObjectKey("a", 1), np.ones(3), np.empty(0)
    counts = {key: Curves(np.arange(3), {"intersection": ones, "union": ones})}
    assert worst_frames(Scores(protocol_named("vip"), {}, {}, counts, {key: ["0", "1", "2"]})) == []
    empty = {key: Curves(np.arange(0), {"J": none, "F": none})}
    assert worst_frames(Scores(protocol_named("davis"), {}, {}, empty, {key: []})) == []


def test_worst_frame_shows_what_is_missed_and_false(davis: Path, predictions: Path, tmp_path: Path) -> None:
    labels = np.zeros((48, 64), np.uint8)
    labels[30:46, 11:29] = 1  # below the object
    write_label_map(predictions / "a/00001.png", labels)
    labels[:] = 0
    write_label_map(predictions / "b/00003.png", labels)
    found = evaluate(dataset(davis), open_source(predictions), protocol_named("vos-benchmark"), 0)
    write(davis, predictions, tmp_path / "out", found, count=2)
    worst = [picture for picture in read_pictures(tmp_path / "out") if picture.kind == "worst"]
    assert [picture.file for picture in worst] == ["worst/1-b_2-00003.jpg", "worst/2-a_1-00001.jpg"]
    assert worst[1].caption == "a, object 1, frame 00001: J 0.0, F 0.0"
    annotation, prediction, errors = panels(tmp_path / "out" / worst[1].file)
    assert share(errors, overlays.MISSED) > 0.08
    assert share(errors, overlays.FALSE) > 0.08
    assert share(errors, overlays.HIT) < 0.01
    middle = slice(40, 150), slice(60, 220)  # the object in the annotation only
    assert share(annotation[middle], RED) > share(prediction[middle], RED)
    _, _, errors = panels(tmp_path / "out" / worst[0].file)
    assert share(errors, overlays.MISSED) > 0.08
    assert share(errors, overlays.FALSE) < 0.01


def test_worst_frame_is_cropped_around_a_small_object(davis: Path, predictions: Path, tmp_path: Path) -> None:
    labels = np.zeros((48, 64), np.uint8)
    labels[40:44, 58:64] = 1
    write_label_map(davis / "Annotations/480p/a/00002.png", labels)
    write_label_map(predictions / "a/00002.png", np.zeros((48, 64), np.uint8))
    write(davis, predictions, tmp_path / "out", scores({"a_1": [(1, 1), (0, 0)]}))
    assert share(panels(tmp_path / "out/worst/1-a_1-00002.jpg")[2], overlays.MISSED) > 0.05  # of the frame it is 0.8 %


def test_errors_are_those_of_the_matched_proposal(davis: Path, predictions: Path, tmp_path: Path) -> None:
    """davis-unsupervised: proposals are numbered as they like, and matched with objects over the whole sequence."""
    for path in (predictions / "a").iterdir():
        labels = np.zeros((48, 64), np.uint8)
        labels[:6, :20] = 1  # a proposal that no object is matched with
        labels[6:22, 8:26] = 0 if path.stem == "00004" else 7
        write_label_map(path, labels)
    found = evaluate(dataset(davis), open_source(predictions), protocol_named("davis-unsupervised"), 0)
    write(davis, predictions, tmp_path / "out", found, count=1)
    (worst,) = (picture for picture in read_pictures(tmp_path / "out") if picture.kind == "worst")
    assert worst.caption == "a, object 1, frame 00004: J 0.0, F 0.0"
    errors = panels(tmp_path / "out" / worst.file)[2]
    assert share(errors, overlays.MISSED) > 0.08
    assert share(errors, overlays.FALSE) < 0.01


def test_masks_of_0_and_255_are_the_one_object_of_a_binary_set(davis: Path, predictions: Path, tmp_path: Path) -> None:
    for path in (predictions / "a").iterdir():
        write_label_map(path, np.full((48, 64), 255, np.uint8))
    binary = Davis(davis, split="val", year=2017, sequences=["a"], binary=True)
    write_pictures(binary, open_source(predictions), NOTHING, tmp_path / "out", 1)
    assert covered(tmp_path / "out/moments/a/00001.prediction.png") == 1
    with Image.open(tmp_path / "out/moments/a/00001.prediction.png") as layer:
        assert layer.convert("RGBA").getpixel((200, 150)) == (*RED, 128)


def test_predictions_of_another_size_and_void_are_drawn(davis: Path, predictions: Path, tmp_path: Path) -> None:
    for path in (predictions / "a").iterdir():
        write_label_map(path, np.full((24, 32), 1, np.uint8))
        annotation = np.full((48, 64), 255, np.uint8)
        annotation[6:22, 8:26] = 1
        write_label_map(davis / "Annotations/480p/a" / path.name, annotation)
    write(davis, predictions, tmp_path / "out", scores({"a_1": [(0.3, 0.1)]}))
    kinds = [picture.kind for picture in read_pictures(tmp_path / "out") if picture.sequence == "a"]
    assert kinds == ["frame", "annotation", "prediction"] * 5 + ["worst"]
    assert covered(tmp_path / "out/moments/a/00001.annotation.png") < 0.1  # void is neither object nor contour


def test_pictures_of_an_earlier_scoring_go(davis: Path, predictions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "global_results-val.csv").write_text("kept")
    write(davis, predictions, out, scores({"a_1": [(0.5, 0.5)]}))
    assert (out / "worst/1-a_1-00001.jpg").is_file()
    write(davis, predictions, out, scores({"c_1": [(0.5, 0.5)]}), count=1)
    assert [path.name for path in (out / "worst").iterdir()] == ["1-c_1-00001.jpg"]
    assert [path.name for path in (out / "moments").iterdir()] == ["a"]
    write(davis, predictions, out, count=0)
    assert [path.name for path in out.iterdir()] == ["global_results-val.csv"]
    assert read_pictures(out) == []


def test_what_cannot_be_drawn_is_named_and_left_out(
    davis: Path, predictions: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (davis / "JPEGImages/480p/a/00001.jpg").write_bytes(b"broken")
    with caplog.at_level(logging.WARNING):
        write(davis, predictions, tmp_path / "out", scores({"a_1": [(0.5, 0.5)], "b_1": [(0.6, 0.6)]}))
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "no overlays of a", "no picture of the worst frame of a",
    ]  # fmt: skip
    found = read_pictures(tmp_path / "out")
    assert {picture.sequence for picture in found} == {"b", "c"}
    assert [picture.file for picture in found if picture.kind == "worst"] == ["worst/2-b_1-00001.jpg"]


def test_without_predictions_there_is_nothing_to_draw(davis: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(davis, tmp_path / "empty", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [INDEX]
    assert read_pictures(tmp_path / "out") == []


def test_broken_and_missing_pictures_are_left_out(davis: Path, predictions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert read_pictures(out) == []
    write(davis, predictions, out)
    before = {picture.file for picture in read_pictures(out)}
    gone, short, odd, large = (
        f"moments/{name}" for name in ("a/00001.jpg", "b/00001.jpg", "b/00002.jpg", "c/00001.jpg")
    )
    (out / gone).unlink()
    whole = (out / short).read_bytes()
    (out / short).write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (8, 8)).save(out / odd, format="GIF")
    (out / large).write_bytes((out / large).read_bytes() + bytes(2**21))
    assert {picture.file for picture in read_pictures(out)} == before - {gone, short, odd, large}
    for content in (
        "{",
        "[1]",
        "{}",
        json.dumps([{"kind": "sheet"}]),
        json.dumps([dict.fromkeys(("kind", "file", "sequence", "caption"), 1)]),
        '{"version": 2, "pictures": {}, "videos": []}',
        '{"version": 2, "pictures": [], "videos": {"a": {"attributes": 5, "frames": {}}}}',
        '{"version": 2, "pictures": [], "videos": {"a": {"attributes": [], "frames": {"1": "x"}}}}',
    ):
        (out / INDEX).write_text(content)
        assert read_pictures(out) == []
        assert read_facts(out) == {}


@pytest.mark.real
def test_pictures_of_real_video_are_small(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "davis2017-240p"
    found = Davis(root, split="val", year=2017, resolution="240p")
    source = open_source(real_data.parent / "golden/davis2017-240p-val-perturbed/predictions")
    write_pictures(found, source, evaluate(found, source, protocol_named("davis"), 0), tmp_path / "out", 8)
    sizes = {path: path.stat().st_size for path in (tmp_path / "out").rglob("*.*g")}
    (worst,) = (path for path in sizes if path.parent.name == "worst")
    assert worst.name == "1-dogs-jump_2-00034.jpg"
    assert sizes.pop(worst) < 100_000
    assert len(sizes) == 3 * MOMENTS
    assert max(size for path, size in sizes.items() if path.suffix == ".jpg") < 25_000
    assert max(size for path, size in sizes.items() if path.suffix == ".png") < 6_000
