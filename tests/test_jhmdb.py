"""JHMDB: its layout, joints as heat-maps that are followed, and PCK, against plain transcriptions of CRW's scripts."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from vosbench.cli import configuration
from vosbench.datasets.jhmdb import Jhmdb
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.protocols import pck_crw, pck_vfs
from vosbench.inference.geometry import Geometry
from vosbench.inference.heat_maps import HeatMaps, gaussian, without_joints
from vosbench.inference.memory import FrameMemory
from vosbench.inference.predictor import PredictorOptions
from vosbench.inference.propagator import Propagator, follow
from vosbench.inference.resizing import ShortSide, Square
from vosbench.inference.whole_cells import LongSide
from vosbench.methods.features.backbones.function import Function
from vosbench.methods.features.method import FrozenFeatures
from vosbench.settings.recipe import settings
from vosbench.util.errors import UserError
from vosbench.video.joint_files import read_joints, write_joints
from vosbench.video.video import Joints

Command = Callable[..., Any]
CRW = HeatMaps(sigma=0.5, at="grid", best=3)
SIZE = (48, 64)
FRAMES = 4
STEP = 8  # pixels to the right in each frame
NAMES = ("Torwart_(_Abwehr_)_&_#1_catch_f", "a walk_1")
FEATURES = """
import torch
import torch.nn.functional as nnf

def features(images):
    patches = nnf.unfold(images, 8, stride=8)
    mixed = torch.randn(64, patches.shape[1], generator=torch.Generator().manual_seed(0)) @ patches
    return mixed.unflatten(2, (images.shape[2] // 8, images.shape[3] // 8))
"""


def truth(seed: int) -> np.ndarray:
    """Joints (t 15 2) in pixels from 0 that move one cell to the right in each frame; joint 15 starts far outside."""
    start = np.random.default_rng(seed).uniform((14, 14), (30, 34), (15, 2)).round(1)
    start[14] = 200, 20
    return np.stack([start + np.array([STEP * t, 0]) for t in range(FRAMES)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two test videos of noise that moves one cell to the right in each frame (and in again on the left), and one for
    training."""
    root = tmp_path / "JHMDB"
    (root / "splits").mkdir(parents=True)
    for seed, (class_, name) in enumerate(zip(("catch", "walk"), NAMES, strict=True)):
        text = f"{name}.avi 2\nfor_training.avi 1\n"
        (root / f"splits/{class_}_test_split1.txt").write_text(text)
        write_video(root, f"{class_}/{name}", seed)
    return root


def write_video(root: Path, place: str, seed: int) -> None:
    frames, joints = root / "Rename_Images" / place, root / "joint_positions" / place
    frames.mkdir(parents=True)
    joints.mkdir(parents=True)
    noise = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), np.uint8)
    for t in range(FRAMES):
        Image.fromarray(np.roll(noise, STEP * t, axis=1)).save(frames / f"{t + 1:05}.png")
    savemat(joints / "joint_positions.mat", {"pos_img": truth(seed).transpose(2, 1, 0) + 1, "viewpoint": "N"})


