"""Shared networks: residual networks against torchvision's own, weights from files, decoder blocks written out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as nnf
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18, resnet34, resnet50
from torchvision.models._utils import IntermediateLayerGetter

from vosbench.nn.decoder import Decoder, Refine, ResBlock
from vosbench.nn.resnet import ResNet, normalise
from vosbench.ops.align import resize

Depth = Literal[18, 50]
State = Mapping[str, Tensor]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def state_of(build: Callable[[], nn.Module], stem: str = "") -> dict[str, Tensor]:
    """Random weights of a network whose normalisation has seen something."""
    torch.manual_seed(0)
    net = build()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = 0.1 * torch.randn(module.num_features)
            module.running_var = 0.5 + torch.rand(module.num_features)
    return {stem + key: value for key, value in net.state_dict().items()}


@pytest.fixture(scope="module")
def known() -> dict[int, dict[str, Tensor]]:
    """State dicts of torchvision's networks, by depth."""
    return {18: state_of(resnet18), 50: state_of(resnet50)}


def saved(state: State, path: Path) -> str:
    torch.save(dict(state), path)
    return str(path)


@pytest.fixture(scope="module")
def files(known: dict[int, dict[str, Tensor]], tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """The same as files."""
    folder = tmp_path_factory.mktemp("weights")
    return {depth: saved(state, folder / f"resnet{depth}.pth") for depth, state in known.items()}


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stages", [3, 4])
def test_names_and_shapes_are_torchvisions(known: dict[int, dict[str, Tensor]], depth: Depth, stages: int) -> None:
    own = {key: value.shape for key, value in ResNet(depth, strides=(1, 2, 2, 2)[:stages]).state_dict().items()}
    left_out = "fc." if stages == 4 else ("fc.", "layer4.")
    assert own == {key: value.shape for key, value in known[depth].items() if not key.startswith(left_out)}


@pytest.mark.parametrize(
    ("depth", "stages", "parameters"), [(18, 4, 11_176_512), (50, 3, 9_068_608 - 1024 * 512 - 2 * 512)]
)
def test_parameters_of_the_encoders_backbones(depth: Depth, stages: int, parameters: int) -> None:
    """The paper's E; its ResNet-50 is counted with a normalised 1×1 convolution to 512 channels behind it."""
    assert count(ResNet(depth, strides=(1, 2, 1, 1)[:stages])) == parameters


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("strides", [(1, 2, 2, 2), (1, 2, 1, 1), (1, 2, 2), (1, 1, 2, 1)])
def test_maps_are_torchvisions(files: dict[int, str], depth: Depth, strides: tuple[int, ...]) -> None:
    theirs = (resnet18 if depth == 18 else resnet50)()
    theirs.load_state_dict(torch.load(files[depth]))
    for name, stride in zip(("layer1", "layer2", "layer3", "layer4"), strides, strict=False):
        first = getattr(theirs, name)[0]
        (first.conv1 if depth == 18 else first.conv2).stride = stride
        if first.downsample is not None:
            first.downsample[0].stride = stride
    layers = [f"layer{i + 1}" for i in range(len(strides))]
    images = torch.rand(2, 3, 37, 50).double()
    with torch.no_grad():
        expected = IntermediateLayerGetter(theirs.double().eval(), {name: name for name in layers})(images)
        maps = ResNet(depth, strides=strides, weights=files[depth]).double().eval()(images)
    for found, name in zip(maps, layers, strict=True):
        torch.testing.assert_close(found, expected[name])


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("width", [8, 12])
@pytest.mark.parametrize(
    ("strides", "reached"), [((1, 2, 1, 1), (4, 8, 8, 8)), ((1, 2, 2, 2), (4, 8, 16, 32)), ((1, 2, 1), (4, 8, 8))]
)
def test_strides_and_channels(depth: Depth, width: int, strides: tuple[int, ...], reached: tuple[int, ...]) -> None:
    net = ResNet(depth, width, strides)
    expansion = 1 if depth == 18 else 4
    assert net.stage_channels == tuple(expansion * width * 2**i for i in range(len(strides)))
    sizes = [tuple(each.shape) for each in net(torch.rand(1, 3, 43, 64))]
    channels = zip(net.stage_channels, reached, strict=True)
    assert sizes == [(1, channel, -(-43 // stride), 64 // stride) for channel, stride in channels]


def test_stages_do_not_overwrite_each_other() -> None:
    net, images = ResNet(width=4).eval(), torch.rand(1, 3, 32, 32)
    alone = net.maxpool(net.relu(net.bn1(net.conv1(images))))  # type: ignore[operator]
    for i, found in enumerate(net(images)):
        alone = getattr(net, f"layer{i + 1}")(alone)
        torch.testing.assert_close(found, alone)


def test_initial_weights_are_scaled_as_torchvisions() -> None:
    torch.manual_seed(0)
    own, theirs = ResNet(strides=(1, 2, 2, 2)), resnet18()
    for key in ("conv1.weight", "layer2.0.downsample.0.weight", "layer4.1.conv2.weight"):
        found, expected = (net.state_dict()[key].std().item() for net in (own, theirs))
        assert found == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("strides", [(1, 2), (1, 2, 1, 1, 1), ()])
def test_three_or_four_stages(strides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"strides=\[.*three or four"):
        ResNet(strides=strides)


def narrow(**options: Any) -> ResNet:
    return ResNet(18, 4, **options)


@pytest.fixture
def narrow_state() -> dict[str, Tensor]:
    return state_of(narrow)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("strides", [(1, 2, 1, 1), (1, 2, 2)])
def test_a_file_loads(tmp_path: Path, narrow_state: dict[str, Tensor], suffix: str, strides: tuple[int, ...]) -> None:
    """Other strides, fewer stages and a head make no difference."""
    path = tmp_path / f"weights{suffix}"
    state = {**narrow_state, "fc.weight": torch.zeros(10, 32), "fc.bias": torch.zeros(10)}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    for key, value in narrow(strides=strides, weights=str(path)).state_dict().items():
        if "num_batches" not in key:
            assert torch.equal(value, narrow_state[key]), key


@pytest.mark.parametrize("prefix", ["backbone.body.", "module."])
def test_a_file_of_a_network_around_it_loads(tmp_path: Path, narrow_state: dict[str, Tensor], prefix: str) -> None:
    """Detection networks have frozen normalisation, which counts no batches."""
    state = {prefix + key: value for key, value in narrow_state.items() if "num_batches" not in key}
    state |= {"rpn.head.conv.weight": torch.zeros(1), "conv1.weight": torch.zeros_like(narrow_state["conv1.weight"])}
    found = narrow(weights=saved(state, tmp_path / "mask_rcnn.pth")).state_dict()
    for key in ("conv1.weight", "layer4.1.bn2.running_var"):
        assert torch.equal(found[key], narrow_state[key])


def test_a_mask_channel_keeps_its_random_weights(tmp_path: Path, narrow_state: dict[str, Tensor]) -> None:
    path = saved(narrow_state, tmp_path / "rgb.pth")
    torch.manual_seed(1)
    own = narrow(in_channels=4).state_dict()["conv1.weight"]
    torch.manual_seed(1)
    kernel = narrow(in_channels=4, weights=path).state_dict()["conv1.weight"]
    assert torch.equal(kernel[:, :3], narrow_state["conv1.weight"])
    assert torch.equal(kernel[:, 3], own[:, 3])
    assert kernel[:, 3].std() > 0


def test_a_trained_mask_channel_is_kept(tmp_path: Path) -> None:
    state = state_of(lambda: narrow(in_channels=4))
    net = narrow(in_channels=4, weights=saved(state, tmp_path / "masks.pth"))
    assert torch.equal(net.state_dict()["conv1.weight"], state["conv1.weight"])


def test_fewer_channels_than_the_file_has_do_not_fit(tmp_path: Path, narrow_state: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"it differs in conv1\.weight"):
        narrow(in_channels=1, weights=saved(narrow_state, tmp_path / "rgb.pth"))


def without(state: State, *starts: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(starts)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "layer2.0.bn1.weight"), r"it lacks layer2\.0\.bn1\.weight; choose"),
        (lambda s: without(s, "layer4."), r"it lacks layer4\.0\.bn1\.bias, .*…"),
        (lambda s: {"epoch": torch.zeros(1)}, r"it lacks bn1\.bias"),
        (
            lambda s: {**s, **without(s, "conv1"), "conv1.weight": torch.zeros(8, 3, 7, 7)},
            r"it differs in conv1\.weight",
        ),
        (lambda s: {**s, "conv1.weight": torch.zeros(4, 4, 7, 7)}, r"it differs in conv1\.weight"),
        (lambda s: {**s, "layer1.2.conv1.weight": torch.zeros(1)}, r"it has the unknown layer1\.2\.conv1\.weight"),
        (lambda s: {f"{e}.{k}": v for e in "EV" for k, v in s.items()}, r"it lacks bn1\.bias"),
    ],
)
def test_a_file_that_does_not_fit(
    tmp_path: Path, narrow_state: dict[str, Tensor], change: Callable[[State], State], message: str
) -> None:
    path = saved(change(narrow_state), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=rf"other\.pth do not fit.*{message}"):
        narrow(weights=path)


def test_another_depth_does_not_fit(files: dict[int, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks layer1\.0\.bn3.*choose its depth"):
        ResNet(50, weights=files[18])
    with pytest.raises(ValueError, match=r"has the unknown .*differs in layer1\.0\.conv1\.weight"):
        ResNet(18, weights=files[50])
    with pytest.raises(ValueError, match=r"has the unknown layer1\.2"):
        ResNet(18, weights=saved(resnet34().state_dict(), tmp_path / "34.pth"))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights=.*gone\.pth.*no file.*imagenet"):
        narrow(weights=str(tmp_path / "gone.pth"))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match=r"cannot read .*text\.pth"):
        narrow(weights=str(tmp_path / "text.pth"))


@pytest.mark.parametrize("error", [URLError("no network"), RuntimeError("invalid hash value")])
def test_imagenet_offline(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(ValueError, match=r"ImageNet weights of ResNet-18.*weights=<file>.*weights=null"):
        ResNet(weights="imagenet")


def test_imagenet(monkeypatch: pytest.MonkeyPatch, known: dict[int, dict[str, Tensor]]) -> None:
    asked = []

    def answer(self: ResNet18_Weights, **_: Any) -> dict[str, Tensor]:
        asked.append(self)
        return known[18]

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", answer)
    net = ResNet(weights="imagenet")
    assert asked == [ResNet18_Weights.IMAGENET1K_V1]
    assert torch.equal(net.state_dict()["conv1.weight"], known[18]["conv1.weight"])
    with pytest.raises(ValueError, match=r"weights=imagenet are of width 64, not 32"):
        ResNet(width=32, weights="imagenet")


def test_normalise() -> None:
    images = torch.rand(2, 5, 3, 6, 7)
    images[0, 0, :, 0, 0] = 0  # black is no padding,
    images[0, 0, 1, 0, 1] = -0.01  # nor is what a resize overshoots in one channel
    images[..., 4:, :] = -1
    found = normalise(images)
    theirs = ResNet18_Weights.IMAGENET1K_V1.transforms()
    for channel in range(3):
        expected = (images[:, :, channel, :4] - theirs.mean[channel]) / theirs.std[channel]
        torch.testing.assert_close(found[:, :, channel, :4], expected)
    assert not found[..., 4:, :].any()


def conv(maps: Tensor, state: State, name: str) -> Tensor:
    weight = state[f"{name}.weight"]
    return nnf.conv2d(maps, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)


def block(maps: Tensor, state: State, name: str) -> Tensor:
    inside = conv(maps.relu(), state, f"{name}.conv1")
    inside = conv(inside.relu(), state, f"{name}.conv2")
    changes = f"{name}.shortcut.weight" in state
    return inside + (conv(maps, state, f"{name}.shortcut") if changes else maps)


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (3, 5)])
def test_a_residual_block(inputs: int, outputs: int) -> None:
    net, maps = nn.ModuleDict({"it": ResBlock(inputs, outputs)}), torch.randn(2, inputs, 5, 7)
    kept = maps.clone()
    torch.testing.assert_close(net["it"](maps), block(maps, net.state_dict(), "it"))
    assert torch.equal(maps, kept)


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_decoder_written_out(
    kernel: int,
) -> None:
    """Against the plain steps, at odd sizes: 1/4 of 21 pixels is 6 cells, 1/8 is 3, and 1/4 of 33 is 9, 1/8 is 5."""
    net = Decoder(10, (4, 3), (8, 6, 5), kernel)
    maps, skip8, skip4 = torch.randn(2, 10, 3, 5), torch.randn(2, 4, 3, 5), torch.randn(2, 3, 6, 9)
    state = net.state_dict()
    fine = block(maps, state, "block") + conv(skip8, state, "refine8.skip")
    fine = resize(block(fine, state, "refine8.block"), (6, 9)) + conv(skip4, state, "refine4.skip")
    logits = conv(block(fine, state, "refine4.block").relu(), state, "predict")
    expected = nnf.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
    found = net(maps, skip8, skip4)
    assert found.shape == (2, 1, 24, 36)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("skip_block", [False, True])
@pytest.mark.parametrize("objects", [0, 1, 3])
def test_objects_share_the_skip_of_their_frame(skip_block: bool, objects: int) -> None:
    net = Refine(3, 4, 5, skip_block)
    maps, skip = torch.randn(2 * objects, 4, 4, 5), torch.randn(2, 3, 7, 10)
    found = net(maps, skip)
    assert found.shape == (2 * objects, 5, 7, 10)
    for i, each in enumerate(found):
        torch.testing.assert_close(each, net(maps[i : i + 1], skip[i // objects : i // objects + 1])[0])


def test_refinement_with_a_block_on_the_skip() -> None:
    net, maps, skip = Refine(3, 4, 4, skip_block=True), torch.randn(1, 4, 3, 4), torch.randn(1, 3, 6, 8)
    state = net.state_dict()
    fine = block(conv(skip, state, "skip.0"), state, "skip.1") + resize(maps, (6, 8))
    torch.testing.assert_close(net(maps, skip), block(fine, state, "block"))


def test_parameters_of_the_decoders() -> None:
    assert count(Decoder(1024, (512, 256), kernel=3)) == 18_436_609
    start = nn.Sequential(nn.Conv2d(1024, 256, 3, padding=1), ResBlock(256, 256))
    steps = [Refine(512, 256, 256, skip_block=True), Refine(256, 256, 256, skip_block=True)]
    # MUNet's, which is STM's: the part of its 39,284,591 parameters that the other networks leave.
    encoders = 2 * 8_543_296 + 64 * 7 * 7
    motion = 1024 * 256 + 256 + 98_732 + 1025
    keys_and_values = 2 * (1024 * 9 + 1) * (128 + 512)
    decoder = count(start) + sum(map(count, steps)) + count(nn.Conv2d(256, 2, 3))
    assert decoder == 39_284_591 - encoders - motion - keys_and_values


def test_encoder_and_decoder_fit_each_other() -> None:
    """Frames padded to 8 pixels: two objects of one frame, down to logits in pixels, and back to every weight."""
    encoder = ResNet(width=4)
    at4, at8, *_, last = encoder(torch.rand(1, 3, 40, 56))
    decoder = Decoder(2 * last.shape[1], (encoder.stage_channels[1], encoder.stage_channels[0]), (16, 8, 8))
    logits = decoder(torch.cat([last, last], 1).expand(2, -1, -1, -1), at8, at4)
    assert logits.shape == (2, 1, 40, 56)
    logits.sum().backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in decoder.parameters())
    assert all(each.grad is not None for each in encoder.parameters())
