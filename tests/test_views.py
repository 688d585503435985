"""The random views of the contrastive loss: what they show, where, and what lies outside of them."""

import math

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor

from vosbench.methods.mask_embedding.views import View, draw_views
from vosbench.ops.align import sample_centres
from vosbench.ops.draws import Draws

STRIDE = 8


def still(count: int, h: int, w: int) -> Tensor:
    """Frames in which nothing moves: the colour tells the place."""
    y, x = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(0, 1, w), indexing="ij")
    return torch.stack((x, y, (x + y) / 2)).expand(count, 3, h, w)


@pytest.mark.parametrize("size", [(64, 80), (68, 68), (65, 89)])
@pytest.mark.parametrize(("scale", "flip"), [((0.5, 1), 0), ((0.5, 1), 1), ((1, 1), 1), ((1, 1.5), 0.5)])
def test_images_and_feature_maps_are_transformed_alike(
    size: tuple[int, int], scale: tuple[float, float], flip: float
) -> None:
    """Exactly so where colours are linear in the place, which bilinear reading keeps."""
    torch.manual_seed(0)
    images = still(4, *size).clone()
    images[:, 2] = 0.5
    view = draw_views(Draws([0]), 4, size, scale, flip)
    seen = view.images(images)
    maps = sample_centres(images, STRIDE)
    moved, inside = view.keys(maps, torch.ones_like(maps[:, 0], dtype=torch.bool))
    picture = sample_centres(seen, STRIDE)
    inside &= picture[:, 0] >= 0
    moved, expected = moved.permute(0, 2, 3, 1), nnf.normalize(picture).permute(0, 2, 3, 1)
    assert inside.float().mean() > 0.3
    torch.testing.assert_close(moved[inside], expected[inside], atol=0.15, rtol=0)  # half a cell at the border
    centre = nnf.avg_pool2d(inside.float(), 3, 1, 1) == 1
    assert centre.float().mean() > 0.15
    torch.testing.assert_close(moved[centre], expected[centre], atol=1e-5, rtol=0)


def test_a_view_by_hand() -> None:
    """The middle half of the rows and columns, mirrored: each output pixel by its definition."""
    images = torch.rand(1, 3, 16, 16)
    view = View(torch.tensor([[0.5, -0.5]]), torch.tensor([[4.0, 11.5]]))
    seen = view.images(images)
    for y in (0, 5, 12):
        for x in (0, 2, 7):
            row, column = 4 + 0.5 * y, 11.5 - 0.5 * x
            top, left = math.floor(row), math.floor(column)
            patch = images[0, :, top : top + 2, left : left + 2]
            rows = patch[:, 0] + (row - top) * (patch[:, 1] - patch[:, 0])
            value = rows[:, 0] + (column - left) * (rows[:, 1] - rows[:, 0])
            torch.testing.assert_close(seen[0, :, y, x], value)


def test_drawn_views_show_what_they_should() -> None:
    torch.manual_seed(0)
    h, w = 40, 64
    view = draw_views(Draws([0]), 400, (h, w), (0.5, 1), 0.25)
    first, last = view.offset, view.offset + view.step * torch.tensor([h - 1, w - 1])
    for ends in (first, last):
        assert (ends >= -0.5).all()
        assert (ends <= torch.tensor([h - 0.5, w - 0.5])).all()
    assert (view.step[:, 0] > 0).all()
    assert 0.15 < (view.step[:, 1] < 0).float().mean() < 0.35
    torch.testing.assert_close(view.step[:, 0], view.step[:, 1].abs())
    assert 0.7 < view.step[:, 0].mean() < 0.8
    spread = (first[:, 0] / (1 - view.step[:, 0]).clamp(min=0.1)).std()
    assert spread > 5  # crops are not all in one corner
    assert torch.equal(
        draw_views(Draws([0]), 1, (h, w), (1, 1), 0).images(torch.ones(1, 3, h, w)), torch.ones(1, 3, h, w)
    )


def test_a_whole_view_is_the_picture_and_a_mirrored_one_its_mirror_image() -> None:
    images = torch.rand(2, 3, 24, 32)
    torch.testing.assert_close(draw_views(Draws([0]), 2, (24, 32), (1, 1), 0).images(images), images, atol=1e-5, rtol=0)
    mirrored = draw_views(Draws([0]), 2, (24, 32), (1, 1), 1)
    torch.testing.assert_close(mirrored.images(images), images.flip(3), atol=1e-5, rtol=0)
    # Cell j of the mirrored image lies at pixel 31 - 8j: in the map that is 3.875 - j, and beyond its end for j = 0.
    keys = torch.tensor([0.0, 1, 2, 3]).expand(2, 1, 3, 4)
    moved, inside = mirrored.keys(torch.cat((keys, torch.ones_like(keys)), 1), torch.ones(2, 3, 4, dtype=torch.bool))
    assert inside[0, 0].tolist() == [False, True, True, True]
    places = (moved[:, 0] / moved[:, 1])[..., 1:]
    torch.testing.assert_close(places, torch.tensor([2.875, 1.875, 0.875]).expand(2, 3, 3), atol=1e-4, rtol=0)


def test_views_keep_padding_and_mark_what_lies_outside() -> None:
    images = torch.rand(1, 3, 32, 32)
    images[..., 20:] = -1
    seen = draw_views(Draws([0]), 1, (32, 32), (2, 2), 0).images(images)
    picture = seen[0, 0] >= 0
    assert picture.sum() == pytest.approx(16 * 10, abs=16)
    assert (seen[0].amin(0)[~picture] == -1).all()
