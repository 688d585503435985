"""Label propagation of frozen features: protocols against plain transcriptions and the authors' own label maps."""

import runpy
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor, nn

from vosbench.cli import configuration
from vosbench.contract import Padding
from vosbench.inference.feature_cache import FeatureCache
from vosbench.inference.memory import FrameMemory
from vosbench.inference.output import Output
from vosbench.inference.predictor import Predictor, PredictorOptions
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.inference.whole_cells import Cells, RoundedDown, Stretched
from vosbench.methods.copy_first.method import CopyFirst
from vosbench.methods.features.method import FrozenFeatures
from vosbench.nn.resnet import MEAN, STD
from vosbench.util.errors import UserError
from vosbench.util.supervision import Supervision
from vosbench.video.video import Video

NOISE = {"dino": 0, "rsp": 0, "dift": 0, "cropmae": 20, "vfs": 20, "dinov3_s": 20}  # 0: ties are kept
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
PLAIN = runpy.run_path(str(Path(__file__).with_name("plain_features.py")))
DINO = {"mean": MEAN, "std": (0.228, 0.224, 0.225), "kernel": cv2.INTER_LINEAR}


class Patches(nn.Module):
    """Random projections of patches: different enough for matches to be unambiguous."""

    mean: Sequence[float] | None = MEAN
    std: Sequence[float] | None = STD
    padding: Padding | None = None
    learned_from: tuple[str, ...] = ()
    supervision: Supervision = "none"

    def __init__(self, stride: int = 16, channels: int = 24) -> None:
        super().__init__()
        self.stride = stride
        weights = torch.randn(channels, 3, stride, stride, generator=torch.Generator().manual_seed(0))
        self.register_buffer("weights", weights)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        assert isinstance(self.weights, Tensor)
        return nnf.conv2d(images, self.weights, stride=self.stride)


def video(size: tuple[int, int] = (60, 92), count: int = 5, noise: int = 0) -> tuple[list[Any], Any]:
    """Frames in which two rectangles move, and the first mask, in which id 2 is missing.

    noise  of each frame's own. Without it the background of all frames is alike, and many candidates are equally good
    """
    generator, (h, w) = np.random.default_rng(0), size
    back = cv2.resize(generator.integers(0, 256, (9, 13, 3), np.uint8), (w, h), interpolation=cv2.INTER_CUBIC)
    things = [cv2.resize(generator.integers(0, 256, (5, 5, 3), np.uint8), (24, 20)) for _ in range(2)]
    frames, mask = [], np.zeros(size, np.uint8)
    for t in range(count):
        frame = back.copy()
        for number, (thing, y, x) in enumerate(zip(things, (6 + 2 * t, 32 - t), (8 + 3 * t, 60 - 3 * t), strict=True)):
            frame[y : y + 20, x : x + 24] = thing
            if t == 0:
                mask[y : y + 20, x : x + 24] = (1, 3)[number]
        frames.append(np.clip(frame + generator.integers(-noise, noise + 1, frame.shape), 0, 255).astype(np.uint8))
    return frames, mask


def propagator(protocol: str, *changes: str, backbone: Any = None) -> Propagator[Any, Any]:
    """As `vosbench predict method=features propagation=<protocol>` makes it, with the features of `Patches`."""
    typed = ["dataset=collage", "method=features", "backbone=mamp", f"propagation={protocol}", *changes]
    config = configuration.resolve(configuration.compose("benchmark", typed))
    loaded = Predictor.load(PredictorOptions(**{field.name: config[field.name] for field in fields(PredictorOptions)}))
    made = FrozenFeatures(backbone or Patches(), config["matching"], config["method"]["stride"])
    return Propagator(made, loaded.memory(), loaded.inference)


def label_maps(protocol: str, *changes: str) -> list[Any]:
    frames, mask = video(noise=NOISE[protocol])
    steps = propagator(protocol, *changes)
    return [steps.step(frame, None if t else mask) for t, frame in enumerate(frames)]


def plain(family: str, **how: Any) -> list[Any]:
    frames, mask = video(noise=0 if family == "dino" else 20)
    found: list[Any] = PLAIN[family](frames, mask, Patches(), **how)
    return found


def nearest(labels: Any, size: tuple[int, int]) -> Any:
    return np.asarray(PIL.Image.fromarray(labels).resize(size[::-1], 0))


def nearest_exact(labels: Any, size: tuple[int, int]) -> Any:
    return (
        nnf.interpolate(torch.from_numpy(labels)[None, None].float(), size, mode="nearest-exact")[0, 0].byte().numpy()
    )


