"""DINO's pre-training: its crops, its loss and its teacher."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from vosbench.contract import Clip
from vosbench.methods.mask_embedding import crops as augmentation
from vosbench.methods.mask_embedding.crops import MultiCrop
from vosbench.methods.mask_embedding.dino import Dino, distillation
from vosbench.methods.mask_embedding.ema import Ema, FrozenLastLayer
from vosbench.nn.resnet import ResNet
from vosbench.ops.draws import Draws

SMALL = MultiCrop(global_size=32, local_size=16, local_crops=2)


def dino(outputs: int = 16, seed: int = 0, **options: Any) -> Dino:
    torch.manual_seed(seed)
    return Dino(SMALL, **{"width": 4, "hidden": 16, "bottleneck": 8, "outputs": outputs, **options})


def clip_of(frames: Tensor, valid: Tensor | None = None) -> Clip:
    """Clips of one or more frames, b t 3 h w."""
    b, t, _, h, w = frames.shape
    valid = torch.ones(b, t, h, w, dtype=torch.bool) if valid is None else valid
    return Clip(frames, None, torch.arange(t).expand(b, t), tuple(map(str, range(b))), valid)


def pictures(count: int, size: int = 40) -> Tensor:
    """Smooth coloured noise, each picture of its own colour."""
    noise = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    tint = torch.rand(count, 3, 1, 1, generator=torch.Generator().manual_seed(2))
    smooth: Tensor = transform.resize(
        0.4 * noise + 0.6 * tint, [size, size], InterpolationMode.BILINEAR, antialias=True
    )
    return smooth


def test_a_part_is_scaled_as_torchvision_does_it() -> None:
    images = pictures(3, 50).add(0.2 * torch.rand(3, 3, 50, 50)).clamp(0, 1)
    start, length = torch.tensor([[3, 0], [10, 21], [0, 45]]), torch.tensor([[47, 50], [7, 9], [50, 5]])
    mirrored = torch.tensor([False, True, False])
    found = augmentation.cut(images, start, length, mirrored, 20)
    for i in range(3):
        box = [*start[i].tolist(), *length[i].tolist()]
        expected = transform.resized_crop(images[i], *box, [20, 20], InterpolationMode.BICUBIC, True).clamp(0, 1)
        expected = transform.horizontal_flip(expected) if mirrored[i] else expected
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("own", "theirs", "amounts"),
    [
        (augmentation.brightness, transform.adjust_brightness, (0.6, 1.0, 1.4)),
        (augmentation.contrast, transform.adjust_contrast, (0.6, 1.0, 1.4)),
        (augmentation.saturation, transform.adjust_saturation, (0.8, 1.0, 1.2)),
        (augmentation.hue, transform.adjust_hue, (-0.1, 0.0, 0.1)),
    ],
)
def test_colours_change_as_in_torchvision(own: Any, theirs: Any, amounts: tuple[float, ...]) -> None:
    images = torch.rand(3, 3, 9, 7)
    images[:, :, 0] = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1)  # greys have no hue
    images[0, :, 1] = torch.tensor([[1.0, 0.0, 1.0]]).T  # two channels are the largest
    found = own(images, torch.tensor(amounts).view(3, 1, 1, 1))
    for image, changed, amount in zip(images, found, amounts, strict=True):
        torch.testing.assert_close(changed, theirs(image, amount), rtol=0, atol=1e-5)


def test_blur_is_gaussian_and_can_be_none() -> None:
    images = torch.rand(2, 3, 32, 32)
    found = augmentation.gaussian_blur(images, torch.tensor([1.5, augmentation.SHARP]))
    expected = transform.gaussian_blur(images[0], [15, 15], [1.5, 1.5])
    torch.testing.assert_close(found[0, :, 8:-8, 8:-8], expected[:, 8:-8, 8:-8], rtol=0, atol=1e-5)
    assert torch.equal(found[1], images[1])


def test_boxes_have_the_share_and_aspect_asked_for() -> None:
    torch.manual_seed(0)
    start, length = augmentation.draw_boxes(torch.tensor([[200, 300]]).expand(2000, 2), (0.05, 0.14), Draws([0]))
    assert (start >= 0).all()
    assert (start + length <= torch.tensor([200, 300])).all()
    share, aspect = length.prod(1) / (200 * 300), length[:, 1] / length[:, 0]
    assert 0.049 < share.min() < 0.055
    assert 0.135 < share.max() < 0.142
    assert 0.73 < aspect.min() < 0.78
    assert 1.30 < aspect.max() < 1.36
    reach = (start + length).amax(0)
    assert (start.amin(0) <= 3).all()
    assert (reach >= torch.tensor([197, 297])).all()


def test_an_image_too_long_for_a_box_gives_what_fits() -> None:
    start, length = augmentation.draw_boxes(torch.tensor([[4, 400]]), (1.0, 1.0), Draws([0]))
    assert length[0, 0] == 4
    assert 1 <= length[0, 1] < 400
    assert start[0, 0] == 0


def test_crops_are_of_the_picture_alone() -> None:
    """Red pictures at the upper left; where there is nothing but padding it is blue, and would be seen."""
    valid = torch.zeros(6, 40, 40, dtype=torch.bool)
    valid[:3, :25, :30] = valid[3:, :40, :9] = True
    images = torch.where(
        valid.unsqueeze(1), torch.tensor([1.0, 0, 0]).view(3, 1, 1), torch.tensor([0, 0, 1.0]).view(3, 1, 1)
    )
    torch.manual_seed(0)
    for size in (8, 32):
        start, length = augmentation.draw_boxes(torch.tensor([[25, 30]] * 3 + [[40, 9]] * 3), (0.3, 1), Draws([0]))
        found = augmentation.cut(images, start, length, torch.arange(6) % 2 == 0, size)
        torch.testing.assert_close(found, torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(6, 3, size, size))
    plain = [crop for crop in augmented(images, valid) if (crop.std((1, 2)) > 1e-3).any()]
    assert not plain  # no crop has an edge in it


def augmented(images: Tensor, valid: Tensor) -> list[Tensor]:
    return [crop for group in SMALL(images, valid, Draws([0])) for crop in group.flatten(0, 1)]


def test_every_crop_is_its_own_and_repeats_with_the_seed() -> None:
    images, valid = pictures(4), torch.ones(4, 40, 40, dtype=torch.bool)
    torch.manual_seed(3)
    wide, narrow = SMALL(images, valid, Draws([0]))
    assert wide.shape == (2, 4, 3, 32, 32)
    assert narrow.shape == (2, 4, 3, 16, 16)
    assert all(0 <= group.min() <= group.max() <= 1 for group in (wide, narrow))
    assert not torch.equal(wide[0], wide[1])
    assert not torch.equal(narrow[0], narrow[1])
    torch.manual_seed(3)
    assert all(torch.equal(*pair) for pair in zip((wide, narrow), SMALL(images, valid, Draws([0])), strict=True))
    (only,) = MultiCrop(global_size=32, local_crops=0)(images, valid, Draws([0]))
    assert only.shape == (2, 4, 3, 32, 32)


def test_chances_of_the_augmentation() -> None:
    """How many of 600 crops are grey, mirrored, solarised."""
    torch.manual_seed(0)
    ramp = torch.linspace(0.1, 0.4, 32).expand(600, 3, 32, 32) * torch.tensor([1, 0.7, 0.4]).view(3, 1, 1)
    first, second = MultiCrop(global_size=16, local_crops=0, global_scale=(1, 1))(
        ramp, torch.ones(600, 32, 32, dtype=torch.bool), Draws([0])
    )[0]
    for view in (first, second):
        assert ((view.amax(1) - view.amin(1)).amax((1, 2)) < 1e-4).float().mean() == pytest.approx(0.2, abs=0.05)
        assert (view[..., 0].sum((1, 2)) > view[..., -1].sum((1, 2))).float().mean() == pytest.approx(0.5, abs=0.08)
    bright = 1 - (1 - ramp) / 4
    first, second = MultiCrop(global_size=16, local_crops=0)(
        bright, torch.ones(600, 32, 32, dtype=torch.bool), Draws([0])
    )[0]
    assert (first.mean((1, 2, 3)) < 0.4).float().mean() == 0
    assert (second.mean((1, 2, 3)) < 0.4).float().mean() == pytest.approx(0.2, abs=0.05)


def test_the_loss_is_the_mean_over_pairs_of_different_crops() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 3, 7), torch.randn(2, 3, 7).softmax(2)
    terms = [
        -(targets[i, n] * logits[v, n].log_softmax(0)).sum()
        for i in range(2)
        for v in range(5)
        for n in range(3)
        if i != v
    ]
    torch.testing.assert_close(distillation(logits, targets), torch.stack(terms).mean())


def test_the_loss_is_that_of_centred_and_sharpened_outputs_and_moves_the_centre() -> None:
    learner = dino(centre_momentum=0.75)
    learner.centre.normal_()
    before, clip = learner.centre.clone(), clip_of(pictures(4).unsqueeze(1))
    torch.manual_seed(5)
    loss = learner.loss(clip)["distillation"]
    torch.manual_seed(5)
    views = SMALL(clip.frames[:, 0], clip.valid[:, 0], clip.draws())
    with torch.no_grad():
        given, said = learner.student(views), learner.teacher(views[:1])
    assert given.shape == (4, 4, 16)
    assert given.abs().max() <= 1 + 1e-6  # cosines
    torch.testing.assert_close(loss, distillation(given / 0.1, ((said - before) / 0.04).softmax(2)))
    torch.testing.assert_close(learner.centre, 0.75 * before + 0.25 * said.mean((0, 1)))


def test_batch_normalisation_of_the_head_is_an_option() -> None:
    kinds = [[type(layer).__name__ for layer in dino(batch_norm=chosen).teacher.head] for chosen in (False, True)]
    assert [names.count("BatchNorm1d") for names in kinds] == [0, 2]
    assert all(names.count("Linear") == 3 and names.count("GELU") == 2 for names in kinds)


class Alike(MultiCrop):
    """The same crops whatever clip an image is of."""

    def __call__(self, images: Tensor, valid: Tensor, draws: Draws) -> list[Tensor]:
        return super().__call__(images, valid, Draws([0]))


def test_frames_of_clips_are_images_of_their_own() -> None:
    images = pictures(4)
    losses = []
    for shape in ((4, 1), (2, 2)):
        learner = dino()
        clip = replace(clip_of(images.view(*shape, 3, 40, 40)), seeds=tuple(range(shape[0])))
        learner.crops = Alike(global_size=32, local_size=16, local_crops=2)
        torch.manual_seed(0)
        losses.append(learner.loss(clip)["distillation"])
    assert losses[0] == losses[1]


def strides(trunk: ResNet) -> list[int]:
    return [64 // maps.shape[2] for maps in trunk(torch.rand(1, 3, 64, 64))]


def test_the_trunk_is_the_standard_network_and_the_teacher_starts_equal_without_gradients() -> None:
    learner = Dino(SMALL, hidden=8, bottleneck=8, outputs=8)
    assert sum(p.numel() for p in learner.student.trunk.parameters()) == 11_176_512  # ResNet-18 without its head
    assert strides(learner.student.trunk) == [4, 8, 16, 32]
    assert {"student.trunk.layer1.0.conv1.weight", "teacher.trunk.layer4.1.bn2.running_var", "centre"} <= set(
        learner.state_dict()
    )
    for fast, slow in zip(learner.student.parameters(), learner.teacher.parameters(), strict=True):
        assert torch.equal(fast, slow)
        assert fast.data_ptr() != slow.data_ptr()
        assert not slow.requires_grad
    deep = Dino(SMALL, depth=50, width=4, hidden=8, bottleneck=8, outputs=8)
    assert strides(deep.student.trunk) == [4, 8, 16]


def textures(count: int, size: int = 40) -> Tensor:
    """Stripes across, stripes down, chequers and plain areas in turn, in two random colours each."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    waves = [(1.2 * y).sin(), (1.2 * x).sin(), (0.9 * x).sin() * (0.9 * y).sin(), torch.zeros(size, size)]
    colours = torch.rand(count, 2, 3, 1, 1, generator=torch.Generator().manual_seed(0)) / 2
    return torch.stack([one + two * (1 + waves[i % 4]) / 2 for i, (one, two) in enumerate(colours)])


