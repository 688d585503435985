"""What the authors' code does otherwise than the paper: each part changes what it says, and all of them go together."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vosbench.contract import Clip, Context, Segmented
from vosbench.inference.memory import FrameMemory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.methods.mask_embedding.crops import MultiCrop
from vosbench.methods.mask_embedding.dino import Dino
from vosbench.methods.mask_embedding.method import MaskEmbedding
from vosbench.methods.mask_embedding.networks import FusedFrameMaskEncoder
from vosbench.methods.mask_embedding.optimizer import adam
from vosbench.methods.mask_embedding.reading import Features, Memory
from vosbench.methods.mask_embedding.variants import VARIANTS, Variant
from vosbench.nn.cbam import CBAM
from vosbench.runs.names import run_name, stage_name
from vosbench.weights.loading import initialise

SIZE = (32, 40)
PARTS = [field.name for field in fields(Variant)]


def made(cls: type[MaskEmbedding] = MaskEmbedding, /, **settings: object) -> MaskEmbedding:
    """As in the paper, but for the parts of the released variant that are set, or as `variant` says."""
    torch.manual_seed(0)
    small: dict[str, Any] = {"widths": (8, 8), "channels": (16, 24), "decoder_widths": (24, 16, 8)}
    parts: dict[str, Any] = {name: settings.pop(name) for name in PARTS if name in settings}
    if "fused" in parts:
        settings["variant"] = "released"
    method = cls(**{**small, **settings}).eval()
    if parts:
        method.variant = replace(VARIANTS["paper"], **parts)
    return method


def clip() -> Clip:
    """Three frames with one square that moves, as its pseudo-label."""
    frames, labels = torch.rand((1, 3, 3, *SIZE), generator=torch.Generator().manual_seed(0)), torch.zeros(1, 3, *SIZE)
    for index in range(3):
        labels[:, index, 8:24, 4 * index : 4 * index + 16] = 1
    valid = torch.ones(labels.shape, dtype=torch.bool)
    return Clip(frames, None, torch.tensor([[0, 1, 6]]), ("a",), valid, labels.long())


def losses(**settings: object) -> dict[str, Tensor]:
    method = made(segments=1, **settings).train()
    torch.manual_seed(1)
    return method.loss(clip())


@pytest.mark.parametrize(("depth", "parameters"), [(18, 16.98e6), (50, 25.62e6)])
def test_the_fused_encoder_has_the_released_size(depth: Any, parameters: float) -> None:
    count = sum(parameter.numel() for parameter in FusedFrameMaskEncoder(depth).parameters())
    assert count == pytest.approx(parameters, rel=1e-3)


def test_attention_scales_channels_and_places() -> None:
    attention, maps = CBAM(32), torch.randn(2, 32, 9, 9)
    factors = attention(maps) / maps
    assert factors.min() > 0
    assert factors.max() < 1
    channel = torch.sigmoid(attention.channels(maps.mean((2, 3))) + attention.channels(maps.amax((2, 3))))
    place = factors / channel[..., None, None]
    torch.testing.assert_close(place, place[:, :1].expand_as(place), rtol=1e-3, atol=1e-4)


def test_the_fused_encoder_sees_the_map_of_its_own_frame() -> None:
    encoder = FusedFrameMaskEncoder(18, (8, 8), 16).eval()
    images, masks, last = torch.rand(2, 3, *SIZE), torch.rand(2, 3, *SIZE), torch.rand(2, 64, 4, 5)
    with torch.no_grad():
        both = encoder(images, masks, last)
        alone = encoder(images[1:], masks[1:], last[1:])
        other = encoder(images[1:], masks[1:], last[:1])
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(alone, other)


def test_objects_that_start_late_have_values_with_the_fused_encoder() -> None:
    method = made(fused=True)
    features = method.encode(torch.rand(1, 3, *SIZE))
    mask = torch.zeros(1, 2, *SIZE)
    mask[:, 1, :16, :16] = 1
    with torch.no_grad():
        extended = method.extend(method.memorize(features, mask), 1)
        known = method.memorize(features, torch.cat([mask, torch.zeros(1, 1, *SIZE)], 1))
    torch.testing.assert_close(extended.values, known.values, rtol=2e-2, atol=2e-3)  # its inputs are in half precision


def test_a_frozen_trunk_learns_nothing_and_keeps_its_statistics() -> None:
    method = made(freeze_trunk=True).train()
    before = {key: value.clone() for key, value in method.key_encoder.trunk.state_dict().items()}
    torch.stack(list(method.loss(clip()).values())).sum().backward()
    assert all(parameter.grad is None for parameter in method.key_encoder.trunk.parameters())
    assert all(parameter.grad is not None for parameter in method.key_encoder.head.parameters())
    assert all(torch.equal(value, before[key]) for key, value in method.key_encoder.trunk.state_dict().items())
    assert method.eval().train().key_encoder.trunk.training is False


def test_all_frames_are_supervised_from_those_before() -> None:
    """In each round, the mean of the second frame, from the first, and of the third, from both."""
    method, batch = made(segments=1, supervise_all=True), clip()
    assert batch.pseudo_labels is not None
    both = method.loss(batch)
    method.variant = replace(method.variant, supervise_all=False)
    third = method.loss(batch)
    second = method.loss(
        Clip(batch.frames[:, :2], None, batch.indices[:, :2], ("a",), batch.valid[:, :2], batch.pseudo_labels[:, :2])
    )
    for name, loss in both.items():
        torch.testing.assert_close(loss, (second[name] + third[name]) / 2)


def test_hard_coarse_masks_are_for_training_alone() -> None:
    soft, hard = losses(), losses(hard_coarse=True)
    assert torch.equal(soft["segmentation_0"], hard["segmentation_0"])  # V does not see them there
    assert not torch.allclose(soft["segmentation_1"], hard["segmentation_1"])
    for one, other in zip(run().results, run(hard_coarse=True).results, strict=True):
        assert torch.equal(one, other)


class Notes(MaskEmbedding):
    """Keeps all that it memorizes and segments."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.memories: list[Memory] = []
        self.results: list[Tensor] = []
        self.seen: list[Tensor] = []

    def memorize(self, features: Features, masks: Tensor) -> Memory:
        self.memories.append(super().memorize(features, masks))
        return self.memories[-1]

    def segment(self, query: Features, context: Context[Features, Memory]) -> Segmented[Features]:
        found = super().segment(query, context)
        self.results.append(found.scores)
        return found

    def _values(self, image: Tensor, masks: Tensor, last: Tensor) -> Tensor:
        self.seen.append(masks)
        return super()._values(image, masks, last)


