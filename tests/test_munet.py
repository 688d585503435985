"""MUNet against its tables and equations: sizes, cost volume, motion, losses; and training reads as inference does."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as nnf
from PIL import Image
from torch import Tensor

from vosbench.cli import configuration, sweep
from vosbench.contract import Clip, Context, Entry, Previous
from vosbench.inference.memory import FrameMemory, Memory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.inference.token_bank import TokenBank
from vosbench.methods.munet.losses import bootstrapped_cross_entropy, overlap_loss
from vosbench.methods.munet.method import MUNet
from vosbench.methods.munet.motion import MotionAwareAttention, MotionUncertaintyLayer
from vosbench.ops.affinity import local_affinity
from vosbench.ops.aggregate import aggregated_logits
from vosbench.video.palette import VOID


def tiny(**options: Any) -> MUNet:
    torch.manual_seed(0)
    options = {"motion": lambda channels: MotionUncertaintyLayer(channels, radius=2), **options}
    return MUNet(**{"depth": 18, "width": 8, "channels": (8, 16), "decoder_width": 8, **options})


def scene(t: int = 3, size: int = 64) -> Clip:
    """A square and a bar that move over noise."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(1, t, 3, size, size, generator=generator) / 4
    labels = torch.zeros(1, t, size, size, dtype=torch.long)
    for i in range(t):
        labels[0, i, 8 + 2 * i : 30 + 2 * i, 10:32] = 1
        labels[0, i, 40:56, 20 - 2 * i : 60 - 2 * i] = 2
    frames += torch.nn.functional.one_hot(labels, 3).permute(0, 1, 4, 2, 3) / 2
    return Clip(frames, labels, torch.arange(t)[None], ("video",), torch.ones_like(labels, dtype=torch.bool))


@pytest.mark.parametrize(("shared", "expected"), [(False, 39_284_591), (True, 33_385_711)])
def test_the_paper_s_network_has_its_size(shared: bool, expected: int) -> None:
    method = MUNet(shared=shared, motion=MotionUncertaintyLayer)
    assert sum(parameter.numel() for parameter in method.parameters()) == expected
    assert method.motion is not None
    assert sum(parameter.numel() for parameter in method.motion.represent.parameters()) == 98_732


def test_both_encoders_begin_alike_but_for_the_mask() -> None:
    query, reference = (encoder.trunk.state_dict() for encoder in (tiny().query_encoder, tiny().reference_encoder))
    stem = reference.pop("conv1.weight")
    assert torch.equal(stem[:, :3], query.pop("conv1.weight"))
    assert stem[:, 3].std() > 0.01
    assert all(torch.equal(reference[key], query[key]) for key in query)