def short_side_480(image: Any) -> Any:
    h, w = image.shape[:2]
    return padded(cv2.resize(image, (round(w * 480 / h), 480)))


def padded(image: Any) -> Any:
    """With the mean colour to a multiple of 16 (nothing, where the size is one)."""
    h, w = image.shape[:2]
    assert (h % 16, w % 16) == (0, 0)
    return image


PROTOCOLS: dict[str, Callable[[], list[Any]]] = {
    "dino": lambda: plain("dino", size=(480, 704), last=7, radius=12, k=5, temperature=0.1, **DINO),
    "rsp": lambda: plain(
        "dino", size=(480, 880), last=30, radius=30, k=7, temperature=0.1, **DINO | {"kernel": cv2.INTER_NEAREST_EXACT}
    ),
    "dift": lambda: plain("dino", size=(480, 736), last=28, radius=15, k=15, temperature=0.2, **DINO | HALF),
    "cropmae": lambda: plain("crw", size=(480, 880), last=20, radius=20, k=7, temperature=0.7),
    "vfs": lambda: plain(
        "disk",
        resize=short_side_480,
        labels=nearest,
        last=20,
        radius=12,
        closed=False,
        twice=True,
        k=10,
        temperature=0.07,
    ),
    "dinov3_s": lambda: plain(
        "disk",
        resize=lambda image: PLAIN["raised"](image, 480, 16),
        labels=nearest_exact,
        last=7,
        radius=12,
        closed=True,
        twice=False,
        k=5,
        temperature=0.2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_protocol_is_what_its_description_says(protocol: str) -> None:
    ours, theirs = label_maps(protocol), PROTOCOLS[protocol]()
    assert {int(label) for labels in theirs[1:] for label in np.unique(labels)} == {0, 1, 3}
    assert [int((one != other).sum()) for one, other in zip(ours, theirs, strict=True)] == [0] * len(theirs)


def test_crw_sees_frames_as_they_are() -> None:
    frames, mask = video((64, 96), noise=20)
    steps = propagator("crw")
    ours = [steps.step(frame, None if t else mask) for t, frame in enumerate(frames)]
    theirs = PLAIN["crw"](frames, mask, Patches(), size=None, last=20, radius=12, k=10, temperature=0.05)
    assert [int((one != other).sum()) for one, other in zip(ours, theirs, strict=True)] == [0] * 5
    assert (ours[0] != mask).any()  # of the first frame, too, it shows what the grid holds


@pytest.mark.real
@pytest.mark.parametrize("sequence", ["dogs-jump", "schoolgirls"])
@pytest.mark.parametrize("protocol", ["dino", "crw"])
def test_the_authors_own_label_maps(real_data: Path, protocol: str, sequence: str) -> None:
    golden = real_data.parent / "golden" / "features" / protocol / "predictions" / sequence
    weights = real_data.parent / "weights" / "vit_micro.safetensors"
    typed = [f"backbone.file={weights}", "backbone.heads=3", f"propagation={protocol}"]
    config = configuration.resolve(
        configuration.compose("predict", ["dataset=collage", "method=features", "backbone=vit_file", *typed])
    )
    loaded = Predictor.load(PredictorOptions(**{field.name: config[field.name] for field in fields(PredictorOptions)}))
    steps = Propagator(loaded.method, loaded.memory(), loaded.inference)
    folder = real_data / "davis2017-240p"
    different = 0
    for t, path in enumerate(sorted(golden.glob("*.png"))):
        frame = np.asarray(PIL.Image.open(folder / f"JPEGImages/240p/{sequence}/{path.stem}.jpg"))
        given = np.asarray(PIL.Image.open(folder / f"Annotations/240p/{sequence}/{path.stem}.png")) if t == 0 else None
        different += int((steps.step(frame, given) != np.asarray(PIL.Image.open(path))).sum())
    assert different <= 12 * 240 * 432 / 100_000  # float ties may fall otherwise; on the processors tried: none


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (["propagation=dino"], "dino"),
        (["propagation=dino", "matching.top_k=7"], "dino, changed"),
        (["propagation=dino", "memory.last_n=3"], "dino, changed"),
        (["propagation=dino", "inference.short_side=240"], "dino, changed"),
        (["propagation=dino", "inference.output.min_max=false"], "dino, changed"),
        (["propagation=dino", "inference=square"], "dino, changed"),
        (["propagation=dino", "method.stride=8"], "dino, changed"),
        (["propagation=dino", "matching.top_k=5"], "dino"),
        (["propagation=dino", "precision=bf16-mixed"], "dino, changed"),
        (["propagation=vfs", "matching.radius=18"], "vfs, changed"),
        (["propagation=vfs_r50"], "vfs_r50"),
        (["propagation=dift_adm", "matching.top_k=15"], "dift_adm, changed"),
        (["propagation=crw"], "crw"),
        (["propagation=own"], None),
        (["backbone=timm", "backbone.norm=false"], "dino, changed"),
        (["backbone=timm", "backbone.name=xcit_nano_12_p8_224", "backbone.norm=false"], "dino, changed"),
        (["backbone=timm", "backbone.name=resnet50", "backbone.layers=[3]"], "dino"),
        (["method=mamp", "propagation=dino"], "dino, changed"),
    ],
)
def test_a_protocol_with_any_key_changed_says_so(changes: list[str], name: str | None) -> None:
    typed = ["dataset=collage", "method=features", "backbone=mamp", *changes]
    typed = [each for each in typed if not (each == "method=features" and "method=mamp" in changes)]
    typed = [each for each in typed if not (each == "backbone=mamp" and "backbone=timm" in changes)]
    assert configuration.resolve(configuration.compose("benchmark", typed))["propagation"] == name


