"""What a row learned from: the strongest of its method, what its weights began with, its checkpoint and its flow."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import save_file

from vosbench.methods.flow_warp.method import FlowWarp
from vosbench.methods.mamp.method import MAMP
from vosbench.methods.mask_embedding.method import MaskEmbedding
from vosbench.nn.optical_flow import Dis, NoFlow, Raft
from vosbench.nn.resnet import ResNet
from vosbench.util.errors import UserError
from vosbench.util.supervision import strongest
from vosbench.weights.loading import restore
from vosbench.weights.origin import facts, of_training

Command = Callable[..., Any]
SIZES: dict[str, Any] = {"widths": (8, 8, 8, 8), "channels": 8}
SMALL: dict[str, Any] = {"widths": (8, 8), "channels": (8, 8), "decode": False}
TINY = [
    *("data=collage", "data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.clips.size=32", "data.batch_size=2", "data.validation=null"),
    *("trainer.accelerator=cpu", "trainer.devices=1", "trainer.max_steps=1"),
]


def said(method: Any, checkpoint: str = "none") -> tuple[str, str | None]:
    found = facts(method, restore(method, checkpoint, seed=0))
    return found["supervision"], found["training_data"]


def written(path: Path, method: Any, **metadata: Any) -> str:
    """A training's checkpoint of the method's weights."""
    state = {f"method.{key}": value for key, value in method.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 1, "vosbench": {"method": method.name, **metadata}}, path)
    return str(path)


def test_the_strongest_counts() -> None:
    assert strongest() == "none"
    assert strongest("none", "self-supervised") == "self-supervised"
    assert strongest("flow-supervised", "self-supervised", "none") == "flow-supervised"
    assert strongest("flow-supervised", "supervised", "self-supervised") == "supervised"


def test_flow_networks_that_learned_from_true_flow() -> None:
    large = "FlyingChairs + FlyingThings3D + Sintel + KITTI + HD1K"
    assert said(MAMP(Raft("large"), **SIZES)) == ("flow-supervised", large)
    assert said(MAMP(Raft("small"), **SIZES)) == ("flow-supervised", "FlyingChairs + FlyingThings3D")
    assert said(MAMP(Raft("large", weights="some/own_raft.pth"), **SIZES)) == ("flow-supervised", "own_raft.pth")
    assert said(FlowWarp(Raft("large"))) == ("flow-supervised", large)
    for flow in (Dis(), NoFlow()):
        assert said(MAMP(flow, **SIZES)) == ("self-supervised", None)
        assert said(FlowWarp(flow)) == ("none", None)


def test_a_flow_network_that_is_not_asked_does_not_count() -> None:
    assert said(MAMP(Raft("large"), matching="none", **SIZES)) == ("self-supervised", None)


def test_the_flow_network_comes_after_the_weights(tmp_path: Path) -> None:
    method = MAMP(Raft("small"), **SIZES)
    checkpoint = written(tmp_path / "a.ckpt", method, training_data=["davis2016"])
    assert said(method, checkpoint) == ("flow-supervised", "davis2016 + FlyingChairs + FlyingThings3D")


class Silent(NoFlow):
    """An estimator of somebody's own that does not say."""

    def __getattribute__(self, name: str) -> Any:
        if name == "supervision":
            raise AttributeError(name)
        return super().__getattribute__(name)


def test_an_estimator_that_does_not_say_is_asked_to() -> None:
    with pytest.raises(UserError, match="Silent does not say what it learned from: give it the attributes"):
        said(MAMP(Silent(), **SIZES))


def test_weights_that_a_network_begins_with(tmp_path: Path) -> None:
    trunk = MaskEmbedding(**SMALL).key_encoder.trunk
    torch.save(trunk.state_dict(), tmp_path / "mask_rcnn.pth")
    foreign = MaskEmbedding(weights=str(tmp_path / "mask_rcnn.pth"), **SMALL)
    assert said(foreign) == ("supervised", "mask_rcnn.pth")
    metadata = {"method": "dino", "supervision": "self-supervised", "training_data": ["davis2016"]}
    state = {key: value.clone() for key, value in trunk.state_dict().items()}
    save_file(state, tmp_path / "dino.safetensors", {"vosbench": json.dumps(metadata)})
    own = MaskEmbedding(weights=str(tmp_path / "dino.safetensors"), **SMALL)
    assert said(own) == ("self-supervised", "davis2016")
    copy = ResNet(width=8, strides=(1, 2, 1), weights=ResNet(width=8, strides=(1, 2, 1)))
    assert (copy.learned_from, copy.supervision) == ((), "none")


def test_imagenet_is_supervised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vosbench.nn.resnet._imagenet", lambda depth, width: ResNet(depth, width).state_dict())
    method = MaskEmbedding(weights="imagenet", channels=(8, 8), decode=False)
    assert said(method) == ("supervised", "imagenet")
    assert of_training(method, ["davis2016"], "none").learned_from == ("imagenet", "davis2016")


def test_checkpoints_say_how_they_learned(tmp_path: Path) -> None:
    method = MAMP(NoFlow(), **SIZES)
    supervised = written(tmp_path / "a.ckpt", method, training_data=["imagenet"], supervision="supervised")
    assert said(method, supervised) == ("supervised", "imagenet")
    assert said(method, written(tmp_path / "b.ckpt", method, training_data=["x"])) == ("self-supervised", "x")


def test_init_from_supervised_weights(tmp_path: Path) -> None:
    method = MAMP(NoFlow(), **SIZES)
    begun = written(tmp_path / "a.ckpt", method, training_data=["coco"], supervision="supervised")
    origin = of_training(method, ["davis2016"], begun)
    assert (origin.supervision, origin.learned_from) == ("supervised", ("coco", "davis2016"))
    origin = of_training(method, ["davis2016"], written(tmp_path / "b.ckpt", method))
    assert (origin.supervision, origin.learned_from) == ("self-supervised", ("b.ckpt", "davis2016"))


class Quiet(torch.nn.Module):
    """Somebody's own network, which does not say how it learns."""

    notes: ClassVar[list[str]] = []


def test_what_does_not_say_how_it_learns_counts_as_supervised() -> None:
    assert of_training(Quiet(), ["a"], "none").supervision == "supervised"


def test_a_row_stays_supervised_through_training_and_benchmark(command: Command, davis: Path) -> None:
    """init=<supervised weights>, then a training that needs no masks, resumed, then its record."""
    mamp = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8"]
    method = MAMP(NoFlow(), **SIZES)
    begun = written(Path("supervised.ckpt"), method, training_data=["coco"], supervision="supervised")
    train = ["train", *mamp, *TINY, f"init={begun}", "name=one"]
    assert command(*train).status == 0
    assert command(*train, "trainer.max_steps=2").status == 0
    run = Path("runs/mamp_small/one")
    stored = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert stored["global_step"] == 2
    assert stored["vosbench"]["supervision"] == "supervised"
    assert stored["vosbench"]["training_data"] == ["coco", "collage"]
    data = ["dataset=davis2017", f"dataset.root={davis}", "device=cpu", "workers=0", "pictures=0"]
    done = command("benchmark", *mamp, *data, f"checkpoint={run}", "name=two")
    assert done.status == 0, done.err
    record = json.loads(Path("runs/mamp_small/two/results/davis2017-val-davis.json").read_text())
    assert (record["supervision"], record["training_data"]) == ("supervised", "coco + collage")
