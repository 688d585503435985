"""Scoring a folder of masks: the official numbers, every mistake at once, and the `evaluate` verb."""

import json
import os
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vosbench.datasets.davis import Davis
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.predictions.label_maps import PngFolder, hash_annotations, hash_predictions
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.results import records
from vosbench.evaluation.scoring.evaluate import Scores
from vosbench.evaluation.scoring.evaluate import evaluate as score
from vosbench.nn.resnet import ResNet
from vosbench.tasks import evaluate
from vosbench.util.errors import Problems
from vosbench.video.images import read_label_map, write_label_map
from vosbench.video.video import Dataset, Video

FRAMES = 5
MOVING, STILL = ObjectKey("moving", 1), ObjectKey("still", 1)


def square(left: int, id_: int = 1) -> np.ndarray:
    labels = np.zeros((48, 64), np.uint8)
    labels[10:30, left : left + 20] = id_
    return labels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two videos of five frames in DAVIS layout: a square that moves right, and one that stays."""
    root = tmp_path / "data"
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("moving\nstill\n")
    for name, step in (("moving", 4), ("still", 0)):
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / "480p" / name).mkdir(parents=True)
        for index in range(FRAMES):
            Image.new("RGB", (64, 48)).save(root / "JPEGImages/480p" / name / f"{index:05}.jpg")
            write_label_map(root / "Annotations/480p" / name / f"{index:05}.png", square(4 + step * index))
    return root


@pytest.fixture
def masks(root: Path, tmp_path: Path) -> Path:
    """Predictions: every frame is the first annotation."""
    for name in ("moving", "still"):
        (tmp_path / "masks" / name).mkdir(parents=True)
        for index in range(FRAMES):
            write_label_map(tmp_path / "masks" / name / f"{index:05}.png", square(4))
    return tmp_path / "masks"


def davis(root: Path, **settings: object) -> Dataset:
    return Davis(root, "val", 2017, **settings)  # type: ignore[arg-type]


def score_folder(dataset: Dataset, masks: Path, **settings: object) -> Scores:
    return score(dataset, PngFolder(masks), **settings)  # type: ignore[arg-type]


def options(root: Path, run: Path, **changes: object) -> evaluate.Options:
    dataset = {"_target_": "vosbench.datasets.davis.Davis", "root": str(root), "split": "val", "year": 2017}
    default = evaluate.Options(
        run=str(run),
        overrides=[],
        dataset=dataset,
        predictions=None,
        protocol=None,
        scorer="vosbench",
        workers=0,
        cache=None,
        pictures=0,
        overwrite=False,
        method_name="copy",
        supervision=None,
        training_data=None,
        checkpoint=None,
    )
    return replace(default, **changes)  # type: ignore[arg-type]


def test_scores_by_hand(root: Path, masks: Path) -> None:
    scores = score_folder(davis(root), masks, workers=0)
    # The square of 20 columns moves 4 a frame; frames 1 to 3 are scored.
    np.testing.assert_allclose(scores.curves[MOVING].measures["J"], [16 / 24, 12 / 28, 8 / 32])
    assert scores.stems[MOVING] == ["00001", "00002", "00003"]
    assert scores.objects[STILL]["J-Mean"] == scores.objects[STILL]["F-Mean"] == 1.0
    assert scores.scores["J-Mean"] == pytest.approx((1 + (16 / 24 + 12 / 28 + 8 / 32) / 3) / 2)


def test_processes_give_the_same(root: Path, masks: Path) -> None:
    alone, together = (score_folder(davis(root), masks, workers=workers) for workers in (0, 2))
    assert (alone.scores, alone.objects) == (together.scores, together.objects)


def test_every_mistake_is_listed_at_once(root: Path, masks: Path) -> None:
    moving = masks / "moving"
    (masks / "stranger").mkdir()
    write_label_map(masks / "stranger/00000.png", square(4))
    (masks / "notes").mkdir()  # holds no masks: no sequence
    write_label_map(masks / "00000.png", square(4))
    (moving / "mask.npy").touch()
    (moving / "00000.png").unlink()
    write_label_map(moving / "00009.png", square(4))
    write_label_map(moving / "00001.png", square(4)[::2])
    Image.new("RGB", (64, 48)).save(moving / "00002.png")
    (moving / "00004.png").write_bytes((moving / "00003.png").read_bytes()[:60])
    write_label_map(masks / "still/00002.png", square(4, id_=7))
    with pytest.raises(Problems, match=r"^9 problem") as error:
        score_folder(davis(root), masks, workers=0)
    lines = error.value.found
    for expected in [
        "1 sequence(s) that the data set does not have: stranger",
        "1 image(s) outside of the sequences' folders: 00000.png",
        "moving: 1 stray file(s), not <frame>.png: mask.npy",
        "moving: 1 frame(s) that the video does not have: 00009",
        "00001 is 24×64 (rows×columns), its annotation 48×64",
        "00002.png has mode RGB",
        "cannot read mask",
        "moving: 1 annotated frame(s) without prediction: 00000",
        "still: predicted ids [7] above its 1 object(s)",
    ]:
        assert sum(expected in line for line in lines) == 1, (expected, lines)


def test_a_missing_sequence_and_a_long_list(root: Path, masks: Path) -> None:
    (masks / "still").rename(masks.parent / "elsewhere")
    for index in range(40):
        (masks / f"extra{index:02}").mkdir()
        write_label_map(masks / f"extra{index:02}/00000.png", square(4))
    for index in range(3):
        Image.new("RGB", (64, 48)).save(masks / f"moving/{index:05}.png")
    with pytest.raises(Problems, match=r"^3 problem") as error:
        score_folder(davis(root), masks, workers=0)
    extra, missing, colours = error.value.found
    assert extra.startswith("40 sequence(s) that the data set does not have: extra00, extra01, ")
    assert missing == "1 sequence(s) without predictions: still"
    assert "moving/*.png has mode RGB" in colours
    assert colours.endswith("(3 frames: 00000, 00001, 00002)")
    with pytest.raises(Problems, match=r"^2 problem"):
        score_folder(davis(root), masks, workers=0, ignore_extra=True)


def test_a_broken_annotation_is_a_problem_too(root: Path, masks: Path) -> None:
    path = root / "Annotations/480p/still/00002.png"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^1 problem(.|\n)*cannot read mask .*still/00002\.png"):
        score_folder(davis(root), masks, workers=0)


def test_a_missing_folder_and_an_unknown_protocol(root: Path, masks: Path) -> None:
    with pytest.raises(ValueError, match="nowhere does not exist"):
        score_folder(davis(root), masks / "nowhere")
    for name in ("coco", "metrics", "../davis"):
        with pytest.raises(ValueError, match=f"protocol={name} does not exist: choose from davis"):
            protocol_named(name)


def test_binary_sets_take_any_nonzero_pixel_with_a_notice(
    root: Path, masks: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = score_folder(davis(root, binary=True), masks, workers=0)
    assert not caplog.messages
    for path in masks.glob("*/*.png"):
        labels = read_label_map(path) * 255
        labels[12, 4] = 0 if labels[12, 4] == 0 else 9
        write_label_map(path, labels)
    assert score_folder(davis(root, binary=True), masks, workers=0).scores == plain.scores
    assert caplog.messages == ["davis2017 has one object: any nonzero pixel of the predictions was read as object 1"]


def test_only_annotated_frames_count(root: Path, masks: Path) -> None:
    (root / "Annotations/480p/moving/00002.png").unlink()
    (masks / "moving/00002.png").unlink()
    assert score_folder(davis(root), masks, workers=0).stems[MOVING] == ["00001", "00003"]


class Deadly(Video):
    """Ends the process that reads it."""

    name = "deadly"
    frame_names = ("0", "1", "2")

    def frame(self, index: int) -> np.ndarray:
        raise NotImplementedError

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (3,)


def test_a_dying_worker_ends_the_run(root: Path, masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = davis(root)
    (masks / "deadly").mkdir()
    monkeypatch.setattr(dataset, "videos", (*dataset.videos, Deadly()))
    with pytest.raises(BrokenProcessPool):
        score_folder(dataset, masks, workers=1)


def test_hashes_see_contents_and_names(root: Path, masks: Path) -> None:
    dataset = davis(root)
    before = hash_predictions(PngFolder(masks), ("moving", "still")), hash_annotations(dataset)
    assert before == (hash_predictions(PngFolder(masks), ("moving", "still")), hash_annotations(dataset))
    write_label_map(masks / "moving/00001.png", square(5))
    write_label_map(root / "Annotations/480p/moving/00001.png", square(5))
    after = hash_predictions(PngFolder(masks), ("moving", "still")), hash_annotations(dataset)
    assert before[0] != after[0]
    assert before[1] != after[1]
    (masks / "moving/00001.png").rename(masks / "moving/00007.png")
    assert hash_predictions(PngFolder(masks), ("moving", "still")) != after[0]
    assert hash_annotations(davis(root, max_frames=4)) != after[1]


def test_verb_writes_one_record_and_its_tables(root: Path, masks: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "predictions").mkdir(parents=True)
    masks.rename(run / "predictions/davis2017-val")
    before = sorted((run / "predictions").glob("**/*"))
    evaluate.run(options(root, run, checkpoint="untrained"))
    record = records.read(run / "results/davis2017-val-davis.json")
    assert (record.method, record.checkpoint, record.protocol, record.resolution, record.frames) == (
        "copy", "untrained", "davis", "480p", "all",
    )  # fmt: skip
    assert list(record.objects) == ["moving_1", "still_1"]
    assert record.speed is None
    assert len(list((run / "results/davis2017-val-davis").glob("*-val.csv"))) == 3
    assert sorted((run / "predictions").glob("**/*")) == before


def test_verb_never_reuses_or_replaces_stale_work(
    root: Path, masks: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = options(root, tmp_path / "run", predictions=str(masks))
    path = tmp_path / "run/results/davis2017-val-davis.json"
    evaluate.run(settings)
    first = path.read_bytes()
    caplog.set_level("INFO")
    evaluate.run(settings)
    assert "nothing to do" in caplog.text
    assert path.read_bytes() == first
    assert capsys.readouterr().out.count("protocol davis") == 2
    write_label_map(masks / "moving/00001.png", square(5))
    with pytest.raises(ValueError, match=r"^predictions changed since"):
        evaluate.run(settings)
    assert path.read_bytes() == first
    evaluate.run(replace(settings, overwrite=True))
    assert json.loads(path.read_text())["scores"] != json.loads(first)["scores"]


def test_a_restricted_set_scores_part_of_a_folder(root: Path, masks: Path, tmp_path: Path) -> None:
    whole = options(root, tmp_path / "run", predictions=str(masks))
    evaluate.run(replace(whole, dataset={**whole.dataset, "sequences": ["still"], "max_frames": 4}))
    record = records.read(tmp_path / "run/results/davis2017-val-davis.json")
    assert list(record.objects) == ["still_1"]


def test_command_line(root: Path, masks: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    words = f"dataset=davis2017 dataset.root={root} predictions={masks} workers=0 method_name=copy run=out".split()
    assert command("evaluate", *words).status == 0
    record = records.read(tmp_path / "out/results/davis2017-val-davis.json")
    assert record.method == "copy"
    assert record.provenance is not None
    assert "method_name=copy" in record.provenance["overrides"]


def test_what_vosbench_predicted_keeps_its_mark(root: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    data = ["dataset=davis2017", f"dataset.root={root}"]
    torch.save(ResNet(18, 4, strides=(1, 2, 2)).state_dict(), "mask_rcnn.pth")
    network = ["width=4", "channels=[4,4]", "decoder_width=4", "weights=mask_rcnn.pth"]
    munet = ["method=munet_narrow", *(f"method.{setting}" for setting in network), "checkpoint=none", "device=cpu"]
    assert command("predict", *data, *munet, "output=maps").status == 0
    scoring = ["evaluate", *data, "predictions=maps", "workers=0", "pictures=0", "run=out"]

    def labels(*given: str) -> tuple[Any, ...]:
        assert command(*scoring, *given).status == 0
        record = records.read(tmp_path / "out/results/davis2017-val-davis.json")
        return record.supervision, record.training_data, record.checkpoint

    assert labels() == ("supervised", "mask_rcnn.pth", "untrained")
    assert labels("supervision=none", "training_data=theirs", "checkpoint=x") == ("none", "theirs", "x")
    note = tmp_path / "maps/.records/still.json"
    content = json.loads(note.read_text())
    del content["facts"]  # as older versions wrote it
    note.write_text(json.dumps(content))
    assert labels() == (None, None, None)


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "root", "split", "year", "resolution"),
    [
        ("davis2016-val10-stm", "davis2016-val10", "val", 2016, "480p"),
        ("davis2017-240p-train-perturbed", "davis2017-240p", "train", 2017, "240p"),
        ("davis2017-240p-val-perturbed", "davis2017-240p", "val", 2017, "240p"),
    ],
)
def test_official_numbers(real_data: Path, folder: str, root: str, split: str, year: int, resolution: str) -> None:
    golden = real_data.parent / "golden" / folder
    if not golden.is_dir():
        pytest.skip("needs the official scorer's numbers: golden/ beside VOSBENCH_DATA")
    dataset = Davis(real_data / root, split, year, resolution)
    scores = score_folder(dataset, golden / "predictions", workers=2)
    official = json.loads((golden / "official_global.json").read_text())
    assert scores.scores == pytest.approx(official, rel=0, abs=1e-12)
    frames = np.load(golden / "official_per_frame.npz")
    arrays = records.arrays_of(scores.curves)
    assert set(frames) == {key for key in arrays if not key.endswith("/frame")}
    for key in frames:
        np.testing.assert_allclose(arrays[key], frames[key], rtol=0, atol=1e-12, err_msg=key)
    for name, values in json.loads((golden / "official_per_object.json").read_text()).items():
        for measure in ("J", "F"):
            assert scores.objects[ObjectKey.parse(name)][f"{measure}-Mean"] == pytest.approx(
                values[measure]["mean"], rel=0, abs=1e-12
            )


def test_labels_and_pictures_may_change_without_scoring_anew(
    root: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    path = run / "results/davis2017-val-davis.json"
    evaluate.run(options(root, run, predictions=str(masks)))
    before, frames = records.read(path), records.read_frames(path)
    monkeypatch.setattr("vosbench.evaluation.results.scoring_run.evaluate", None)  # nothing may be scored
    changed = {"_target_": "vosbench.datasets.davis.Davis", "root": str(root), "split": "val", "year": 2017}
    changed |= {"frames": "annotated", "name": "davis2017"}
    evaluate.run(options(root, run, predictions=str(masks), method_name="other", checkpoint="x", dataset=changed))
    after = records.read(path)
    assert (after.method, after.checkpoint, after.frames) == ("other", "x", "annotated")
    assert after.scores == before.scores
    assert set(records.read_frames(path)) == set(frames)
    monkeypatch.undo()
    evaluate.run(options(root, run, predictions=str(masks), pictures=2))
    assert len(list((path.with_suffix("") / "worst").iterdir())) == 2
    index = path.with_suffix("") / "pictures.json"
    index.write_text("[]")  # as earlier versions had it
    evaluate.run(options(root, run, predictions=str(masks), pictures=2))
    assert json.loads(index.read_text())["pictures"]


def test_frames_beyond_the_annotated_ones_are_left_out(
    root: Path, masks: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "Annotations/480p/moving/00001.png").unlink()
    with caplog.at_level("INFO"):
        scores = score_folder(davis(root, frames="annotated"), masks, workers=0)
    assert scores.stems[MOVING] == ["00002", "00003"]
    assert "1 predicted frames that are not annotated were left out" in caplog.text


def test_a_wrapped_folder_is_found_for_a_restricted_set_too(root: Path, masks: Path, tmp_path: Path) -> None:
    with pytest.raises(Problems, match=r"the sequences seem to lie in .*/masks: give that folder"):
        score_folder(davis(root, sequences=["still"]), tmp_path, workers=0, ignore_extra=True)


def test_a_set_without_annotations(root: Path, masks: Path) -> None:
    for path in root.glob("Annotations/480p/*/*.png"):
        path.unlink()
    with pytest.raises(ValueError, match="davis2017 val has no annotations"):
        score_folder(davis(root), masks, workers=0)


def test_an_object_that_starts_late_is_not_to_be_renumbered(root: Path, masks: Path) -> None:
    for index in (2, 3):
        labels = square(4)
        labels[40:] = 2
        write_label_map(root / f"Annotations/480p/still/{index:05}.png", labels)
        write_label_map(masks / f"still/{index:05}.png", labels)
    with pytest.raises(
        Problems, match=r"predicted ids \[2\] above its 1 object\(s\), which start late .*vos-benchmark"
    ):
        score_folder(davis(root), masks, workers=0)


@pytest.mark.parametrize("protocol", ["davis", "davis-unsupervised", "vos-benchmark", "youtube-vos"])
def test_shades_are_no_objects(root: Path, masks: Path, protocol: str) -> None:
    shades = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    write_label_map(masks / "still/00002.png", shades)
    with pytest.raises(Problems, match=r"00002 has 63 grey levels, as an antialiased or soft mask has"):
        score_folder(davis(root), masks, protocol=protocol_named(protocol), workers=0)


def test_masks_of_0_and_255_are_not_scored_as_empty(root: Path, masks: Path) -> None:
    for path in masks.glob("still/*.png"):
        write_label_map(path, square(4, id_=255))
    with pytest.raises(Problems, match="the only predicted id is 255"):
        score_folder(davis(root), masks, protocol=protocol_named("vos-benchmark"), workers=0)


def test_labels_of_a_row_are_corrected_in_its_own_run_folder(
    command: Callable[..., Any], root: Path, masks: Path
) -> None:
    words = ["evaluate", "dataset=davis2017", f"dataset.root={root}", f"predictions={masks}", "workers=0", "pictures=0"]
    assert command(*words).status == 0
    for label in ("supervision=supervised", "training_data=coco", "checkpoint=theirs"):
        done = command(*words, label)
        assert done.status == 0, done.err
        assert "only labelled anew" in done.out
        (path,) = Path("runs").glob("**/results/*.json")
        key, value = label.split("=")
        assert json.loads(path.read_text())[key] == value
    command(*words, "supervision=unsupervised").error(2, "supervision=unsupervised: give none or self-supervised")


def renumber(path: Path) -> None:
    """The same picture with its two colours in the other order, as optimizers of PNGs may leave it."""
    image = Image.fromarray((np.asarray(Image.open(path)) == 0).astype(np.uint8))
    image.putpalette([128, 0, 0, 0, 0, 0])
    image.save(path)


def test_palettes_that_contradict_their_indices_are_named(
    root: Path, masks: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):  # annotations in the cache are not read again
        caplog.clear()
        score_folder(davis(root), masks, workers=0, cache=cache)
        assert "palette" not in caplog.text
    predicted, annotated = masks / "moving/00001.png", root / "Annotations/480p/moving/00002.png"
    renumber(predicted)
    renumber(annotated)
    for workers, cache in ((0, None), (2, tmp_path / "other"), (0, tmp_path / "other")):
        caplog.clear()
        score_folder(davis(root), masks, workers=workers, cache=cache)
        (said,) = [record.getMessage() for record in caplog.records if "palette" in record.getMessage()]
        assert said.startswith("2 mask(s) have a palette that contradicts their indices")
        assert f"{predicted} (index 0 is not black, and index 1 is)" in said
        assert str(annotated) in said


def test_annotations_that_are_all_unusable_are_named(root: Path, masks: Path) -> None:
    for path in (root / "Annotations").rglob("*.png"):
        Image.new("RGB", (64, 48)).save(path)
    with pytest.raises(Problems, match=r"has mode RGB, not an indexed PNG"):
        score_folder(davis(root), masks, workers=0)


def test_predictions_in_other_formats_are_named(root: Path, masks: Path) -> None:
    (masks / "moving/00001.png").rename(masks / "moving/00001.PNG")
    (masks / "stranger").mkdir()
    Image.open(masks / "moving/00002.png").save(masks / "stranger/00000.PNG")
    Image.open(masks / "moving/00002.png").save(masks / "00000.BMP")
    with pytest.raises(Problems) as error:
        score_folder(davis(root), masks, workers=0)
    assert error.value.found == [
        "1 sequence(s) that the data set does not have: stranger",
        "1 image(s) outside of the sequences' folders: 00000.BMP",
        "moving: 1 stray file(s), not <frame>.png: 00001.PNG",
        "moving: 1 annotated frame(s) without prediction: 00001",
    ]