def test_the_loss_falls_as_the_student_learns_what_the_teacher_says() -> None:
    """The teacher stays as it is here; textures look different to it whatever is done to their colours."""
    learner, clip = dino(64, width=8, hidden=32, batch_norm=True), clip_of(textures(16).unsqueeze(1))
    optimizer = torch.optim.SGD(learner.student.parameters(), 0.3, momentum=0.9)
    before = copy.deepcopy(list(learner.teacher.parameters()))
    losses = []
    for step in range(50):
        torch.manual_seed(step)
        loss = learner.loss(clip)["distillation"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < sum(losses[:5]) - 5, losses
    assert all(torch.equal(*pair) for pair in zip(before, learner.teacher.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in learner.teacher.parameters())
    torch.manual_seed(0)
    wide, narrow = SMALL(clip.frames[:, 0], clip.valid[:, 0], clip.draws())
    said = (learner.student([wide, narrow]).detach() / 0.1).softmax(2).mean(0)
    said = torch.nn.functional.normalize(said - said.mean(0))
    alike, kinds = said @ said.mT, torch.arange(16) % 4
    same = kinds.unsqueeze(0) == kinds.unsqueeze(1)
    assert alike[same].mean() > alike[~same].mean() + 0.2


def test_momentum_rises_by_a_cosine() -> None:
    ema = Ema(0.996)
    assert ema.at(0, 100) == pytest.approx(0.996)
    assert ema.at(50, 100) == pytest.approx(0.998)
    assert ema.at(25, 100) == pytest.approx(1 - 0.004 * (1 + math.sqrt(0.5)) / 2)
    assert ema.at(100, 100) == 1


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: dino(width=0), ["method", "width=0"]),
        (lambda: dino(student_temperature=0), ["method", "student_temperature=0", "more than 0"]),
        (lambda: dino(centre_momentum=1), ["method", "centre_momentum=1"]),
        (lambda: MultiCrop(local_size=0, local_crops=-1), ["method.crops", "local_size=0", "local_crops=-1"]),
        (lambda: MultiCrop(global_scale=(0.5, 1.5)), ["method.crops", "global_scale=[0.5, 1.5]"]),
        (lambda: MultiCrop(local_scale=[0.2, 0.1]), ["method.crops", "local_scale=[0.2, 0.1]"]),
        (lambda: Ema(1.5), ["callbacks", "momentum=1.5"]),
        (lambda: FrozenLastLayer(-1), ["callbacks", "steps=-1"]),
    ],
)
def test_wrong_options_are_named(make: Callable[[], object], parts: list[str]) -> None:
    with pytest.raises(ValueError, match="give") as error:
        make()
    assert all(part in str(error.value) for part in parts)


def test_all_processes_have_the_centre_of_all_their_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, own, other = dino(), torch.randn(2, 3, 16), torch.randn(2, 3, 16)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda mean: mean.add_(other.mean((0, 1))))
    learner._recentre(own)
    torch.testing.assert_close(learner.centre, 0.1 * torch.cat([own, other], 1).mean((0, 1)))
