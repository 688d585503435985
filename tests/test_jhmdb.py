"""JHMDB: its layout, joints that are followed, and what the verbs make of them."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from vosbench.cli import configuration
from vosbench.datasets.jhmdb import Jhmdb
from vosbench.inference.heat_maps import HeatMaps, without_joints
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
crw_pck = runpy.run_path(str(Path(__file__).with_name("plain_features.py")))["crw_pck"]
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
    assert (drawn.status, "overlay=true shows label maps" in drawn.err) == (1, True)


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