def test_every_protocol_is_itself() -> None:
    names = configuration.groups(configuration.compose("benchmark"))["propagation"]
    for name in set(names) - {"own"}:
        typed = ["dataset=collage", "method=features", "backbone=mamp", f"propagation={name}"]
        assert configuration.resolve(configuration.compose("benchmark", typed))["propagation"] == name


def test_sizes() -> None:
    assert RoundedDown(480, 64).resized(480, 854, 16) == (480, 832)
    assert RoundedDown(480, 64).resized(854, 480, 8) == (832, 480)
    assert Cells(30).resized(480, 854, 16) == (480, 864)
    assert Cells(30).resized(480, 854, 14) == (420, 756)
    assert Stretched(480, 880).resized(1080, 1920, 16) == (480, 880)


def test_sizes_that_a_network_cannot_see() -> None:
    with pytest.raises(UserError, match="are square"):
        RoundedDown(480, 64, square=False).resized(480, 480, 16)
    with pytest.raises(UserError, match="no whole number of the network's cells of 14×14"):
        RoundedDown(480, 64).resized(480, 854, 14)
    with pytest.raises(UserError, match="no whole number"):
        Stretched(480, 880).resized(480, 854, 14)


def test_min_max_lets_a_constant_channel_win_as_in_dino() -> None:
    scores = torch.stack([torch.full((4, 4), 0.2), torch.rand(4, 4)])[None]
    frame = propagator("own").frame(np.zeros((4, 4, 3), np.uint8))
    assert (Output(min_max=True).channels(scores, frame) == 0).all()


def test_features_at_a_finer_stride() -> None:
    made = FrozenFeatures(Patches(), {}, stride=8)
    assert (made.cell, made.stride) == (8, 16)
    assert made.encode(torch.rand(1, 3, 32, 48)).key.shape == (1, 24, 4, 6)


def test_late_objects_and_sizes_that_need_padding() -> None:
    frames, mask = video((60, 91))
    steps = Propagator(FrozenFeatures(Patches(8), {"radius": 3}), FrameMemory(last_n=3), ShortSide())
    steps.step(frames[0], np.where(mask == 1, mask, 0))
    later = steps.step(frames[1], np.where(mask == 3, mask, 0))
    assert set(np.unique(later)) == {0, 1, 3}
    assert set(np.unique(steps.step(frames[2]))) == {0, 1, 3}


