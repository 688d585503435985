"""Flow estimators: direction, units, and what RAFT is asked to do."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import Tensor
from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights, raft_small

from vosbench.nn.optical_flow import Dis, NoFlow, Raft
from vosbench.ops.align import resize
from vosbench.video.images import read_image


def texture(h: int, w: int) -> Tensor:
    """Smooth random RGB, (3, h, w) uint8."""
    rng = torch.Generator().manual_seed(0)
    layers = [resize(torch.rand(1, 3, h // s, w // s, generator=rng), (h, w)) for s in (4, 8, 16, 32)]
    mean = torch.stack(layers).mean(0)[0]
    return (255 * (mean - mean.min()) / (mean.max() - mean.min())).byte()


def moved(dx: int, dy: int, h: int = 136, w: int = 160) -> tuple[Tensor, Tensor]:
    """A query and a reference in which the query's pixel (x, y) lies at (x + dx, y + dy)."""
    big = texture(h + 32, w + 32)
    return big[:, 16 : 16 + h, 16 : 16 + w], big[:, 16 - dy : 16 - dy + h, 16 - dx : 16 - dx + w]


def test_no_flow() -> None:
    flow = NoFlow()
    state = flow.encode(texture(33, 42))
    for stride, size in ((1, (33, 42)), (4, (9, 11))):
        found = flow.estimate(state, state, gap=3, stride=stride)
        assert found.shape == (2, *size)
        assert not found.any()


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize(("dx", "dy"), [(8, -4), (-5, 3)])
def test_dis_points_from_query_to_reference(dx: int, dy: int, stride: int) -> None:
    flow = Dis()
    query, reference = (flow.encode(image) for image in moved(dx, dy))
    found = flow.estimate(query, reference, gap=1, stride=stride)
    assert found.shape == (2, 136 // stride, 160 // stride)
    inside = found[:, 24 // stride : -24 // stride, 24 // stride : -24 // stride] * stride
    torch.testing.assert_close(inside.mean((1, 2)), torch.tensor([float(dx), float(dy)]), atol=0.3, rtol=0)


def test_dis_is_sampled_at_kernel_centres() -> None:
    flow = Dis()
    query, reference = (flow.encode(image[:, :131, :158]) for image in moved(6, 2))
    full, cells = (flow.estimate(query, reference, gap=1, stride=stride) for stride in (1, 4))
    assert cells.shape == (2, 33, 40)
    torch.testing.assert_close(cells, full[:, ::4, ::4] / 4)


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_dis_twice_is_the_same(preset: str) -> None:
    flow = Dis(preset)  # type: ignore[arg-type]
    query, reference = (flow.encode(image) for image in moved(3, 3))
    assert torch.equal(
        flow.estimate(query, reference, gap=1, stride=1), flow.estimate(query, reference, gap=9, stride=1)
    )


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "raft.pth"
    torch.save(raft_small().state_dict(), path)
    return path


@pytest.mark.parametrize("updates", [2, 5])
def test_raft_equals_torchvisions_before_upsampling(untrained: Path, updates: int) -> None:
    raft = Raft("small", str(untrained), updates=updates)
    query, reference = moved(4, 4)
    own = raft._refine(raft.encode(query), raft.encode(reference), updates)
    theirs: list[Tensor] = []

    def note(_: object, arguments: tuple[Tensor, ...], __: object) -> None:
        theirs.append(arguments[3])  # beside hidden state, context and correlation: the flow so far

    net = raft.net
    hook = net.update_block.register_forward_hook(note)
    images = [image.unsqueeze(0) / 127.5 - 1 for image in (query, reference)]
    with torch.no_grad():
        net(*images, num_flow_updates=updates + 1)  # the last update is given the flow after `updates`
    hook.remove()
    torch.testing.assert_close(own, theirs[-1], atol=1e-4, rtol=1e-4)


def test_raft_encodes_each_frame_once(untrained: Path) -> None:
    raft = Raft("small", str(untrained))
    calls = {"feature_encoder": 0, "context_encoder": 0, "update_block": 0}
    for name in calls:
        getattr(raft.net, name).register_forward_hook(lambda *_, name=name: calls.__setitem__(name, calls[name] + 1))
    states = [raft.encode(image) for image in moved(4, 4)]
    for query, reference, gap in ((0, 1, 1), (1, 0, 15), (0, 0, 16)):
        raft.estimate(states[query], states[reference], gap=gap, stride=4)
    assert calls == {"feature_encoder": 2, "context_encoder": 2, "update_block": 2 + 2 + 5}


@pytest.mark.parametrize("stride", [1, 4])
def test_raft_pads_to_eight_and_gives_a_vector_a_cell(untrained: Path, stride: int) -> None:
    raft = Raft("small", str(untrained))
    states = [raft.encode(image[:, :133, :158]) for image in moved(4, 4)]
    assert states[0].features.shape[2:] == (17, 20)
    found = raft.estimate(states[0], states[1], gap=1, stride=stride)
    assert found.shape == (2, -(-133 // stride), -(-158 // stride))


def test_raft_grows_its_flow_corner_to_corner(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """×2, align_corners, and twice as long in cells half as large."""
    raft = Raft("small", str(untrained))
    state = raft.encode(texture(128, 160))
    ramp = torch.linspace(0, 1, 20).expand(1, 2, 16, 20)
    monkeypatch.setattr(raft, "_refine", lambda *_: ramp)
    found = raft.estimate(state, state, gap=1, stride=4)
    torch.testing.assert_close(found, (2 * torch.linspace(0, 1, 40)).expand(2, 32, 40))


@pytest.mark.parametrize(("h", "w"), [(127, 200), (200, 127)])
def test_raft_needs_128_pixels(untrained: Path, h: int, w: int) -> None:
    with pytest.raises(ValueError, match=r"at least 128 pixels.*flow=dis"):
        Raft("small", str(untrained)).encode(texture(h, w))


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.pth is no file.*flow=dis"):
        Raft("large", str(tmp_path / "gone.pth")).encode(texture(128, 128))


@pytest.mark.parametrize(("size", "weights"), [("large", Raft_Large_Weights), ("small", Raft_Small_Weights)])
def test_weights_that_cannot_be_downloaded(size: str, weights: type, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(weights, "get_state_dict", offline)
    raft = Raft(size)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=rf"RAFT-{size} weights.*no network.*flow\.weights=<file>.*flow=dis"):
        raft.encode(texture(128, 128))


@pytest.mark.real
@pytest.mark.parametrize(("dx", "dy"), [(12, -8), (-8, 4)])
def test_raft_recovers_a_translation_of_a_real_picture(real_data: Path, dx: int, dy: int) -> None:
    weights = real_data.parent / "weights" / "raft_small.pth"
    if not weights.is_file():
        pytest.skip(f"needs {weights.name} beside the real video")
    folder = real_data / "davis2016-val10" / "JPEGImages" / "480p" / "goat"
    picture = torch.tensor(read_image(folder / "00000.jpg")).permute(2, 0, 1)
    h, w = 240, 320
    query, reference = (picture[:, 60 - y : 60 - y + h, 200 - x : 200 - x + w] for x, y in ((0, 0), (dx, dy)))
    raft = Raft("small", str(weights), updates=8)
    found = raft.estimate(raft.encode(query), raft.encode(reference), gap=1, stride=4)
    inside = 4 * found[:, 8:-8, 8:-8].flatten(1)
    torch.testing.assert_close(inside.median(1).values, torch.tensor([float(dx), float(dy)]), atol=1, rtol=0)
