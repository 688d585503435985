"""Augmented clips: what moves with what, bounds of the draws, crops that show objects, and what lies outside."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from vosbench.datasets.augment import Augment, Warp, shows

STILL: dict[str, Any] = {
    "flip": 0.0,
    "jitter": (0, 0, 0, 0),
    "rotation": 0,
    "shift": 0,
    "scale": (1, 1),
    "shear": 0,
    "area": (1.0, 1.0),
    "aspect": (1, 1),
}


def ramp(height: int = 48, width: int = 64, count: int = 3) -> torch.Tensor:
    """Frames whose red tells the row, green the column; blue is even."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([3 * rows, 3 * columns, torch.full_like(rows, 90)]).byte().expand(count, -1, -1, -1)


def quarters(height: int = 48, width: int = 64, count: int = 3) -> torch.Tensor:
    """Labels 1 to 4, of the quarters of the frame."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (1 + (rows >= height / 2) + 2 * (columns >= width / 2)).byte().expand(count, -1, -1)


def draw(augment: Augment, labels: torch.Tensor, seed: int = 0, size: int = 32) -> Warp:
    count, height, width = labels.shape
    return augment.draw("source", count, height, width, labels, size, np.random.default_rng(seed))


def linear(warp: Warp, height: int = 48, width: int = 64) -> torch.Tensor:
    """Frame pixels (x, y) a pixel of the clip, of every frame."""
    return warp.matrices[:, :, :2] * torch.tensor([width, height])[:, None] / warp.size


def test_nothing_asked_for_changes_nothing() -> None:
    frames, labels = ramp(40, 40), quarters(40, 40)
    warp = draw(Augment(**STILL), labels, size=40)
    torch.testing.assert_close(warp.images(frames), frames.float() / 255, atol=1e-5, rtol=0)
    assert torch.equal(warp.labels(labels), labels.long())
    assert warp.valid().all()


@pytest.mark.parametrize("shared", [True, False])
def test_labels_move_with_their_pixels(shared: bool) -> None:
    augment = Augment(flip=0.5, jitter=(0, 0, 0, 0), rotation=30, area=(0.4, 0.9), shared=shared)
    for seed in range(10):
        warp = draw(augment, quarters(), seed)
        rgb, labels, valid = warp.images(ramp()) * 255 / 3, warp.labels(quarters()), warp.valid()
        # The places that colours tell; close to the quarters' borders the nearest pixel may be the other one.
        rows, columns = rgb[:, 0], rgb[:, 1]
        clear = valid & ((rows - 23.5).abs() > 1) & ((columns - 31.5).abs() > 1)
        expected = 1 + (rows > 23.5).long() + 2 * (columns > 31.5).long()
        assert clear.float().mean() > 0.4
        assert torch.equal(labels[clear], expected[clear])


def test_shared_is_one_geometry_and_one_jitter_of_the_frames_after_the_first() -> None:
    augment = Augment(jitter=(0.3, 0.3, 0.3, 0.3), area=(0.5, 0.5))
    warp = draw(augment, quarters())
    assert (warp.matrices == warp.matrices[0]).all()
    first, second, third = warp.images(ramp())
    assert torch.equal(second, third)
    plain = Warp(warp.matrices, ((), (), ()), 32).images(ramp())
    assert torch.equal(first, plain[0])
    assert (second - plain[1]).abs().max() > 0.05


def test_otherwise_the_first_frame_is_cropped_only_and_the_others_have_their_own() -> None:
    augment = Augment(flip=0.5, area=(0.5, 0.6), aspect=(0.7, 1.4), shared=False, shared_flip=False)
    mirrored = []
    for seed in range(40):
        warp = draw(augment, quarters(), seed)
        steps = linear(warp)
        assert warp.jitters[0] == ()
        assert steps[0, 0, 0] > 0
        assert steps[0, 0, 1] == steps[0, 1, 0] == 0
        assert not torch.equal(warp.matrices[1], warp.matrices[2])
        assert warp.jitters[1] != warp.jitters[2]
        mirrored.append((torch.det(steps) < 0).tolist())
    assert {tuple(which) for which in mirrored} == {(False, a, b) for a in (False, True) for b in (False, True)}


def test_a_share_of_the_clips_has_one_geometry() -> None:
    alike = []
    for seed in range(200):
        matrices = draw(Augment(shared=0.25), quarters(), seed).matrices
        alike.append(bool((matrices == matrices[0]).all()))
        assert alike[-1] or not torch.equal(matrices[1], matrices[2])
    assert 0.15 < np.mean(alike) < 0.35


@pytest.mark.parametrize("shared", [True, False])
def test_a_shared_flip_is_that_of_all_frames(shared: bool) -> None:
    warps = [draw(Augment(flip=0.3, shared=shared), quarters(), seed) for seed in range(100)]
    mirrored = torch.stack([torch.det(linear(warp)) < 0 for warp in warps])
    assert (mirrored == mirrored[:, :1]).all()
    assert 0.2 < mirrored[:, 0].float().mean() < 0.4


def test_draws_keep_their_bounds_and_reach_them() -> None:
    turning = [draw(Augment(**{**STILL, "rotation": 15}), quarters(64, 64), seed) for seed in range(100)]
    angles = [math.degrees(math.atan2(*linear(warp, 64, 64)[0, :, 0].flip(0).tolist())) for warp in turning]
    assert -15 <= min(angles) < -12
    assert 12 < max(angles) <= 15
    growing = [draw(Augment(**{**STILL, "scale": (0.5, 2)}), quarters(64, 64), seed) for seed in range(100)]
    steps = [float(linear(warp, 64, 64)[0, 0, 0]) / 2 for warp in growing]  # 64 pixels are brought to 32
    assert 0.5 <= min(steps) < 0.53
    assert 1.6 < max(steps) <= 2
    moving = [draw(Augment(**{**STILL, "shift": 0.1}), quarters(64, 64), seed).matrices[0, :, 2] for seed in range(100)]
    assert 0.18 < float(torch.stack(moving).abs().max()) <= 0.2 + 1e-6  # of 2, from -1 to 1
    shearing = [draw(Augment(**{**STILL, "shear": 10}), quarters(64, 64), seed) for seed in range(100)]
    shears = torch.stack([linear(warp, 64, 64)[0] / 2 for warp in shearing])
    assert 9 < math.degrees(math.atan(float(shears[:, 0, 1].abs().max()))) <= 10.01
    assert (shears[:, 1] == torch.tensor([0.0, 1.0])).all()


def test_crops_have_their_share_and_aspect_and_lie_anywhere() -> None:
    augment = Augment(**{**STILL, "area": (0.3, 0.5), "aspect": (0.95, 1.05)})
    warps = [draw(augment, quarters(), seed) for seed in range(120)]
    sides = torch.stack([linear(warp)[0].diagonal() * 32 for warp in warps])
    shares, aspects = sides.prod(1) / (48 * 64), sides[:, 0] / sides[:, 1]
    assert 0.3 <= shares.min() < 0.315
    assert 0.49 < shares.max() <= 0.5 + 1e-6
    assert 0.95 - 1e-6 <= aspects.min() < 0.96
    assert 1.04 < aspects.max() <= 1.05 + 1e-6
    assert all(warp.valid().all() for warp in warps)
    edges = torch.stack([warp.matrices[0, :, 2] - warp.matrices[0, :, :2].sum(1) for warp in warps])
    assert (edges.min(0).values < -0.95).all()


def test_a_crop_that_does_not_fit_is_as_large_as_fits_and_its_place_is_the_clips() -> None:
    augment = Augment(**{**STILL, "area": (0.8, 1.0), "aspect": (1, 1), "shared": False})
    places = set()
    for seed in range(20):
        warp = draw(augment, quarters(48, 100), seed)
        torch.testing.assert_close(linear(warp, 48, 100) * 32, torch.eye(2).expand(3, 2, 2) * 48)
        assert warp.valid().all()
        assert (warp.matrices == warp.matrices[0]).all()
        places.add(round(float(warp.matrices[0, 0, 2]), 3))
    assert len(places) > 10


def test_crops_of_a_mirrored_frame_lie_on_the_other_side() -> None:
    """The object at the left edge of the first frame is at the right edge of a mirrored one."""
    labels = torch.zeros(3, 48, 200, dtype=torch.uint8)
    labels[:, 10:40, :40] = 1
    plain = {**STILL, "area": (0.9, 0.9), "flip": 0.7, "shared": False, "shared_flip": False, "tries": 50}
    for seed in range(10):
        assert all(map(shows, draw(Augment(**plain), labels, seed).labels(labels)))


def test_crops_are_drawn_again_until_they_show_an_object() -> None:
    labels = torch.zeros(3, 48, 64, dtype=torch.uint8)
    labels[:, 8:10, 50:52] = 9
    labels[:, 30:] = 255  # void is no object
    found = {}
    for tries in (1, 10):
        augment = Augment(**{**STILL, "area": (0.3, 0.3), "tries": tries, "shared": False})
        maps = torch.stack([draw(augment, labels, seed).labels(labels) for seed in range(50)])
        found[tries] = (maps == 9).flatten(2).any(2).float().mean(0)
    assert found[1].max() < 0.4
    assert found[10].min() > 0.65


def test_later_frames_look_for_the_objects_of_the_first() -> None:
    """The first shows one of two objects in opposite corners; crops of the others show the same one."""
    labels = torch.zeros(4, 64, 64, dtype=torch.uint8)
    labels[:, :8, :8], labels[:, -8:, -8:] = 1, 2
    augment = Augment(**{**STILL, "area": (0.3, 0.3), "tries": 40, "shared": False})
    for seed in range(10):
        first, *others = (shows(map_) for map_ in draw(augment, labels, seed).labels(labels))
        assert len(first) == 1
        assert others == [first] * 3


def test_outside_of_the_picture_is_black_background_and_not_valid() -> None:
    white, labels = torch.full((2, 3, 48, 64), 255, dtype=torch.uint8), torch.ones(2, 48, 64, dtype=torch.uint8)
    augment = Augment(**{**STILL, "jitter": (0.3, 0.3, 0.3, 0.3), "rotation": 45, "shift": 0.3})
    warp = draw(augment, labels, 3)
    valid = warp.valid()
    assert 0.3 < valid.float().mean() < 0.95
    assert torch.equal(warp.labels(labels).bool(), valid)
    images = warp.images(white)
    assert images.masked_select(~valid[:, None]).eq(0).all()
    assert images[0].masked_select(valid[:1]).gt(0.999).all()
    assert images.min() >= 0
    assert images.max() <= 1


def test_jitter_changes_each_colour_as_asked() -> None:
    frames, labels = ramp(32, 32, 2), quarters(32, 32, 2)
    for which, amounts in enumerate(np.eye(4) * 0.4):
        warp = draw(Augment(**{**STILL, "jitter": amounts.tolist()}), labels)
        before, after = warp.images(frames)
        red, _, blue = ((after / before)[:, 8:-8, 8:-8]).flatten(1).unbind()
        if which == 0:
            torch.testing.assert_close(red, red[:1].expand_as(red))
            torch.testing.assert_close(red, blue)
        assert (red - 1).abs().max() > 0.02


def test_areas_may_differ_by_source() -> None:
    augment = Augment(**{**STILL, "area": {"wide": (0.5, 0.5), "close": (0.1, 0.1)}})
    for source, share in {"wide": 0.5, "close": 0.1}.items():
        warp = augment.draw(source, 1, 48, 64, None, 32, np.random.default_rng(0))
        assert float(torch.det(linear(warp))[0]) * 32 * 32 == pytest.approx(share * 48 * 64, rel=1e-4)
    with pytest.raises(ValueError, match=r"augment.area is given for wide, close: add the source other"):
        augment.area("other")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("flip", 2),
        ("jitter", [0.1, 0.1]),
        ("jitter", [0.1, 0.1, 0.1, 0.7]),
        ("rotation", -5),
        ("shift", 1),
        ("scale", [1.1, 0.9]),
        ("shear", 90),
        ("area", [0.8, 1.2]),
        ("aspect", [1]),
        ("tries", 0),
    ],
)
def test_bad_settings_name_their_key(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"data.clips.augment.{key}=.*: give "):
        Augment(**{key: value})