def run(late: int | None = None, /, **settings: object) -> Notes:
    """Four frames of a video with a first mask, and with a second object that starts at frame `late`."""
    method = made(Notes, **{"rounds": 1, **settings})
    assert isinstance(method, Notes)
    propagator = Propagator(method, FrameMemory(last_n=3), ShortSide())
    pictures = torch.rand((4, *SIZE, 3), generator=torch.Generator().manual_seed(0)).mul(255).byte().numpy()
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[8:24, 4:28] = 1
    second = torch.zeros_like(mask)
    second[:, 30:] = 2
    given = {late: second.numpy(), 0: mask.numpy()}
    for index, picture in enumerate(pictures):
        propagator.step(picture, given.get(index))
    return method


def test_propagating_coarse_masks_is_label_propagation_beside_the_results() -> None:
    coarse, labels, refined = run(propagate="coarse"), run(decode=False), run()
    for kept, alone in zip(coarse.memories, labels.memories, strict=True):
        torch.testing.assert_close(kept.masks, alone.masks, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(refined.memories[2].masks, coarse.memories[2].masks)
    assert torch.equal(coarse.results[0], refined.results[0])  # the first is read from the given mask


def test_an_object_that_starts_late_is_propagated_with_coarse_masks() -> None:
    """Where it starts nothing has been warped to it, but later frames have to read it there."""
    coarse, refined = run(2, propagate="coarse"), run(2)
    kept = coarse.memories[2].masks[0]
    assert (kept[2, :, -1] == 1).all()
    assert not kept[2, :, :-1].any()
    torch.testing.assert_close(kept[:, :, :-1].sum(0), torch.ones(4, 4))
    assert not torch.equal(coarse.memories[2].masks[:, 1], refined.memories[2].masks[:, 1])


def test_a_late_object_is_absent_from_log_odds_as_from_probabilities() -> None:
    for log_odds, nowhere in ((False, 0.0), (True, -8.06)):
        method = run(2, log_odds_memory=log_odds)
        extended = [masks for masks in method.seen if masks.shape[1] == 1 and masks.max() == masks.min()]
        found = sorted(masks.max().item() for masks in extended)  # of the frame before and of the given one
        assert found == pytest.approx([nowhere, 0], abs=0.01)


def test_only_results_are_memorized_as_log_odds() -> None:
    plain, odds = run(), run(log_odds_memory=True)
    assert torch.equal(odds.memories[0].values, plain.memories[0].values)
    assert not torch.allclose(odds.memories[1].values, plain.memories[1].values)
    assert max(masks.max() for masks in plain.seen) <= 1
    memorized = odds.seen[2]  # of frame 0, in round 1 of frame 1, and of frame 1
    torch.testing.assert_close(memorized, odds.results[0][:, 1:].logit(1e-7) / 2)


def test_the_mean_output_lies_between_the_refined_and_the_coarse_masks() -> None:
    refined, mean, coarse = (run(**settings).results[0] for settings in ({}, {"output": "mean"}, {"rounds": None}))
    torch.testing.assert_close(mean, ((refined.logit(1e-7) / 2 + coarse) / 2).softmax(1))
    torch.testing.assert_close(mean.sum(1), torch.ones_like(mean[:, 0]))


def test_the_released_variant_is_all_of_its_parts() -> None:
    """Each by itself gives other results or another loss than the paper's; together they give the variant's."""
    given = torch.rand(1, 2, *SIZE, generator=torch.Generator().manual_seed(2)).softmax(1)

    def outcome(**settings: object) -> list[Tensor]:
        method = made(segments=1, rounds=1, **settings)
        query = method.encode(clip().frames[:, 0])
        small = method.memorize(query, given).masks
        return [
            *run(propagate="coarse", **settings).results,
            small,
            *losses(supervise_rounds=(1,), **settings).values(),
        ]

    paper, released = outcome(), outcome(variant="released")
    for name in PARTS:
        alone = outcome(**{name: True})
        assert not all(map(torch.equal, alone, paper)), name
        assert not all(map(torch.equal, alone, released)), name
    together = outcome(**dict.fromkeys(PARTS, True))
    assert all(map(torch.equal, together, released))
    assert all(map(torch.equal, outcome(variant="paper"), paper))


def test_the_optimizer_tells_biases_and_keys_by_name() -> None:
    network = nn.ModuleDict(
        {"key_encoder": nn.Conv2d(1, 2, 1), "decoder": nn.Conv2d(1, 2, 1), "frozen": nn.Conv2d(1, 1, 1)}
    )
    network["frozen"].requires_grad_(False)
    groups = adam(network.named_parameters(), 0.1, weight_decay=0.01, bias_rate=2, key_rate=0.5).param_groups
    assert [group["params"][0].numel() for group in groups] == [2, 2, 2, 2]
    assert [group["lr"] for group in groups] == [0.1, 0.2, 0.05, 0.1]
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0, 0.01, 0.0]
    with pytest.raises(ValueError, match="nothing to train"):
        adam(network["frozen"].named_parameters(), 0.1)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["experiment=full"], []),
        (["experiment=full", "seed=1"], ["seed=1"]),
        (["seed=1", "callbacks.clusters=3", "method.width.v=8"], ["method.width.v=8", "seed=1"]),
        (["seeds=1", "method.widths=[8]"], []),
    ],
)
def test_a_stage_finds_the_run_of_the_one_before(overrides: list[str], expected: list[str]) -> None:
    assert stage_name(overrides, ["seed", "method.width"], lambda key: True) == run_name(expected, lambda key: True)
    assert stage_name([*overrides, "name=mine"], ["seed"], lambda key: True) == "mine"


