"""The mask-embedding method: its networks, one path for loss and prediction, refinement, objects that start late."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from vosbench.contract import Clip, Context, Entry, Previous
from vosbench.inference.memory import FrameMemory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.methods.mask_embedding.contrastive import Contrastive
from vosbench.methods.mask_embedding.correspondence import Correspondence
from vosbench.methods.mask_embedding.cycle import Cycle
from vosbench.methods.mask_embedding.method import MaskEmbedding
from vosbench.methods.mask_embedding.photometric import Photometric
from vosbench.methods.mask_embedding.reading import Features, Memory
from vosbench.methods.mask_embedding.segments import choose_segments
from vosbench.methods.mask_embedding.variants import VARIANTS
from vosbench.nn.resnet import normalise
from vosbench.ops.colour import normalised_lab
from vosbench.ops.draws import Draws
from vosbench.util.errors import UserError

SIZE = (40, 48)


def made(**settings: object) -> MaskEmbedding:
    torch.manual_seed(0)
    small = {"widths": (8, 8), "channels": (16, 24), "decoder_widths": (24, 16, 8)}
    return MaskEmbedding(**{**small, **settings}).eval()  # type: ignore[arg-type]


def pictures(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, 3, *SIZE), generator=generator)


def masks(*boxes: tuple[int, int]) -> Tensor:
    """Background and a 16×16 square at each (top, left)."""
    objects = torch.zeros((1, len(boxes) + 1, *SIZE))
    for number, (top, left) in enumerate(boxes, 1):
        objects[0, number, top : top + 16, left : left + 16] = 1
    objects[:, 0] = 1 - objects[:, 1:].sum(1)
    return objects


def clip(frames: Tensor, pseudo_labels: Tensor | None) -> Clip:
    """A batch of one clip."""
    valid = torch.ones((1, len(frames), *SIZE)).bool()
    segments = None if pseudo_labels is None else pseudo_labels.unsqueeze(0)
    indices = 5 * torch.arange(len(frames)).unsqueeze(0)
    return Clip(frames.unsqueeze(0), None, indices, ("a",), valid, segments)


def context(method: MaskEmbedding, frames: Tensor, remembered: Tensor) -> tuple[Features, Context[Features, Memory]]:
    first, query = (method.encode(frame.unsqueeze(0)) for frame in frames)
    value = method.memorize(first, remembered)
    return query, Context(1, Previous(0, first, value), (Entry(0, True, value),))


def test_the_paper_networks_have_their_size() -> None:
    """ResNet-18: 11.18 M and a head of .33 M (methods' facts); V like E, with a fourth channel and 512 outputs."""
    method = MaskEmbedding()
    key = sum(parameter.numel() for parameter in method.key_encoder.parameters())
    assert key == 11_176_512 + 512 * 512 + 512 + 1024 + 512 * 128 + 128
    assert method.value_encoder is not None
    value = sum(parameter.numel() for parameter in method.value_encoder.parameters())
    assert value == 11_176_512 + 7 * 7 * 64 + 512 * 512 + 512 + 1024 + 512 * 512 + 512


@pytest.mark.parametrize("depth", [18, 50])
def test_keys_are_unit_vectors_at_stride_8(depth: int) -> None:
    features = made(depth=depth).encode(pictures(1))
    assert features.key.shape == (1, 16, 5, 6)
    torch.testing.assert_close(features.key.norm(dim=1), torch.ones(1, 5, 6))
    assert features.eighth.shape[-2:] == (5, 6)
    assert features.quarter.shape[-2:] == (10, 12)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_scores_are_probabilities_over_objects(rounds: int, variant: str) -> None:
    method = made(rounds=rounds, variant=variant)
    query, seen = context(method, pictures(2), masks((0, 0), (20, 24)))
    with torch.no_grad():
        scores = method.segment(query, seen).scores
    assert scores.shape == (1, 3, *SIZE)
    assert scores.min() >= 0
    torch.testing.assert_close(scores.sum(1), torch.ones(1, *SIZE))


def test_rounds_go_on_from_each_other() -> None:
    """Round 2 differs from round 1 and from round 0, and the same rounds give the same masks."""
    query, seen = context(made(), pictures(2), masks((0, 0)))
    with torch.no_grad():
        results = [made(rounds=rounds).segment(query, seen).scores for rounds in (0, 1, 2, 2)]
    assert torch.equal(results[2], results[3])
    assert not torch.allclose(results[0], results[1])
    assert not torch.allclose(results[1], results[2])


def test_without_a_decoder_labels_are_carried_over() -> None:
    """The same picture again: every cell finds itself, so the masks come back."""
    method = made(decode=False, top_k=1)
    picture = pictures(1)
    query, seen = context(method, picture.repeat(2, 1, 1, 1), masks((8, 16)))
    scores = method.segment(query, seen).scores
    expected = method.memorize(query, masks((8, 16))).masks
    small = torch.nn.functional.interpolate(scores, expected.shape[-2:], mode="area")
    assert (small.argmax(1) == expected.argmax(1)).float().mean() > 0.9
    assert scores.sum(1).max() <= 1 + 1e-5


@pytest.mark.parametrize(("given", "same"), [("whole", False), ("window", True)])
def test_where_a_given_mask_is_searched(given: str, same: bool) -> None:
    """In windows of a single cell, each cell finds what was there, whatever the pictures show."""
    method = made(propagate="coarse", radius=0.5, given=given)
    query, seen = context(method, pictures(2), masks((8, 16)))
    found = method.segment(query, seen).features
    assert found is not None
    assert found.coarse is not None
    assert torch.allclose(found.coarse, seen.references[0].value.masks) is same


@pytest.mark.parametrize("variant", VARIANTS)
def test_loss_and_prediction_are_one_path(variant: str) -> None:
    """The mask that training supervises is the one that the propagator gives, where both read all candidates."""
    method = made(rounds=1, top_k=None, supervise_rounds=(1,), radius=1000, segments=1, variant=variant)
    frames, truth = pictures(2), masks((8, 16))
    query, seen = context(method, frames, truth)
    with torch.no_grad():
        scores = method.segment(query, seen).scores
        labels = torch.cat([truth, truth]).argmax(1)
        loss = method.loss(clip(frames, labels))["segmentation_1"]
    expected = -scores[0].gather(0, labels[1:]).clamp_min(1e-7).log().mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_late_object_is_as_one_absent_before(variant: str) -> None:
    method = made(variant=variant)
    features = method.encode(pictures(1))
    with torch.no_grad():
        extended = method.extend(method.memorize(features, masks((0, 0))), 1)
        empty = torch.cat([masks((0, 0)), torch.zeros((1, 1, *SIZE))], 1)
        known = method.memorize(features, empty)
    torch.testing.assert_close(extended.masks, known.masks)
    torch.testing.assert_close(extended.values, known.values, rtol=1e-2, atol=1e-3)  # its picture is in half precision


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_the_propagator_objects_start_late_and_keep_their_ids(variant: str) -> None:
    run = Propagator(made(rounds=1, variant=variant), FrameMemory(last_n=3), ShortSide())
    given = {0: np.zeros((37, 45), np.uint8), 2: np.zeros((37, 45), np.uint8)}
    given[0][2:20, 2:20], given[2][20:36, 20:40] = 7, 200
    generator = np.random.default_rng(0)
    for index in range(4):
        labels = run.step(generator.integers(0, 255, (37, 45, 3), np.uint8), given.get(index))
        assert labels.shape == (37, 45)
        assert set(np.unique(labels)) <= ({0, 7} if index < 2 else {0, 7, 200})
        if index in given:
            np.testing.assert_array_equal(labels[given[index] > 0], given[index][given[index] > 0])


def test_clips_without_segments_teach_no_segmentation() -> None:
    """Alone they have a loss of 0, which reaches every parameter; beside others they do not count."""
    method, frames = made().train(), pictures(3)
    labels = masks((8, 16), (20, 30)).argmax(1).repeat(3, 1, 1)
    none = clip(frames, torch.zeros_like(labels))
    empty = method.loss(none)
    torch.stack(list(empty.values())).sum().backward()
    assert [term.item() for term in empty.values()] == [0, 0]
    assert all(parameter.grad is not None for parameter in method.parameters())
    some, method = clip(frames, labels), made()  # evaluated: each clip has its own statistics
    torch.manual_seed(0)
    alone = method.loss(some)
    torch.manual_seed(0)
    assert some.pseudo_labels is not None
    both = method.loss(
        replace(
            some,
            frames=some.frames.repeat(2, 1, 1, 1, 1),
            indices=some.indices.repeat(2, 1),
            videos=("a", "b"),
            valid=some.valid.repeat(2, 1, 1, 1),
            pseudo_labels=torch.cat([some.pseudo_labels, torch.zeros_like(some.pseudo_labels)]),
        )
    )
    torch.testing.assert_close(both, alone)


def test_segmenting_changes_neither_features_nor_context() -> None:
    """What `memorize` is to know comes back as new features; the query and what is remembered stay as they were."""
    method = made(propagate="coarse")
    query, seen = context(method, pictures(2), masks((8, 16)))
    with torch.no_grad():
        before = method.memorize(query, masks((8, 16))).masks
        found = method.segment(query, seen)
        assert query.coarse is None
        assert torch.equal(method.memorize(query, masks((8, 16))).masks, before)
        assert found.features is not None
        assert not torch.equal(method.memorize(found.features, masks((8, 16))).masks, before)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top_k": 0}, r"method\.top_k=0: give 1 or more"),
        ({"radius": -1}, r"method\.radius=-1: give more than 0"),
        ({"temperature": 0}, r"method\.temperature=0: give more than 0"),
        ({"rounds": -1}, r"method\.rounds=-1: give 0 or more"),
        ({"segments": 0}, r"method\.segments=0: give 1 or more"),
        ({"supervise_rounds": ()}, r"method\.supervise_rounds=\[\]: give one or more"),
        ({"widths": (8,)}, r"method\.widths=\[8\]: give 2 numbers of 1 or more"),
        ({"channels": (8, 0)}, r"method\.channels=\[8, 0\]: give 2 numbers"),
        ({"decoder_widths": (8, 8)}, r"method\.decoder_widths=\[8, 8\]: give 3 numbers"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        made(**options)


def test_without_anything_to_learn_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to train: choose a correspondence="):
        made().loss(clip(pictures(3), None))


def test_segments_are_drawn_from_the_large_ones_of_the_first_frame() -> None:
    labels = torch.zeros((2, 2, 20, 20), dtype=torch.long)
    labels[0, :, :2, :1] = 1  # 2 of 400 pixels: just the least
    labels[0, :, 5:9, 5:9], labels[0, :, 12:18, 5:9], labels[0, 1, 0, 19] = 2, 3, 4
    labels[1, :, 0, 0] = 7  # too small
    drawn = [choose_segments(labels, 2, Draws((seed, 100 + seed))) for seed in range(50)]
    for masks_ in drawn:
        assert masks_.shape == (2, 2, 3, 20, 20)
        torch.testing.assert_close(masks_.sum(2), torch.ones(2, 2, 20, 20))
        assert not masks_[1, :, 1:].any()
    sizes = [tuple(sorted(masks_[0, 0, 1:].sum((1, 2)).int().tolist())) for masks_ in drawn]
    assert set(sizes) == {(2, 16), (2, 24), (16, 24)}


def test_masks_of_no_rounds_are_the_warped_ones() -> None:
    """Of a network that has a decoder: as of one without."""
    frames, truth = pictures(2), masks((8, 16))
    results = []
    for settings in ({"rounds": None}, {"decode": False}):
        method = made(**settings)
        query, seen = context(method, frames, truth)
        results.append(method.segment(query, seen).scores)
        assert seen.references[0].value.values.shape[2] == 0
    assert torch.equal(*results)


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_reaches_every_parameter(variant: str) -> None:
    method = made(variant=variant).train()
    labels = masks((8, 16), (20, 30)).argmax(1).repeat(3, 1, 1)
    torch.stack(list(method.loss(clip(pictures(3), labels)).values())).sum().backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("logit", [-12.0, -9.0, 9.0, 12.0])
def test_confident_mistakes_have_a_gradient_in_mixed_precision_too(logit: float) -> None:
    method = made(segments=1, supervise_rounds=(1,))
    assert method.decoder is not None
    given = torch.full((1, 1, *SIZE), logit, dtype=torch.bfloat16, requires_grad=True)
    method.decoder.forward = lambda *_: given  # type: ignore[method-assign]
    labels = masks((8, 16)).argmax(1).repeat(2, 1, 1)
    method.loss(clip(pictures(2), labels))["segmentation_1"].backward()
    assert given.grad is not None
    wrong = (labels[1] == 0) == (logit > 0)
    assert given.grad[0, 0][wrong].abs().min() > 1e-4


def test_frames_are_encoded_once_for_both_losses() -> None:
    method = made(correspondence=Contrastive()).train()
    encoded: list[int] = []
    method.key_encoder.register_forward_pre_hook(lambda _, inputs: encoded.append(len(inputs[0])))
    method.loss(clip(pictures(3), masks((8, 16)).argmax(1).repeat(3, 1, 1)))
    assert encoded == [3, 3]  # as they are, and under Φ


@pytest.mark.parametrize("loss", [Contrastive(), Photometric(), Cycle(patch=2, step=2)])
def test_every_correspondence_trains_the_key_encoder(loss: Correspondence) -> None:
    method = made(correspondence=loss, decode=False).train()
    total = torch.stack(list(method.loss(clip(pictures(3), None)).values())).sum()
    total.backward()
    assert total.isfinite()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_a_network_trained_on_lab_sees_lab() -> None:
    seen: list[Tensor] = []
    for loss in (Photometric(), Contrastive()):
        method = made(correspondence=loss, decode=False)
        method.key_encoder.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        method.encode(pictures(1))
    torch.testing.assert_close(seen[0], normalised_lab(pictures(1)))
    torch.testing.assert_close(seen[1], normalise(pictures(1)))
