"""MAMP's facts: network, colours, loss, alignment, and the released checkpoints."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as nnf
from jaxtyping import UInt8
from torch import Tensor, nn

from vosbench.contract import Clip, Context, Entry, Previous
from vosbench.methods.mamp.encoder import Encoder
from vosbench.methods.mamp.method import MAMP, Features, Memory
from vosbench.nn.optical_flow import Dis, NoFlow, Raft
from vosbench.ops.align import resize
from vosbench.ops.colour import rgb_to_lab
from vosbench.weights.loading import restore

NARROW = (8, 8, 16, 16)


def small(**options: Any) -> MAMP:
    torch.manual_seed(0)
    defaults: dict[str, Any] = {"flow": NoFlow(), "widths": NARROW, "channels": 16, "train_radius": 2, "radius": 3}
    return MAMP(**{**defaults, **options})


def frames(b: int = 2, t: int = 2, h: int = 32, w: int = 40) -> Tensor:
    """Smooth noise in colour."""
    coarse = torch.rand(b * t, 3, h // 8 + 1, w // 8 + 1, generator=torch.Generator().manual_seed(0))
    return resize(coarse, (h, w)).view(b, t, 3, h, w)


def clip_of(images: Tensor, valid: Tensor | None = None) -> Clip:
    b, t, _, h, w = images.shape
    valid = torch.ones(b, t, h, w, dtype=torch.bool) if valid is None else valid
    return Clip(images, None, torch.arange(t).repeat(b, 1), tuple("ab"[:b]), valid)


def one_hot(labels: Tensor, n: int) -> Tensor:
    channels: Tensor = nnf.one_hot(labels, n).movedim(-1, -3).float()
    return channels


def masks(h: int = 32, w: int = 40) -> Tensor:
    labels = torch.zeros(1, h, w, dtype=torch.long)
    labels[:, 8:20, 10:30], labels[:, 20:28, 4:16] = 1, 2
    return one_hot(labels, 3)


def context(method: MAMP, *entries: tuple[int, Features, Tensor], index: int) -> Context[Features, Memory]:
    """The given (frame index, features, masks) as references."""
    kept = tuple(Entry(i, i == 0, method.memorize(features, masks)) for i, features, masks in entries)
    return Context(index, Previous(kept[-1].index, entries[-1][1], kept[-1].value), kept)


def test_parameters() -> None:
    method = MAMP(NoFlow())
    assert sum(p.numel() for p in method.parameters()) == 5_291_648
    assert sum(p.numel() for part in [*method.encoder][:-1] for p in part.parameters()) == 5_144_128
    assert all(p.requires_grad for p in method.parameters())


@pytest.mark.parametrize(("h", "w"), [(32, 40), (33, 42), (31, 39), (1, 4)])
def test_the_encoder_has_stride_4_and_kernels_on_sampled_pixels(h: int, w: int) -> None:
    lab = torch.randn(2, 3, h, w)
    key = Encoder(NARROW, 16).eval()(lab)
    assert key.shape == (2, 16, -(-h // 4), -(-w // 4))
    assert key.shape[2:] == lab[..., ::4, ::4].shape[2:]


def test_keys_are_not_normalised() -> None:
    head = small().encoder[-1]
    assert isinstance(head, nn.Conv2d)
    assert head.bias is not None
    assert head.kernel_size == (3, 3)


def encoded(method: MAMP, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What the encoder is given from now on."""
    seen: list[Tensor] = []
    key = method._key

    def note(lab: Tensor) -> Tensor:
        seen.append(lab.clone())
        return key(lab)

    monkeypatch.setattr(method, "_key", note)
    return seen


def lab_of(images: Tensor) -> Tensor:
    lab = rgb_to_lab(images)
    return torch.cat(((lab[..., :1, :, :] - 50) / 50, lab[..., 1:, :, :] / 127), -3)