@pytest.mark.parametrize("size", [(11, 13), (8, 16), (3, 20)])
@pytest.mark.parametrize("outside", [0.0, -2.0])
def test_the_cost_volume_is_equation_1(size: tuple[int, int], outside: float) -> None:
    query, previous = torch.randn(2, 2, 5, *size).unbind()
    radius, (h, w) = 3, size
    found = local_affinity(query, previous, radius=radius, outside=outside, chunk=1 << 12)
    for v in range(-radius, radius + 1):
        for u in range(-radius, radius + 1):
            costs = found[:, (radius + v) * (2 * radius + 1) + radius + u]
            for y, x in ((0, 0), (h // 2, w // 2), (h - 1, w - 1), (1, w - 2)):
                expected = torch.full((2,), outside)
                if 0 <= y + v < h and 0 <= x + u < w:
                    expected = (query[..., y, x] * previous[..., y + v, x + u]).sum(1)
                torch.testing.assert_close(costs[:, y, x], expected)


def layer(**options: Any) -> MotionUncertaintyLayer:
    torch.manual_seed(0)
    return MotionUncertaintyLayer(16, 16, radius=4, **{"temperature": 0.01, **options})


def test_displacement_points_to_where_a_cell_was() -> None:
    query = torch.randn(1, 16, 20, 24)
    previous = torch.roll(query, (2, -1), (2, 3))
    motion = layer().estimate(query, previous)
    inside = (slice(None), slice(None), slice(5, 15), slice(5, 19))
    expected = torch.tensor([-1.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 10, 14)
    torch.testing.assert_close(motion.displacement[inside], expected, atol=0.01, rtol=0)
    torch.testing.assert_close(motion.uncertainty[inside], torch.ones(1, 1, 10, 14))
    away = layer().estimate(query, torch.randn(1, 16, 20, 24))
    assert away.uncertainty.mean() < 0.9


def test_the_printed_sign_takes_the_worst_match() -> None:
    query = torch.randn(1, 16, 20, 24)
    opposite = layer(sign="paper").estimate(query, -torch.roll(query, (2, -1), (2, 3)))
    assert (opposite.displacement[0, :, 10, 12] - torch.tensor([-1.0, 2.0])).abs().max() < 0.5


@pytest.mark.parametrize("sign", ["similarity", "paper"])
def test_cells_outside_of_the_picture_may_be_left_out(sign: str) -> None:
    query = torch.randn(1, 16, 5, 5).abs()
    motion = layer(sign=sign, outside="never", temperature=1e6).estimate(query, query)
    torch.testing.assert_close(motion.displacement[0, :, 0, 0], torch.tensor([2.0, 2.0]))  # the mean of those inside
    zero = layer(sign=sign, temperature=1e6).estimate(query, query)
    torch.testing.assert_close(zero.displacement[0, :, 0, 0], torch.zeros(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("detached", [True, False])
def test_gradients_stop_at_the_frame_before(detached: bool) -> None:
    query, previous = (torch.randn(1, 16, 6, 6, requires_grad=True) for _ in range(2))
    layer(detach_previous=detached).estimate(query, previous).displacement.square().sum().backward()
    assert query.grad is not None
    assert (previous.grad is None) == detached


def test_what_is_left_out_of_motion_has_no_effect() -> None:
    maps, others = torch.randn(2, 1, 16, 6, 6).unbind()
    for options in ({"displaced": False}, {"uncertain": False}, {}):
        motion_layer = layer(**options)
        motion = motion_layer.estimate(maps, others)
        plain = motion_layer(motion)
        for name, part in (("displaced", "displacement"), ("uncertain", "uncertainty")):
            changed = type(motion)(**{**vars(motion), part: getattr(motion, part) + 1})
            assert torch.equal(motion_layer(changed), plain) == (name in options)


def test_attention_enhances_and_addition_adds() -> None:
    semantic, motion = torch.randn(2, 1, 16, 4, 4).unbind()
    attention = MotionAwareAttention(16)
    weights = attention.weights(motion)
    assert weights is not None
    torch.testing.assert_close(attention(semantic, motion), semantic * (1 + weights))
    torch.testing.assert_close(MotionAwareAttention(16, "add")(semantic, motion), semantic + motion)


def one_hot(labels: Tensor, n: int) -> Tensor:
    return nnf.one_hot(labels, n).movedim(-1, 1).float()


def test_the_cross_entropy_counts_the_hardest_pixels_of_each_frame() -> None:
    right = torch.tensor([0.9, 0.5, 0.1, 0.8, 0.3]).view(1, 1, 5)
    scores = torch.stack([right, 1 - right], 1).log()  # logits of these scores
    target = one_hot(torch.zeros(1, 1, 5, dtype=torch.long), 2)
    counted = torch.ones(1, 1, 5, dtype=torch.bool)
    expected = -(math.log(0.1) + math.log(0.3)) / 2
    assert bootstrapped_cross_entropy(scores, target, counted).item() == pytest.approx(expected, rel=1e-5)
    everything = bootstrapped_cross_entropy(scores, target, counted, share=1)
    assert everything.item() == pytest.approx(-right.log().mean().item(), rel=1e-5)
    counted[..., 2] = False
    expected = -(math.log(0.3) + math.log(0.5)) / 2
    assert bootstrapped_cross_entropy(scores, target, counted).item() == pytest.approx(expected, rel=1e-5)
    once = torch.cat([counted, torch.zeros_like(counted)])  # a frame that is all padding does not count
    twice = bootstrapped_cross_entropy(scores.repeat(2, 1, 1, 1), target.repeat(2, 1, 1, 1), once)
    assert twice.item() == pytest.approx(expected, rel=1e-5)
    assert bootstrapped_cross_entropy(scores, target, torch.zeros_like(counted)).item() == 0


@pytest.mark.parametrize("gap", [7.0, 12.0, 40.0])
def test_pixels_that_are_wrong_with_certainty_teach(gap: float) -> None:
    log_odds = torch.full((1, 1, 4, 4), -gap, requires_grad=True)
    target = one_hot(torch.ones(1, 4, 4, dtype=torch.long), 2)
    counted = torch.ones(1, 4, 4, dtype=torch.bool)
    bootstrapped_cross_entropy(aggregated_logits(log_odds), target, counted, share=1).backward()
    assert log_odds.grad is not None
    torch.testing.assert_close(log_odds.grad, torch.full_like(log_odds, -2 / 16))


def test_the_overlap_is_of_sums_of_minima_and_maxima() -> None:
    target = one_hot(torch.tensor([[[0, 1, 1, 2]]]), 3)
    scores = torch.tensor([[0.5, 0.2, 0.1, 0.5], [0.5, 0.8, 0.9, 0.1], [0, 0, 0, 0.4]]).view(1, 3, 1, 4)
    counted = torch.ones(1, 1, 4, dtype=torch.bool)
    first = (0.8 + 0.9) / (0.5 + 1 + 1 + 0.1)
    assert overlap_loss(scores, target, counted).item() == pytest.approx((1 - first + 1 - 0.4) / 2)
    counted[..., 0] = False
    assert overlap_loss(scores[:, :2], target[:, :2], counted).item() == pytest.approx(1 - 1.7 / 2.1)


def test_objects_that_a_frame_does_not_show_have_no_part_in_the_overlap() -> None:
    """Object 2 is nowhere, or only where nothing counts; its scores are as small as aggregation makes them."""
    target = one_hot(torch.tensor([[[0, 1, 1, 2]], [[0, 0, 0, 0]]]), 3)
    counted = torch.ones(2, 1, 4, dtype=torch.bool)
    counted[0, 0, 3] = False
    log_odds = torch.tensor([1.0, -20.0]).view(1, 2, 1, 1).repeat(2, 1, 1, 4).requires_grad_()
    scores = aggregated_logits(log_odds).softmax(1)
    found = overlap_loss(scores, target, counted)
    assert found.item() == pytest.approx(
        overlap_loss(scores[:1, :2, :, :3], target[:1, :2, :, :3], counted[:1, :, :3]).item()
    )
    nothing = overlap_loss(scores, torch.zeros_like(target), counted)
    nothing.backward()
    assert nothing.item() == 0
    assert log_odds.grad is not None
    assert not log_odds.grad.any()


@pytest.mark.parametrize(
    "options",
    [
        *({}, {"motion": None}, {"fusion": "add"}, {"shared": True}, {"affinity": "l2", "top_k": 3, "kernel": 1.5}),
        {"network": "test_efficientnet", "depth": 50, "width": 64},
    ],
)
def test_training_reads_as_inference_does(options: dict[str, Any]) -> None:
    method, clip = tiny(**options).eval(), scene(2)
    labels = clip.labels
    assert labels is not None
    masks = one_hot(labels[0], 3)
    with torch.no_grad():
        terms = method.loss(clip)
        first, second = (method.encode(clip.frames[:, i]) for i in range(2))
        value = method.memorize(first, masks[:1])
        memory: FrameMemory[Any] = FrameMemory(every=5)
        memory.add(Entry(0, True, value))
        scores = method.segment(second, Context(1, Previous(0, first, value), memory.references(1))).scores
        expected = bootstrapped_cross_entropy(scores.log(), masks[1:], clip.valid[0, 1:])
    torch.testing.assert_close(terms["segmentation"], expected)
    torch.testing.assert_close(terms["overlap"], overlap_loss(scores, masks[1:], clip.valid[0, 1:]))


def test_the_temperature_divides_dot_products() -> None:
    """At 4, reading is that of keys half as large."""
    softer, halved, clip = tiny(shared=True, temperature=4.0).eval(), tiny(shared=True).eval(), scene(2)
    with torch.no_grad():
        plain = halved.loss(clip)["segmentation"]
        for parameter in halved.query_key_value.key.parameters():
            parameter.div_(2)
        torch.testing.assert_close(softer.loss(clip), halved.loss(clip))
    assert softer.loss(clip)["segmentation"] != plain


def test_training_may_remember_what_it_predicts() -> None:
    """The losses are those of predicting frame by frame with a memory of all frames."""
    method, clip = tiny(predicted=True).eval(), scene(4)
    labels = clip.labels
    assert labels is not None
    masks = one_hot(labels[0], 3)
    memory: FrameMemory[Any] = FrameMemory(every=1)
    with torch.no_grad():
        term = method.loss(clip)["segmentation"]
        frames = [method.encode(clip.frames[:, i]) for i in range(4)]
        value, scores = method.memorize(frames[0], masks[:1]), []
        for i in range(1, 4):
            memory.add(Entry(i - 1, i == 1, value))
            context = Context(i, Previous(i - 1, frames[i - 1], value), memory.references(i))
            scores.append(method.segment(frames[i], context).scores)
            value = method.memorize(frames[i], scores[-1])
        expected = bootstrapped_cross_entropy(torch.cat(scores).log(), masks[1:], clip.valid[0, 1:])
    torch.testing.assert_close(term, expected)


def test_the_motion_cnn_may_start_with_weights_that_let_motion_through() -> None:
    torch.manual_seed(0)
    layers = {initial: MotionUncertaintyLayer(64, initial=initial) for initial in ("torch", "he")}
    motions = torch.randn(50, 3, 1, 1).expand(-1, -1, 9, 9)
    with torch.no_grad():
        spread = {initial: layer.represent(motions)[..., 4, 4].std(0).mean() for initial, layer in layers.items()}
    assert spread["torch"] < 0.01
    assert 0.2 < spread["he"] < 5


def test_objects_that_start_later_are_background_and_clips_without_any_teach_nothing() -> None:
    method, clip = tiny(), scene(2)
    assert clip.labels is not None
    clip.labels[:, 0][clip.labels[:, 0] == 2] = 0
    one = method.loss(clip)
    clip.labels[clip.labels == 2] = 0
    assert torch.equal(method.loss(clip)["segmentation"], one["segmentation"])
    clip.labels.zero_()
    method.encode = None  # type: ignore[assignment,method-assign]  # nothing needs to be encoded
    terms = method.loss(clip)
    terms["segmentation"].backward()
    assert terms["segmentation"].item() == 0
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in method.parameters())


def test_void_is_no_object_and_does_not_count() -> None:
    clip, method = scene(), tiny()
    assert clip.labels is not None
    clip.labels[:, :, :4] = VOID
    logits = torch.randn(2, 3, 64, 64)
    method.read_and_decode = lambda *_: (logits, ())  # type: ignore[method-assign]
    first = method.loss(clip)
    logits[:, 1, :4] = 90
    assert all(torch.equal(method.loss(clip)[name], value) for name, value in first.items())
    logits[:, 1, 4:] = 90
    assert method.loss(clip)["segmentation"] > first["segmentation"]


def test_padding_does_not_count() -> None:
    method, clip = tiny().eval(), scene(2)
    assert clip.labels is not None
    clip.valid[..., 48:] = False
    before = method.loss(clip)
    clip.frames[..., 48:] = 0.7
    clip.labels[:, 1, :, 48:] = 1
    after = method.loss(clip)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("network", "first"), [({}, "bn1"), ({"network": "test_efficientnet", "depth": 50, "width": 64}, "net.bn1")]
)
def test_normalisation_is_frozen_where_it_is_wanted(network: dict[str, Any], first: str) -> None:
    for frozen in (True, False):
        method = tiny(freeze_norm=frozen, **network).train()
        norm = method.query_encoder.trunk.get_submodule(first)
        assert isinstance(norm, torch.nn.BatchNorm2d)
        assert norm.running_mean is not None
        before = norm.running_mean.clone()
        method.loss(scene(2))
        assert torch.equal(norm.running_mean, before) == frozen
        assert norm.weight.requires_grad


@pytest.mark.parametrize(
    "options", [{"channels": (8,)}, {"channels": (8, 0)}, {"decoder_width": 0}, {"hardest": 0.0}, {"overlap": -1.0}]
)
def test_options_that_cannot_be_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"method\.{next(iter(options))}=.*: give"):
        MUNet(**{"depth": 18, "width": 8, "channels": (8, 16), "decoder_width": 8, **options})


def test_the_size_of_a_residual_network_says_nothing_of_another() -> None:
    with pytest.raises(ValueError, match="leaves depth=18 and width=8 unused: set method"):
        tiny(network="test_efficientnet")
    tiny(network="test_efficientnet", depth=50, width=64)


def test_training_needs_masks() -> None:
    clip = scene(2)
    without = Clip(clip.frames, None, clip.indices, clip.videos, clip.valid)
    with pytest.raises(ValueError, match=r"data\.clips\.labels=true"):
        tiny().loss(without)


@pytest.mark.parametrize("memory", [FrameMemory(recent=(1,), every=2), TokenBank(budget=60)])
def test_objects_may_start_late_whatever_the_memory(memory: Memory[Any]) -> None:
    clip = scene(6)
    assert clip.labels is not None
    images = (clip.frames[0] * 255).byte().permute(0, 2, 3, 1).numpy()
    maps = clip.labels[0].byte().numpy()
    propagator = Propagator(tiny().eval(), memory, ShortSide())
    first, late = (maps[index] * (maps[index] == id_) for index, id_ in ((0, 1), (3, 2)))
    results = [propagator.step(image, {0: first, 3: late}.get(index)) for index, image in enumerate(images)]
    assert all(set(np.unique(result)) <= {0, 1} for result in results[:3])
    assert (results[3][late > 0] == 2).all()
    assert all(result.shape == (64, 64) for result in results)


def test_a_bank_of_tokens_is_no_memory_for_those_who_search_windows(command: Callable[..., Any], davis: Path) -> None:
    done = command(
        "benchmark", "method=mamp_small", "memory=adaptive", "flow=none", "dataset=davis2017", f"dataset.root={davis}"
    )
    done.error(1, "memory=adaptive merges tokens of frames, and this method needs frames: choose another memory=")


TINY = ["method.channels=[8,8]", "method.decoder_width=4"]
RESIDUAL = ["method.depth=18", "method.width=4", "method.weights=null"]
SHORT = ["data.clips.size=32", "data.workers=0", "data.batch_size=2", "data.validation=null"]
SHORT += ["trainer.max_steps=2", "trainer.accelerator=cpu", "trainer.devices=1"]


def stills(root: Path) -> None:
    """Three images with a bright square, as ECSSD has them."""
    for kind in ("images", "ground_truth_mask"):
        (root / kind).mkdir(parents=True)
    for i in range(3):
        mask = np.zeros((40, 48), np.uint8)
        mask[10:26, 6 + 6 * i : 24 + 6 * i] = 255
        Image.fromarray(mask).save(root / "ground_truth_mask" / f"{i}.png")
        Image.fromarray(mask).convert("RGB").save(root / "images" / f"{i}.jpg")


def train(command: Callable[..., Any], *overrides: str) -> str:
    networks = [] if any("method.network" in word for word in overrides) else RESIDUAL
    done = command("train", *TINY, *SHORT, *networks, *overrides)
    assert done.status == 0, done.err
    return str(done.out)


def test_protocol_3_trains_on_stills_and_then_on_video(
    command: Callable[..., Any], davis: Path, tmp_path: Path
) -> None:
    stills(tmp_path / "ecssd")
    others = [f"~data.sources.{name}" for name in ("coco", "msra10k", "pascal_s", "voc2012")]
    root = f"data.sources.ecssd.dataset.root={tmp_path / 'ecssd'}"
    assert "trained 2 steps" in train(command, "experiment=munet/static", *others, root, "name=tiny")
    source = "data.sources.davis2017.dataset"
    video = [f"{source}.root={davis}", f"{source}.split=val", "data.clips.sampler.positions=[0,1,2]"]
    assert "weights of runs/munet-static/" in train(command, "experiment=munet/static_davis", *video, "name=tiny")


@pytest.mark.slow
def test_the_small_recipes_train_one_after_the_other(command: Callable[..., Any], davis: Path) -> None:
    alone = ["~data.sources.davis2016", "trainer.precision=bf16-mixed", "name=tiny"]
    sizes = [f"data.sources.collage.dataset.{each}" for each in ("videos=1", "length=8", "size=[48,64]")]
    train(command, "experiment=munet/small_static", "~data.sources.davis2017", *alone, *sizes)
    source = "data.sources.davis2017.dataset"
    video = [f"{source}.{each}" for each in (f"root={davis}", "split=val", "resolution=480p")]
    settings = ["experiment=munet/small_davis", *alone, *video]
    assert "weights of runs/munet-small_static/" in train(command, *settings)


@pytest.mark.slow
def test_objects_are_pasted_into_videos_without_masks(command: Callable[..., Any], davis: Path, tmp_path: Path) -> None:
    """The recipe of the shipped weights, from a file in place of timm's download."""
    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "weights.pth")
    initial = f"method.weights={tmp_path / 'weights.pth'}"
    sources = ["~data.sources.davis2016", "~data.sources.davis2017", "data.sources.collage.dataset.videos=1"]
    frames = f"data.sources.unlabelled2.dataset.root={davis / 'JPEGImages/480p'}"
    small = ["data.sources.collage.dataset.length=8", "data.sources.collage.dataset.size=[48,64]", "name=tiny"]
    settings = ["experiment=munet/small_imagenet", "method.network=test_efficientnet", *sources, frames, *small]
    assert "trained 2 steps" in train(command, *settings, initial)


def test_each_row_of_table_4_has_its_parts() -> None:
    """Rows a, b, c, d, e and g, and f: displacement, uncertainty, fusion, hardest, overlap."""
    rows = sweep.jobs("train", ["sweep=munet/table4"], multirun=False)
    assert rows is not None
    found = []
    for row in rows:
        method = configuration.resolve(configuration.compose(*row))["method"]
        motion = method["motion"] or {"displaced": False, "uncertain": False}
        parts = (motion["displaced"], motion["uncertain"], method["fusion"], method["hardest"], method["overlap"])
        found.append(parts)
    assert found == [
        (False, False, "attention", 1, 0),
        (False, False, "attention", 0.4, 1),
        (True, True, "attention", 1, 0),
        (True, False, "attention", 0.4, 1),
        (True, True, "attention", 0.4, 1),
        (True, True, "add", 0.4, 1),
    ]
