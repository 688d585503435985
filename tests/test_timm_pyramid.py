"""Networks of timm with stages at strides 4, 8 and 16, against our ResNet and timm's own."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from vosbench.nn.resnet import ResNet, normalise
from vosbench.nn.timm_pyramid import TimmPyramid
from vosbench.util.errors import UserError

SMALL = "test_efficientnet"


def file_of(name: str, path: Path) -> str:
    """Random weights of a network whose normalisation has seen something, with its classifier."""
    net = timm.create_model(name)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    torch.save(net.state_dict(), path)
    return str(path)


def test_a_resnet_of_timm_is_ours(tmp_path: Path) -> None:
    file, images = file_of("resnet18", tmp_path / "resnet18.pth"), torch.randn(1, 3, 64, 96)
    ours, timms = ResNet(18, strides=(1, 2, 2), weights=file), TimmPyramid("resnet18", weights=file)
    assert timms.stage_channels == ours.stage_channels
    for one, other in zip(ours.eval()(images), timms.eval()(images), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_colours_are_those_that_the_network_expects(tmp_path: Path) -> None:
    """tf_efficientnet_lite0 learned from RGB in [−1, 1]; frames come normalised otherwise."""
    name = "tf_efficientnet_lite0"
    file, rgb = file_of(name, tmp_path / "lite0.pth"), torch.rand(1, 3, 64, 64)
    own = timm.create_model(name, features_only=True, out_indices=(1, 2, 3)).eval()
    own.load_state_dict(torch.load(file), strict=False)
    maps = TimmPyramid(name, weights=file).eval()(normalise(rgb))
    assert [each.shape[1] for each in maps] == [24, 40, 112]
    for one, other in zip(own((rgb - 0.5) / 0.5), maps, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_only_the_stages_that_are_used_are_kept() -> None:
    net = TimmPyramid("tf_efficientnet_lite0")
    assert sum(parameter.numel() for parameter in net.parameters()) == 700_768
    sum(each.sum() for each in net(torch.randn(1, 3, 32, 32))).backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_a_copy_with_a_mask_channel(tmp_path: Path) -> None:
    query = TimmPyramid(SMALL, weights=file_of(SMALL, tmp_path / "weights.pth"))
    copy = TimmPyramid(SMALL, in_channels=4, weights=query)
    theirs = query.state_dict()
    for key, value in copy.state_dict().items():
        known = value[:, :3] if value.shape != theirs[key].shape else value
        assert torch.equal(known, theirs[key]), key
    assert copy.net.conv_stem.weight[:, 3].std() > 0
    assert (copy.learned_from, copy.supervision) == (query.learned_from, query.supervision)
    images, nothing = torch.randn(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    for one, other in zip(query.eval()(images), copy.eval()(torch.cat([images, nothing], 1)), strict=True):
        torch.testing.assert_close(one, other)


def test_what_weights_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (TimmPyramid(SMALL).learned_from, TimmPyramid(SMALL).supervision) == ((), "none")
    given = TimmPyramid(SMALL, weights=file_of(SMALL, tmp_path / "weights.pth"))
    assert (given.learned_from, given.supervision) == (("weights.pth",), "supervised")
    create: Any = timm.create_model
    asked = []

    def answer(name: str, pretrained: bool, **how: Any) -> nn.Module:
        asked.append(pretrained)
        net: nn.Module = create(name, **how)
        return net

    monkeypatch.setattr(timm, "create_model", answer)
    net = TimmPyramid(SMALL, weights="imagenet")
    assert (asked, net.learned_from, net.supervision) == ([True], ("imagenet",), "supervised")
    net = TimmPyramid("test_efficientnet_ln", weights="imagenet")
    assert (net.learned_from, net.supervision) == (("imagenet",), "supervised")
    assert TimmPyramid("tf_efficientnet_b0", weights="imagenet").learned_from == ("jft", "imagenet")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet_lite", r"network=efficientnet_lite: timm has no network of this name; did you mean .*lite0"),
        ("test_vit", r"network=test_vit has no stages of strides 4, 8 and 16: choose a convolutional network"),
        ("coat_tiny", r"network=coat_tiny takes pictures of one size alone: choose a convolutional network, such as"),
        (f"{SMALL}.bogus", rf"network={SMALL}\.bogus: timm has no network of this name; did you mean {SMALL}\.r"),
    ],
)
def test_a_network_that_will_not_do(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TimmPyramid(name)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    other = file_of("test_resnet", tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"weights=.*other\.pth lacks .*timm's names for this network"):
        TimmPyramid(SMALL, weights=other)
    with pytest.raises(UserError, match=r"weights=.*gone\.pth is no file: give a file of weights, imagenet, or null"):
        TimmPyramid(SMALL, weights=str(tmp_path / "gone.pth"))


def test_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> Tensor:
        raise OSError("no connection")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match=r"weights \(no connection\): give a file with .*weights=<file>, or .*=null"):
        TimmPyramid(SMALL, weights="imagenet")