def test_one_channel_is_dropped_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of a and b in all frames and samples; the rest is 3/2 as large."""
    method, images = small(), frames(b=2, t=3)
    seen = encoded(method, monkeypatch)
    dropped = set()
    for seed in range(8):
        seen.clear()
        torch.manual_seed(seed)
        method.loss(clip_of(images))
        assert len(seen) == 3  # frames apart: each has its own batch statistics
        lab = torch.stack(seen, 1)
        zero = [channel for channel in range(3) if not lab[:, :, channel].any()]
        assert len(zero) == 1
        dropped.update(zero)
        expected = 1.5 * lab_of(images)
        expected[:, :, zero[0]] = 0
        torch.testing.assert_close(lab, expected)
    assert dropped == {1, 2}


def test_nothing_is_dropped_or_scaled_at_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    method, images = small().eval(), frames(b=1)[:, 0]
    seen = encoded(method, monkeypatch)
    method.encode(images)
    torch.testing.assert_close(seen[0], lab_of(images))


def readings(method: MAMP, monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], Tensor]]:
    """Arguments and results of `read_and_decode` from now on."""
    seen: list[tuple[tuple[Any, ...], Tensor]] = []
    read = method.read_and_decode

    def note(*arguments: Any) -> Tensor:
        seen.append((arguments, read(*arguments)))
        return seen[-1][1]

    monkeypatch.setattr(method, "read_and_decode", note)
    return seen


def test_the_loss_is_huber_at_twenty_times(monkeypatch: pytest.MonkeyPatch) -> None:
    method, images = small(), frames()
    seen, labs = readings(method, monkeypatch), encoded(method, monkeypatch)
    (loss,) = method.loss(clip_of(images)).values()
    (_, _, values, size, radius), rebuilt = seen[0]
    channel = next(c for c in (1, 2) if not labs[0][:, c].any())
    target = lab_of(images)[:, :, channel : channel + 1]
    assert (size, radius) == ((32, 40), 2)
    torch.testing.assert_close(values[0], target[:, 0, :, ::4, ::4])
    error = (20 * (rebuilt - target[:, -1])).abs()
    torch.testing.assert_close(loss, torch.where(error < 1, error**2 / 2, error - 0.5).mean())
    assert (error > 1).any()


def test_training_looks_at_every_candidate_unaligned(monkeypatch: pytest.MonkeyPatch) -> None:
    method = small(flow=Dis(), top_k=1)
    seen = readings(method, monkeypatch)
    method.loss(clip_of(frames()))
    assert len(seen[0][0]) == 5  # neither top_k nor positions are given


def test_padding_of_a_clip_counts_for_nothing() -> None:
    method, images = small().eval(), frames()
    valid = torch.ones(2, 2, 32, 40, dtype=torch.bool)
    valid[:, :, 24:] = False
    losses = []
    for value in (0.0, 0.7):
        images[:, :, :, 24:] = value
        torch.manual_seed(3)
        losses.append(method.loss(clip_of(images, valid))["reconstruction"])
    assert torch.equal(*losses)


@pytest.mark.parametrize("size", [(30, 41), (32, 40)])
def test_the_loss_takes_any_size(size: tuple[int, int]) -> None:
    loss = small().loss(clip_of(frames(h=size[0], w=size[1])))["reconstruction"]
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize("alignment", ["size_aware", "mast", "bilinear"])
def test_one_path(monkeypatch: pytest.MonkeyPatch, alignment: str) -> None:
    """What the loss rebuilds is what a propagator would read: same keys, same values, same prediction."""
    method = small(matching="none", radius=2, top_k=None, alignment=alignment)
    seen = readings(method, monkeypatch)
    method.loss(clip_of(frames(b=1, t=3)))
    (query, keys, values, size, _), rebuilt = seen[0]
    method.eval()
    features = [Features(key, None, size) for key in keys]
    entries = [Entry(i, False, Memory(*each)) for i, each in enumerate(zip(features, values, strict=True))]
    where = Context(2, Previous(1, features[-1], entries[-1].value), tuple(entries))
    torch.testing.assert_close(method.segment(Features(query, None, size), where), rebuilt)


class Recorder:
    """A flow estimator that keeps what it is shown; everything moved by `shift` (x, y) cells."""

    def __init__(self, shift: tuple[float, float] = (0.0, 0.0)) -> None:
        self.shift = shift
        self.pictures: list[Tensor] = []
        self.asked: list[tuple[int, int, int, int]] = []

    def encode(self, image: UInt8[Tensor, "3 h w"]) -> int:
        self.pictures.append(image)
        return len(self.pictures) - 1

    def estimate(self, query: int, reference: int, *, gap: int, stride: int) -> Tensor:
        self.asked.append((query, reference, gap, stride))
        h, w = self.pictures[query][0, ::stride, ::stride].shape
        return torch.tensor(self.shift).view(2, 1, 1).expand(2, h, w)


def test_padding_is_grey_in_lab_and_black_for_the_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = Recorder()
    method = small(flow=flow).eval()
    images = torch.full((1, 3, 32, 40), method.padding.value[0])
    images[..., :30, :38] = frames(b=1, h=30, w=38)[:, 0]
    seen = encoded(method, monkeypatch)
    method.encode(images)
    assert not seen[0][..., 30:, :].any()
    assert not seen[0][..., 38:].any()
    assert seen[0][..., :30, :38].abs().min() > 0
    (picture,) = flow.pictures
    assert not picture[:, 30:].any()
    torch.testing.assert_close(picture[:, :30, :38], (images[0, :, :30, :38] * 255).round().byte())
    torch.testing.assert_close(seen[0][..., :30, :38], lab_of(images[..., :30, :38]))


def test_flow_aligns_references_to_the_query() -> None:
    """The reference holds the query's picture 8 pixels further right and 4 further up: flow (2, -1) says so."""
    flow = Recorder(shift=(2.4, -0.9))
    method = small(flow=flow, radius=0, top_k=1).eval()
    image, label = frames(b=1)[:, 0], masks()
    query, reference = method.encode(image), method.encode(image.roll((-4, 8), (2, 3)))
    scores = method.segment(query, context(method, (3, reference, label.roll((-4, 8), (2, 3))), index=9))
    assert flow.asked == [(0, 1, 6, 4)]
    expected = label[..., ::4, ::4]
    torch.testing.assert_close(scores[..., ::4, ::4][..., 1:7, :8], expected[..., 1:7, :8])
    assert not scores[..., :1, :].any()  # from outside: no label at all