def test_the_first_stage_starts_from_the_backbone_of_the_pre_training(tmp_path: Path) -> None:
    crops = MultiCrop(global_size=32, local_size=16, local_crops=1)
    dino = Dino(crops, width=8, hidden=16, bottleneck=8, outputs=32)
    for parameter in dino.teacher.parameters():
        parameter.data.add_(0.1)  # it has been trained since it was the student's copy
    path = tmp_path / "last.ckpt"
    state = {f"method.{key}": value for key, value in dino.state_dict().items()}
    torch.save({"state_dict": state, "vosbench": {"method": "vosbench.methods.mask_embedding.dino.Dino"}}, path)
    method = made(decode=False)
    assert initialise(method, str(path)) == ["key_encoder.head"]
    for key, value in dino.teacher.trunk.state_dict().items():
        assert torch.equal(value, method.key_encoder.trunk.state_dict()[key])
    with pytest.raises(ValueError, match="has other shapes of"):
        initialise(made(widths=(16, 8)), str(path))


@pytest.mark.slow
def test_stages_start_from_each_other(command: Callable[..., Any]) -> None:
    tiny = ["method.widths=[8,8]", "method.channels=[8,8]", "data=collage", "data.sources.collage.dataset.videos=2"]
    tiny += [
        "data.sources.collage.dataset.length=14",
        "data.sources.collage.dataset.size=[48,64]",
        "data.clips.size=40",
    ]
    tiny += ["data.batch_size=2", "data.validation=null", "trainer.accelerator=cpu", "trainer.devices=1"]
    stage = ["train", *tiny, "data.clips.sampler.gaps=[1]", "data.clips.sampler.probabilities=[1]", "seed=3"]
    early = command(*stage, "experiment=mask_embedding/small_correspondence", "trainer.max_steps=1")
    assert early.status == 0, early.err
    full = [*stage, "experiment=mask_embedding/small_full", "callbacks.pseudo_labels.clusters=3"]
    done = command(*full, "trainer.max_steps=1", "method.depth=50")
    done.error(1, "init=runs/mask_embedding-small_correspondence/", "no run folder")
    done = command(*full, "trainer.max_steps=1")
    assert done.status == 0, done.err
    assert "weights of runs/mask_embedding-small_correspondence/" in done.out
    assert "initial ones of value_encoder, decoder" in done.out
    alone = ["pseudo_labels=none", "method.decode=false", "method.freeze_trunk=false"]
    control = [*stage, "experiment=mask_embedding/small_full", *alone, "trainer.max_steps=1"]
    done = command(*control)
    assert done.status == 0, done.err
    assert "weights of runs/mask_embedding-small_correspondence/" in done.out
    command(*control, "+callbacks.pseudo_labels.finer=2").error(
        1, "callbacks.pseudo_labels", "finer", "leave these out"
    )