@pytest.fixture
def arguments(root: Path, tmp_path: Path) -> list[str]:
    """Words of a command that follows the joints with features of its own."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mine.py").write_text(FEATURES)
    return [
        *("--config-dir", str(tmp_path / "own")),
        *("method=features", "backbone=function", "backbone.function=mine:features", "backbone.stride=8"),
        *("propagation=crw", "matching.mean=null", "matching.std=null", "memory.last_n=7"),
        *("dataset=jhmdb", f"dataset.root={root}", "device=cpu"),
    ]


def test_videos_joints_and_what_is_given(root: Path) -> None:
    data = Jhmdb(root)
    assert (data.name, data.split, data.frames, data.protocol, data.whole) == ("jhmdb", "test1", "all", "pck-crw", 2)
    assert tuple(video.name for video in data.videos) == NAMES
    for seed, video in enumerate(data.videos):
        assert video.frame_names == ("00001", "00002", "00003", "00004")
        assert (video.given(0), video.annotation(0)) == (None, None)
        np.testing.assert_allclose(np.stack([video.joints(t) for t in range(FRAMES)]), truth(seed))  # type: ignore[misc]
        assert video.joints(FRAMES) is None
    (short,) = Jhmdb(root, sequences=[NAMES[1]], max_frames=2).videos
    assert short.frame_names == ("00001", "00002")
    assert short.annotation_fingerprint() != data.videos[1].annotation_fingerprint()


def test_what_is_missing_is_said(root: Path) -> None:
    with pytest.raises(UserError, match=r"splits has no lists <class>_test_split2\.txt: .*dataset\.split"):
        Jhmdb(root, split=2)
    file = root / "joint_positions/walk/a walk_1/joint_positions.mat"
    savemat(file, {"pos_world": np.zeros((2, 15, 4))})
    with pytest.raises(UserError, match=r"joint_positions\.mat have no matrix pos_img"):
        Jhmdb(root).videos[1].joints(0)
    file.write_bytes(b"no MATLAB file")
    with pytest.raises(UserError, match=r"cannot read joints .*joint_positions\.mat: .*; unpack joint_positions again"):
        Jhmdb(root).videos[1].joints(0)
    file.unlink()
    with pytest.raises(UserError, match=r"1 listed videos have no joints .*: walk/a walk_1; add them, or leave"):
        Jhmdb(root)
    assert len(Jhmdb(root, exclude=[NAMES[1]]).videos) == 1
    (root / "Rename_Images").rename(root / "Frames")
    with pytest.raises(UserError, match=r"Rename_Images has no videos: download it from .*set dataset\.root"):
        Jhmdb(root)


def crw_heat_map(place: Sequence[float], sigma: float, height: int, width: int) -> np.ndarray:
    """`draw_labelmap_np` of CRW and VFS, cell by cell."""
    left, top = int(place[0] - 3 * sigma), int(place[1] - 3 * sigma)
    right, bottom = int(place[0] + 3 * sigma + 1), int(place[1] + 3 * sigma + 1)
    found = np.zeros((height, width))
    middle = (6 * sigma + 1) // 2
    for y in range(height):
        for x in range(width):
            if left <= x < right and top <= y < bottom:
                squared = (x - left - middle) ** 2 + (y - top - middle) ** 2
                found[y, x] = np.exp(-squared / (2 * sigma**2))
    return found


@pytest.mark.parametrize("sigma", [0.5, 4.0, 0.7])
def test_heat_maps_are_those_of_crw(sigma: float) -> None:
    places = [(5.4, 5.6), (0.2, 1.0), (-0.4, 19.9), (19.5, 0.5), (-9.0, 3.0), (300.0, 2.0), (3.0, -40.0), (10.0, 24.9)]
    for place in places:
        np.testing.assert_allclose(gaussian(np.array(place), sigma, (20, 24)), crw_heat_map(place, sigma, 20, 24))
    assert not gaussian(np.array([np.nan, 2.0]), sigma, (20, 24)).any()


def frame(original: tuple[int, int], seen: tuple[int, int]) -> Geometry:
    return Geometry(original=original, resized=seen, padded=seen)


def test_joints_on_the_grid_as_crw_draws_and_reads_them() -> None:
    """240×320 pixels are seen as 320×320, with cells of 8×8."""
    places = np.array([[100.3, 61.0], [319.0, 239.0], [7.0, 3.0], [400.0, 100.0]])
    geometry = frame((240, 320), (320, 320))
    maps = CRW.drawn(places, geometry, (40, 40))
    expected = np.stack([crw_heat_map((x * 320 / 320 / 8, y * 320 / 240 / 8), 0.5, 40, 40) for x, y in places])
    np.testing.assert_allclose(maps[0, 1:].numpy(), expected, atol=1e-7)
    np.testing.assert_array_equal(maps[0, 0].numpy(), expected.sum(0) == 0)
    scores = torch.rand(1, 5, 40, 40, generator=torch.Generator().manual_seed(0))
    scores[:, 4] = 0
    found = CRW.positions(scores, geometry)
    for joint in range(3):
        flat = scores[0, joint + 1].flatten().numpy()
        best = np.argsort(flat)[-3:]
        weights = flat[best] / flat[best].sum()
        x, y = (best % 40 * weights).sum(), (best // 40 * weights).sum()
        np.testing.assert_allclose(found[joint], (x / 40 * 320, y / 40 * 240), rtol=1e-5)
    assert np.isnan(found[3]).all()


def test_joints_on_the_picture_as_vfs_reads_them() -> None:
    """Where they are given, positions are those before the grid."""
    places, geometry, vfs = np.array([[100.0, 61.0], [31.0, 200.0]]), frame((240, 320), (320, 320)), HeatMaps()
    maps = vfs.drawn(places, geometry, (40, 40))
    assert maps.shape == (1, 3, 40, 40)
    np.testing.assert_allclose(vfs.given(places, geometry, maps), places, atol=0.6)
    np.testing.assert_allclose(vfs.positions(maps, geometry), places, atol=4)
    assert np.abs(vfs.positions(maps, geometry) - places).max() > 0.6


def test_padding_is_no_shift() -> None:
    places = np.array([[12.0, 9.0], [40.0, 30.0]])
    padded = Geometry(original=(46, 60), resized=(46, 60), padded=(48, 64), top=1, left=2)
    for maps in (CRW, HeatMaps(sigma=1.5)):
        np.testing.assert_allclose(maps.positions(maps.drawn(places, padded, (48, 64)), padded), places, atol=0.7)


@pytest.mark.parametrize(("options", "problem"), [({"sigma": 0.0}, "sigma=0.0"), ({"best": 0}, "best=0")])
def test_impossible_options_are_refused(options: Any, problem: str) -> None:
    with pytest.raises(UserError, match=f"inference.joints.{problem}"):
        HeatMaps(**options)


def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FrozenFeatures:
    (tmp_path / "mixed.py").write_text(FEATURES)
    monkeypatch.syspath_prepend(tmp_path)
    matching = {"temperature": 0.05, "top_k": 10, "radius": 12, "window": "disk", "frame_0": "whole"}
    return FrozenFeatures(Function("mixed:features", 8), matching)


@pytest.mark.parametrize("maps", [CRW, HeatMaps(sigma=4.0, at="image", best=5)])
def test_moving_joints_are_followed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maps: HeatMaps
) -> None:
    video = Jhmdb(root).videos[0]
    memory = FrameMemory[Any](first=True, last_n=7, prefilled=True)
    run = Propagator(features(tmp_path, monkeypatch), memory, ShortSide(joints=maps))
    for t, found in enumerate(follow(run, video)):
        assert np.abs(found - truth(0)[t])[:14].max() < 7  # less than a cell, whose side is 8
        assert np.isnan(found[14]).all()
    assert len(run.seconds) == FRAMES


def test_without_given_joints_there_is_nothing_to_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Propagator(features(tmp_path, monkeypatch), FrameMemory[Any](), ShortSide())
    with pytest.raises(UserError, match="no joints are given in the first frame"):
        run.locate(np.zeros((16, 16, 3), np.uint8))


def crw_pck(truths: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], first: int, limit: float) -> float:
    """`eval_pck.py` of CRW, with -1 for lost joints; `first`: 0 counts the given frame, as VFS does."""
    distances: dict[int, list[float]] = {}
    for name, annotated in truths.items():
        for t in range(first, len(annotated)):
            seen = [j for j in range(15) if found[name][t, j, 0] >= 0]
            corners = [(pick(annotated[t, j, axis] for j in seen)) for pick in (min, max) for axis in (0, 1)]
            diagonal = np.hypot(corners[2] - corners[0], corners[3] - corners[1])
            for j in seen:
                distance = np.hypot(*(found[name][t, j] - annotated[t, j])) / (0.6 * diagonal)
                distances.setdefault(j, []).append(distance)
    return float(np.mean([np.mean(np.array(values) <= limit) for values in distances.values()]))


def scored(module: Any, truths: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> dict[str, float]:
    objects = {}
    for name, annotated in truths.items():
        lost = np.where(found[name] < 0, np.nan, found[name])
        for joint, curves in module.score(zip(annotated, lost, strict=True), name).items():
            objects[ObjectKey(name, joint)] = module.summarise(curves)
    return dict(module.aggregate(objects))


@pytest.mark.parametrize(("module", "first"), [(pck_crw, 1), (pck_vfs, 0)])
def test_pck_is_that_of_the_scripts(module: Any, first: int) -> None:
    generator = np.random.default_rng(0)
    truths = {name: generator.uniform(0, 240, (t, 15, 2)) for name, t in (("a", 9), ("b", 5), ("c", 14))}
    found = {name: values + generator.normal(0, 25, values.shape) for name, values in truths.items()}
    found = {name: np.abs(values) for name, values in found.items()}
    for values in found.values():
        values[generator.random(values.shape[:2]) < 0.2] = -1
    scores = scored(module, truths, found)
    for name, limit in (("PCK@.1", 0.1), ("PCK@.2", 0.2)):
        assert 0 < scores[name] < 1
        assert scores[name] == pytest.approx(crw_pck(truths, found, first, limit), abs=1e-12)
        joints = [scores[f"{name} {joint}"] for joint in pck_crw.NAMES]
        assert scores[name] == pytest.approx(np.mean(joints), abs=1e-12)
    kept = np.concatenate([values[first:, :, 0].ravel() for values in found.values()])
    assert scores["Found"] == pytest.approx(np.mean(kept >= 0))


def test_the_given_frame_counts_or_not() -> None:
    """All wrong but in frame 0."""
    annotated = np.random.default_rng(0).uniform(0, 100, (3, 15, 2))
    found = annotated.copy()
    found[1:] += 500
    assert scored(pck_crw, {"a": annotated}, {"a": found})["PCK@.2"] == 0
    assert scored(pck_vfs, {"a": annotated}, {"a": found})["PCK@.2"] == pytest.approx(1 / 3)


def test_lost_unknown_and_single_joints() -> None:
    """A joint that is lost, or not annotated, counts nowhere; a box without extent has no correct joint."""
    annotated = np.random.default_rng(0).uniform(0, 100, (2, 15, 2))
    found = annotated.copy()
    found[1, 3] = -1
    annotated[1, 4] = np.nan
    objects = pck_crw.score(zip(annotated, np.where(found < 0, np.nan, found), strict=True), "a")
    assert pck_crw.summarise(objects[4]) == {"found": 0, "frames": 1}
    assert 5 not in objects
    scores = scored(pck_crw, {"a": annotated}, {"a": found})
    assert scores["PCK@.1"] == 1
    assert scores["Found"] == pytest.approx(13 / 14)
    assert "PCK@.1 right shoulder" not in scores
    found[:, 1:] = -1
    assert scored(pck_crw, {"a": annotated}, {"a": found})["PCK@.2"] == 0
    found[:] = -1
    assert scored(pck_crw, {"a": annotated}, {"a": found})["PCK@.2"] == 0
    with pytest.raises(UserError, match=r"a: 1 frame\(s\) with joints, and 1 not scored"):
        scored(pck_crw, {"a": annotated[:1]}, {"a": found[:1]})


def test_files_of_joints(tmp_path: Path) -> None:
    places: Joints = np.array([[1.5, 2.25], [np.nan, np.nan]])
    write_joints(tmp_path, {"00001": places})
    assert json.loads((tmp_path / "joints.json").read_text()) == {"00001": [[1.5, 2.25], None]}
    np.testing.assert_array_equal(read_joints(tmp_path / "joints.json")["00001"], places)
    (tmp_path / "joints.json").write_text('{"00001": [[1, 2, 3]]}')
    with pytest.raises(UserError, match=r"joints\.json holds no positions of joints: write"):
        read_joints(tmp_path / "joints.json")


def record(run: str, protocol: str) -> dict[str, Any]:
    (path,) = Path("runs").glob(f"{run}/*/results/jhmdb-test1-{protocol}.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_benchmark_and_evaluate(command: Command, arguments: list[str]) -> None:
    done = command("benchmark", *arguments, "workers=0", "name=one")
    assert done.status == 0, done.err
    made = record("features", "pck-crw")
    assert list(made["scores"])[:3] == ["PCK@.1", "PCK@.2", "Found"]
    assert made["scores"]["Found"] == pytest.approx(14 / 15)
    assert made["objects"][f"{NAMES[1]}_1"]["frames"] == FRAMES - 1
    assert made["propagation"] == "crw, changed"
    folder = Path("runs/features/one/predictions/jhmdb-test1")
    found = {name: np.stack(list(read_joints(folder / name / "joints.json").values())) for name in NAMES}
    found = {name: np.nan_to_num(places, nan=-1) for name, places in found.items()}
    truths = {name: truth(seed) for seed, name in enumerate(NAMES)}
    for name, limit in (("PCK@.1", 0.1), ("PCK@.2", 0.2)):
        assert made["scores"][name] == pytest.approx(crw_pck(truths, found, 1, limit), abs=1e-12)
    again = command("benchmark", *arguments, "workers=0", "name=one")
    assert again.status == 0, again.err
    assert "2 of 2 videos are done already" in again.err + again.out
    assert "nothing to do" in again.err + again.out

    words = ["dataset=jhmdb", *(word for word in arguments if word.startswith("dataset.root=")), "workers=0"]
    done = command("evaluate", *words, f"predictions={folder}", "protocol=pck_vfs", "name=two")
    assert done.status == 0, done.err
    other = record("*", "pck-vfs")
    assert other["objects"][f"{NAMES[1]}_1"]["frames"] == FRAMES
    assert other["scores"]["PCK@.1"] >= made["scores"]["PCK@.1"]
    assert other["propagation"] == "crw, changed"

    board = command("leaderboard")
    assert board.status == 0, board.err
    assert board.out.count("jhmdb test1") == 2


def test_a_resumed_prediction(command: Command, arguments: list[str]) -> None:
    words = [*arguments, "output=out"]
    assert command("predict", *words).status == 0
    first, second = (Path("out", name, "joints.json") for name in NAMES)
    kept, before = first.stat().st_mtime_ns, second.read_text()
    Path(f"out/.records/{NAMES[1]}.json").rename(f"out/.records/{NAMES[1]}.json.new")  # as a killed process leaves it
    second.write_text("half")
    done = command("predict", *words)
    assert done.status == 0, done.err
    assert "1 of 2 videos are done already" in done.err + done.out
    assert (first.stat().st_mtime_ns, second.read_text()) == (kept, before)
    refused = command("predict", *words, "inference.joints.best=5")
    assert refused.status == 1
    assert "inference.joints.best 3 → 5" in refused.err
    assert command("predict", *words, "plan=true").status == 0
    drawn = command("predict", *words, "overlay=true")
    assert (drawn.status, "overlay=true draws label maps" in drawn.err) == (1, True)


def test_everything_wrong_is_listed(command: Command, root: Path, tmp_path: Path) -> None:
    words = ["dataset=jhmdb", f"dataset.root={root}", "workers=0", "predictions=out"]
    for name in NAMES:
        (tmp_path / "out" / name).mkdir(parents=True)
    write_joints(tmp_path / "out" / NAMES[0], {f"{t + 1:05}": truth(0)[t, : 15 - t % 2] for t in range(3)})
    (tmp_path / "out" / NAMES[1] / "joints.json").write_text("[]")
    (tmp_path / "out/other").mkdir()
    write_joints(tmp_path / "out/other", {})
    done = command("evaluate", *words)
    assert done.status == 1
    for part in (
        "00002 has 14 joints, its annotation 15",
        "1 annotated frame(s) without prediction: 00004",
        "holds no positions of joints",
        "1 sequence(s) that the data set does not have: other",
    ):
        assert part in done.err
    done = command("evaluate", *words, "protocol=davis")
    assert done.status == 1
    assert "protocol davis scores label maps, and jhmdb has joints: choose protocol= from pck-crw, pck-vfs" in done.err
    done = command("check", *words[:2])
    assert done.status == 0, done.out
    assert "no problems found" in done.out


def test_label_maps_do_not_depend_on_how_joints_are_drawn() -> None:
    """What was predicted before there were joints stays valid."""
    values = configuration.resolve(configuration.compose("predict", ["method=flow_warp"]))
    recipe = settings({"inference": values["inference"]}, PredictorOptions)
    assert "inference.joints.sigma" in recipe
    assert not [key for key in without_joints(recipe) if "joints" in key]
    assert set(without_joints(recipe)) > {"inference.kernel", "inference.output.at"}


NAMED = ["crw", "crw_vip", "crw_jhmdb", "cropmae", "cropmae_vip", "cropmae_jhmdb", "vfs", "vfs_jhmdb"]


@pytest.mark.parametrize("name", NAMED)
def test_protocols_know_their_names(name: str) -> None:
    """They hold whatever data set they are combined with."""
    words = ["method=features", f"propagation={name}", "dataset=vip" if name.endswith("vip") else "dataset=jhmdb"]
    assert configuration.resolve(configuration.compose("benchmark", words))["propagation"] == name
    changed = configuration.compose("benchmark", [*words, "inference.joints.best=9"])
    assert configuration.resolve(changed)["propagation"] == f"{name}, changed"


def test_sizes_of_the_protocols() -> None:
    assert LongSide(long_side=880, multiple=64).resized(720, 1280, 16) == (448, 880)
    assert LongSide(long_side=880, multiple=64).resized(1280, 720, 16) == (880, 448)
    assert Square(square=320).resized(240, 320) == (320, 320)
    with pytest.raises(UserError, match="no whole number of the network's cells"):
        LongSide(long_side=880, multiple=64).resized(720, 1280, 14)