def test_flow_is_estimated_once_however_often_a_frame_is_read() -> None:
    """Objects that start late are read apart from the others. Memory does not keep the flow."""
    flow = Recorder()
    method = small(flow=flow).eval()
    first, second = (method.encode(frames(b=1)[:, 0]) for _ in range(2))
    for known in ((0, first, masks()), (7, first, masks())), ((7, first, masks()),):
        method.segment(second, context(method, *known, index=9))
    assert [gap for _, _, gap, _ in flow.asked] == [9, 2]
    assert not method.memorize(second, masks()).features.flows


def test_without_matching_by_flow_none_is_estimated() -> None:
    for matching in ("none", "mast"):
        flow = Recorder()
        method = small(flow=flow, matching=matching).eval()
        features = method.encode(frames(b=1)[:, 0])
        method.segment(features, context(method, (0, features, masks()), index=1))
        assert not flow.asked


@pytest.mark.parametrize("options", [{}, {"upsample": "released"}, {"matching": "none"}, {"mask_oob": True}])
def test_scores(options: dict[str, Any]) -> None:
    method = small(flow=Dis(), **options).eval()
    images = frames(b=1, t=3)
    features = [method.encode(image) for image in images.unbind(1)]
    where = context(method, (0, features[0], masks()), (1, features[1], masks().roll(4, 3)), index=2)
    scores = method.segment(features[2], where)
    assert scores.shape == (1, 3, 32, 40)
    assert scores.min() >= 0
    assert scores.sum(1).max() <= 1 + 1e-5


@pytest.mark.parametrize("alignment", ["mast", "bilinear"])
@pytest.mark.parametrize("matching", ["flow", "mast"])
@pytest.mark.parametrize(("h", "w"), [(31, 41), (33, 38)])
def test_the_other_alignments_need_no_padding(alignment: str, matching: str, h: int, w: int) -> None:
    method = small(flow=Dis(), alignment=alignment, matching=matching, radius=4).eval()
    assert method.stride == 1
    features = method.encode(frames(b=1, h=h, w=w)[:, 0])
    given = masks(h, w)
    scores = method.segment(features, context(method, (0, features, given), (19, features, given), index=20))
    assert scores.shape == given.shape
    assert (scores.argmax(1) == given.argmax(1)).float().mean() > 0.7


def test_mast_searches_far_references_coarsely(monkeypatch: pytest.MonkeyPatch) -> None:
    """And lets all candidates take part, whatever top_k says."""
    image, given = frames(b=1)[:, 0], masks()
    method, other = (small(matching="mast", top_k=k).eval() for k in (1, None))
    features = method.encode(image)
    near = method.segment(features, context(method, (0, features, given), index=15))
    far = method.segment(features, context(method, (0, features, given), index=16))
    plain = small(matching="none", top_k=None).eval()
    torch.testing.assert_close(near, plain.segment(features, context(plain, (0, features, given), index=15)))
    assert (far - near).abs().max() > 1e-3
    torch.testing.assert_close(other.segment(features, context(other, (0, features, given), index=16)), far)


