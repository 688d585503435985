"""The networks whose features can be used: what they are made from, what they say of themselves, and bad input."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import timm
import torch
import torch.nn.functional as nnf
from safetensors.torch import save_file
from torch import Tensor

from vosbench.methods.features.backbone import Backbone
from vosbench.methods.features.backbones.encoder import Encoder
from vosbench.methods.features.backbones.function import Function
from vosbench.methods.features.backbones.resnet_stage import ResNetStage
from vosbench.methods.features.backbones.timm_model import TimmModel
from vosbench.methods.features.backbones.vit import Vit
from vosbench.methods.features.backbones.vit_file import VitFile
from vosbench.methods.features.method import FrozenFeatures
from vosbench.methods.mamp.method import MAMP
from vosbench.nn.optical_flow import NoFlow
from vosbench.util.errors import UserError

TINY = {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 0}


def tiny(**changes: Any) -> Any:
    """A ViT with random weights that depend on nothing but its sizes."""
    torch.manual_seed(0)
    net: Any = timm.models.vision_transformer.VisionTransformer(**{"img_size": 32, **TINY, **changes})
    with torch.no_grad():
        net.pos_embed.normal_()
    return net.eval()


def plain(net: Any, images: Tensor, norm: bool = True) -> Tensor:
    maps: Tensor = net.forward_intermediates(images, indices=[1], norm=norm, intermediates_only=True)[0]
    return maps


VARIANTS: list[dict[str, Any]] = [
    {},
    {"reg_tokens": 2},
    {"reg_tokens": 4, "no_embed_class": True},
    {"init_values": 0.5},
    {"class_token": False, "global_pool": ""},
    {"qkv_bias": False},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_a_vit_is_built_from_its_weights(tmp_path: Path, changes: dict[str, Any]) -> None:
    net = tiny(norm_layer=None, **changes)
    save_file(net.state_dict(), tmp_path / "vit.safetensors")
    backbone = VitFile(str(tmp_path / "vit.safetensors"), heads=3).eval()
    images = torch.rand(1, 3, 32, 32)
    assert backbone.stride == 8
    assert (backbone.learned_from, backbone.supervision) == (("vit.safetensors",), "self-supervised")
    torch.testing.assert_close(backbone(images), plain(net, images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("around", [{"teacher": "module.backbone."}, {"state_dict": "backbone."}, {"model": ""}])
def test_weights_below_other_names(tmp_path: Path, around: dict[str, str]) -> None:
    net = tiny()
    (name, prefix) = next(iter(around.items()))
    named = {f"{prefix}{key}": value for key, value in net.state_dict().items()}
    torch.save({name: named | {"head.last_layer.weight": torch.zeros(3)}, "epoch": 3}, tmp_path / "vit.pth")
    backbone = VitFile(str(tmp_path / "vit.pth"), heads=3).eval()
    torch.testing.assert_close(backbone(torch.ones(1, 3, 32, 32)), plain(net, torch.ones(1, 3, 32, 32)))


def test_heads_by_default_are_of_64_channels(tmp_path: Path) -> None:
    save_file(tiny(embed_dim=128, num_heads=2).state_dict(), tmp_path / "vit.safetensors")
    assert VitFile(str(tmp_path / "vit.safetensors")).vit.inside.net.blocks[0].attn.num_heads == 2


def test_several_layers(tmp_path: Path) -> None:
    save_file(tiny().state_dict(), tmp_path / "vit.safetensors")
    backbone = VitFile(str(tmp_path / "vit.safetensors"), heads=3, layers=[0, -1], norm=False).eval()
    assert backbone(torch.rand(1, 3, 32, 48)).shape == (1, 96, 4, 6)


def test_positions_are_resized_as_dino_does() -> None:
    net = tiny()
    backbone = Vit(net, [-1], norm=True).eval()
    backbone.positions = "dino"
    own = net.pos_embed
    grid = own[:, 1:].reshape(1, 4, 4, 48).permute(0, 3, 1, 2)
    resized = nnf.interpolate(grid, scale_factor=((6 + 0.1) / 4, (9 + 0.1) / 4), mode="bicubic")
    wanted = torch.cat([own[:, :1], resized.permute(0, 2, 3, 1).reshape(1, -1, 48)], 1)
    torch.testing.assert_close(backbone._positions((6, 9)), wanted)
    assert backbone._positions((4, 4)) is own


def test_positions_are_resized_as_timm_does() -> None:
    images = torch.rand(1, 3, 48, 72)
    net = tiny(dynamic_img_size=True)
    torch.testing.assert_close(Vit(tiny(), [-1], norm=True).eval()(images), plain(net, images))


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("vit_tiny_patch16_224", (64, 96), (1, 192, 4, 6)),
        ("resnet18", (64, 96), (1, 512, 2, 3)),
        ("test_vit", (64, 96), (1, 64, 4, 6)),
    ],
)
def test_networks_of_timm(name: str, size: tuple[int, int], shape: tuple[int, ...]) -> None:
    backbone = TimmModel(name, pretrained=False).eval()
    assert backbone(torch.rand(1, 3, *size)).shape == shape
    assert backbone.stride == size[0] // shape[2]
    assert (backbone.learned_from, backbone.supervision) == ((), "none")


def test_rotary_positions_take_any_size() -> None:
    backbone = TimmModel("vit_small_patch16_dinov3", pretrained=False).eval()
    assert backbone(torch.rand(1, 3, 48, 80)).shape == (1, 384, 3, 5)


@pytest.mark.parametrize(
    ("name", "data", "supervision"),
    [
        ("vit_small_patch16_224.dino", "imagenet", "self-supervised"),
        ("resnet18.a1_in1k", "imagenet", "supervised"),
        ("vit_small_patch14_dinov2.lvd142m", "lvd142m", "self-supervised"),
        ("vit_base_patch16_224.mae", "imagenet", "self-supervised"),
        ("resnet18.fb_swsl_ig1b_ft_in1k", "imagenet", "supervised"),
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", "imagenet-21k imagenet", "supervised"),
        ("resnet50_clip.openai", "openai", "supervised"),
    ],
)
def test_the_tag_of_a_name_says_how_it_learned(name: str, data: str, supervision: str, tmp_path: Path) -> None:
    architecture = name.partition(".")[0]
    torch.save(timm.create_model(architecture, num_classes=0).state_dict(), tmp_path / "weights.pth")
    backbone = TimmModel(name, weights=str(tmp_path / "weights.pth"))
    assert (backbone.learned_from, backbone.supervision) == (tuple(data.split()), supervision)
    unknown = TimmModel(architecture, weights=str(tmp_path / "weights.pth"), supervision="self-supervised")
    assert (unknown.learned_from, unknown.supervision) == (("weights.pth",), "self-supervised")


def test_a_download_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))

    def offline(*args: Any, **how: Any) -> Any:
        raise OSError("We couldn't connect to the hub\nand more")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match=r"backbone.name=vit_small_patch16_224.dino: .*backbone.weights=<file>, or"):
        TimmModel("vit_small_patch16_224.dino")


def test_unknown_names_of_timm() -> None:
    with pytest.raises(UserError, match="timm has no network of this name; did you mean vit_tiny"):
        TimmModel("vit_tiny_patch16")
    with pytest.raises(UserError, match="did you mean resnet18"):
        TimmModel("resnett18")
    with pytest.raises(UserError, match=r"timm\.list_models\(\) lists them"):
        TimmModel("qqqq")
    with pytest.raises(UserError, match=r"backbone.layers=7: resnet18 has 5"):
        TimmModel("resnet18", pretrained=False, layers=[7])


def test_networks_of_timm_that_will_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"backbone.name=coat_tiny cannot take pictures of 64×96 pixels \(.*choose an"):
        TimmModel("coat_tiny", pretrained=False)(torch.rand(1, 3, 64, 96))
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: torch.nn.Identity())
    with pytest.raises(UserError, match=r"backbone.name=resnet18 gives no maps of features: choose another network"):
        TimmModel("resnet18", pretrained=False)


@pytest.mark.parametrize(("stage", "stride"), [(3, 8), (4, 8), (3, 16), (2, 4), (4, 32)])
def test_stages_of_a_resnet(stage: Any, stride: Any) -> None:
    backbone = ResNetStage(18, stage, stride).eval()
    shape = (1, 64 * 2 ** (stage - 1), 64 // stride, 96 // stride)
    assert backbone(torch.rand(1, 3, 64, 96)).shape == shape


def test_what_the_file_of_a_resnet_learned_from(tmp_path: Path) -> None:
    torch.save(ResNetStage().net.state_dict(), tmp_path / "crw.pth")
    unsaid = ResNetStage(weights=str(tmp_path / "crw.pth"))
    assert (unsaid.learned_from, unsaid.supervision) == (("crw.pth",), "supervised")
    said = ResNetStage(weights=str(tmp_path / "crw.pth"), learned_from=["kinetics"], supervision="self-supervised")
    assert (said.learned_from, said.supervision) == (("kinetics",), "self-supervised")


def test_a_stride_that_a_stage_does_not_have() -> None:
    with pytest.raises(UserError, match=r"backbone.stride=16: stage 2 has stride 8"):
        ResNetStage(18, 2, 16)


def test_an_encoder_of_this_project() -> None:
    backbone = Encoder(MAMP(NoFlow()), "mamp").eval()
    made = FrozenFeatures(cast(Backbone, backbone), {"mean": [0.5, 0.5, 0.5]})
    assert (made.cell, made.padding, made.mean) == (4, MAMP.padding, None)  # it normalises by itself
    assert made.encode(torch.rand(1, 3, 32, 48)).key.shape == (1, 64, 8, 12)
    assert backbone.supervision == "self-supervised"
    assert backbone.learned_from


def test_an_encoder_without_weights_learned_nothing() -> None:
    backbone = Encoder(MAMP(NoFlow()), "none")
    assert (backbone.learned_from, backbone.supervision) == ((), "none")


def test_a_function_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_features.py").write_text("def maps(images):\n    return images[..., ::16, ::16]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    backbone = Function("own_features:maps", stride=16, learned_from=["films"], supervision="self-supervised")
    made = FrozenFeatures(backbone, {})
    assert made.encode(torch.rand(1, 3, 32, 48)).key.shape == (1, 3, 2, 3)
    assert made.modules_used == ("own_features",)
    for wrong in ("own_features:other", "no_module:maps", "own_features"):
        with pytest.raises(UserError, match="give module:function"):
            Function(wrong, stride=16)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda state: {"conv1.weight": torch.zeros(2)}, "holds no ViT"),
        (lambda state: {key: value for key, value in state.items() if "norm2" not in key}, "lacks blocks.0.norm2"),
        (lambda state: {key: value for key, value in state.items() if key != "pos_embed"}, "lacks pos_embed"),
    ],
)
def test_files_that_hold_no_vit(
    tmp_path: Path, make: Callable[[dict[str, Tensor]], dict[str, Tensor]], message: str
) -> None:
    save_file(make(tiny().state_dict()), tmp_path / "odd.safetensors")
    with pytest.raises(UserError, match=rf"backbone.file=.*odd.safetensors {message}"):
        VitFile(str(tmp_path / "odd.safetensors"), heads=3)


def test_files_that_are_not_there() -> None:
    with pytest.raises(UserError, match=r"backbone.file=nope.pth is no file: give a file of weights"):
        VitFile("nope.pth")
    with pytest.raises(UserError, match=r"backbone.weights=nope.pth is no file: give a file of weights"):
        TimmModel("resnet18", weights="nope.pth")


def test_heads_that_do_not_divide_the_channels(tmp_path: Path) -> None:
    save_file(tiny().state_dict(), tmp_path / "vit.safetensors")
    with pytest.raises(UserError, match=r"backbone.heads=5 does not divide the 48 channels"):
        VitFile(str(tmp_path / "vit.safetensors"), heads=5)