def test_a_network_without_a_map_is_refused() -> None:
    class Vector(Patches):
        def forward(self, images: Float[Tensor, "b 3 h w"]) -> Tensor:
            return images.mean((2, 3))

    class Other(Patches):
        def forward(self, images: Float[Tensor, "b 3 h w"]) -> Tensor:
            return images[..., ::8, ::8]

    for backbone in (Vector(), Other()):
        with pytest.raises(UserError, match="and not a map of"):
            FrozenFeatures(backbone, {}).encode(torch.rand(1, 3, 32, 64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": 0, "window": "disk"}, "matching.radius=0: give 1 or more"),
        ({"radius": 0, "window": "square"}, "matching.radius=0: give 1 or more"),
        ({"radius": -1}, "matching.radius=-1: give 1 or more"),
        ({"top_k": 0}, "matching.top_k=0: give 1 or more"),
        ({"temperature": 0}, "matching.temperature=0: give more than 0"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FrozenFeatures(Patches(), options)


def test_what_the_fused_kernel_cannot_do_is_said_at_once() -> None:
    with pytest.raises(UserError, match=r"method.fused=true with matching.ties=kept and top_k=5: it keeps no ties"):
        FrozenFeatures(Patches(), {"ties": "kept"}, fused=True)
    with pytest.raises(
        UserError, match=r"and top_k=40: .*at most 32 candidates; leave it out, or set matching.ties=topk"
    ):
        FrozenFeatures(Patches(), {"top_k": 40}, fused=True)


def test_the_python_of_the_docs_runs() -> None:
    page = (Path(__file__).parents[1] / "docs" / "features.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    assert len([line for line in code.splitlines() if line]) <= 10
    frames, mask = video((60, 92), 2)
    names: dict[str, Any] = {"frames": frames, "first_mask": mask}
    exec(code, names)
    assert names["labels"].shape == (60, 92)
    assert names["labels"].any()


def cached(folder: Path, encoded: list[int], gigabytes: int = 50) -> list[Any]:
    """The label maps of a video with a cache; notes which frames were encoded."""
    frames, mask = video((60, 92), 3)
    typed = ["dataset=collage", "method=features", "backbone=resnet", f"cache_features={folder}"]
    config = configuration.resolve(configuration.compose("predict", [*typed, f"cache_features_gb={gigabytes}"]))
    loaded = Predictor.load(PredictorOptions(**{field.name: config[field.name] for field in fields(PredictorOptions)}))
    assert loaded.facts["propagation"] == "dino, changed"
    steps = Propagator(loaded.method, loaded.memory(), loaded.inference)
    encode = steps.encode

    def noted(frame: Any, index: int) -> Any:
        encoded.append(index)
        return encode(frame, index)

    steps.encode = noted
    loaded._use_cache(steps, Still())
    return [steps.step(frame, None if t else mask) for t, frame in enumerate(frames)]


class Still(Video):
    name = "still"
    frame_names = ("00000",)

    def frame(self, index: int) -> Any:
        return np.zeros((8, 8, 3), np.uint8)


def test_features_are_made_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first: list[int] = []
    maps = cached(tmp_path / "kept", first)
    assert first == [0, 1, 2]
    files = sorted(tmp_path.rglob("*.npz"))
    files[1].write_bytes(files[1].read_bytes()[:-90])  # damaged
    files[2].unlink()  # interrupted
    again: list[int] = []
    assert [one.tolist() for one in cached(tmp_path / "kept", again)] == [other.tolist() for other in maps]
    assert again == [1, 2]
    assert f"cannot read features {files[1]}: " in caplog.text


def test_a_full_cache_keeps_no_more(tmp_path: Path) -> None:
    encoded: list[int] = []
    cached(tmp_path, encoded, gigabytes=0)
    assert not list(tmp_path.rglob("*.npz"))


def test_old_features_make_room(tmp_path: Path) -> None:
    """Nothing else in the folder is removed."""
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "one.npz").write_bytes(bytes(20_000))
    folders = []
    for weights in ("old", "new"):
        cache = FeatureCache[Any](tmp_path, {"weights": weights}, 10_000)
        folders.append(cache.own)
        for index in range(2):
            cache.features(Kept(), index, lambda: torch.zeros(1, 2000), torch.device("cpu"))
    old, new = folders
    assert not list(old.glob("*.npz"))
    assert (tmp_path / "films" / "one.npz").exists()
    assert len(list(new.glob("*.npz"))) == 2


class Kept:
    def to_tensor(self, features: Tensor) -> Tensor:
        return features

    def from_tensor(self, tensor: Tensor) -> Tensor:
        return tensor


def test_other_methods_may_use_the_rules_of_protocols() -> None:
    rules = ShortSide(
        40,
        kernel="pil_bicubic",
        first_mask="bilinear",
        remember="soft",
        output=Output("network", "nearest", min_max=True),
    )
    frames, mask = video((60, 92), 2)
    steps = Propagator(CopyFirst(), FrameMemory(first=False, recent=[1]), rules)
    assert (steps.step(frames[0], mask) == mask).all()
    copied = steps.step(frames[1])
    assert copied.shape == (60, 92)
    assert 0 < (copied != mask).mean() < 0.05  # as coarse as 40 rows are