@pytest.mark.parametrize("references", [1, 3])
def test_top_k_beyond_all_candidates(references: int) -> None:
    images = frames(b=1, t=references + 1).unbind(1)
    results = []
    for top_k in (None, 49 * references, 10_000):
        method = small(top_k=top_k).eval()
        features = [method.encode(image) for image in images]
        entries = [(i, features[i], masks()) for i in range(references)]
        results.append(method.segment(features[-1], context(method, *entries, index=references)))
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])


def test_affinities_are_scaled_by_the_root_of_the_channels() -> None:
    assert MAMP(NoFlow(), NARROW).scale == pytest.approx(1 / 8)
    assert MAMP(NoFlow(), NARROW, scale="none").scale == 1


def test_a_new_object_is_nowhere_in_old_memory() -> None:
    method = small().eval()
    kept = method.memorize(method.encode(frames(b=1)[:, 0]), masks())
    extended = method.extend(kept, 2)
    assert torch.equal(extended.masks[:, :3], kept.masks)
    assert extended.masks.shape[1] == 5
    assert not extended.masks[:, 3:].any()


def test_the_flow_network_is_no_part_of_the_method(tmp_path: Path) -> None:
    from torchvision.models.optical_flow import raft_small

    torch.save(raft_small().state_dict(), tmp_path / "raft.pth")
    method = small(flow=Raft("small", weights=str(tmp_path / "raft.pth")))
    method.encode(torch.rand(1, 3, 128, 128))  # now it is loaded
    plain = small()
    assert method.state_dict().keys() == plain.state_dict().keys()
    assert len(list(method.parameters())) == len(list(plain.parameters()))
    assert all(not name.startswith("flow") for name, _ in method.named_modules())


class ReleasedBlock(nn.Module):
    """A basic block with the names of the authors' checkpoints."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.left = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return nnf.relu(self.left(x) + self.shortcut(x))


class Released(nn.Module):
    """A network whose state dict has the layout of the released MAMP and MAST checkpoints."""

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        first = widths[0]
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["conv1"] = nn.Sequential(nn.Conv2d(3, first, 7, 2, 3, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        for i, (before, width) in enumerate(zip((first, *widths), widths, strict=False)):
            blocks = ReleasedBlock(before, width, 2 if i == 1 else 1), ReleasedBlock(width, width, 1)
            parts[f"layer{i + 1}"] = nn.Sequential(*blocks)
        self.feature_extraction = nn.Sequential(parts)
        self.post_convolution = nn.Conv2d(widths[-1], channels, 3, 1, 1)

    def forward(self, lab: Tensor) -> Tensor:
        features: Tensor = self.post_convolution(self.feature_extraction(lab))
        return features


@pytest.mark.parametrize("prefix", ["", "module."])
def test_released_checkpoints_load(tmp_path: Path, prefix: str) -> None:
    """Both authors' files: epoch, state_dict (from DataParallel or not) and the optimizer's state."""
    torch.manual_seed(1)
    released = Released(NARROW, 16)
    lab = torch.randn(2, 3, 24, 32)
    released(lab)  # so that the running statistics are not the initial ones
    state = {prefix + key: value for key, value in released.state_dict().items()}
    for key in ("feature_extraction.conv1.0.weight", "feature_extraction.layer2.0.shortcut.1.bias"):
        assert prefix + key in state
    optimizer = torch.optim.Adam(released.parameters())
    path = tmp_path / "checkpoint.pt"
    torch.save({"epoch": 32, "state_dict": state, "optimizer": optimizer.state_dict()}, path)
    method = small()
    checkpoint = restore(method, str(path), seed=0)
    assert checkpoint.name == "checkpoint.pt"
    assert len(checkpoint.sha256) == 64
    torch.testing.assert_close(method.eval()._key(lab), released.eval()(lab))


def test_a_checkpoint_of_another_width(tmp_path: Path) -> None:
    torch.save({"state_dict": Released((8, 8, 16, 32), 16).state_dict()}, tmp_path / "wide.pt")
    with pytest.raises(ValueError, match=r"wide\.pt does not fit MAMP.*choose the method and width"):
        restore(small(), str(tmp_path / "wide.pt"), seed=0)
