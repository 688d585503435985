"""Kernel centres, their inverse, and reading through a flow."""

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor

from vosbench.ops.align import gather_positions, resize, sample_centres, upsample_centres

STRIDE = 4


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def disc(size: int = 120, radius: float = 40) -> Tensor:
    """Background and a disc, (1, 2, size, size)."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    inside = ((y - size / 2) ** 2 + (x - size / 2) ** 2 < radius**2).float()
    return torch.stack((1 - inside, inside)).unsqueeze(0)


def copied(masks: Tensor, times: int, *, exact: bool) -> Tensor:
    """Masks handed on from frame to frame of a static video: to the feature grid, back, argmax."""
    for _ in range(times):
        grid = sample_centres(masks, STRIDE)
        scores = upsample_centres(grid, STRIDE) if exact else resize(grid, (masks.shape[2], masks.shape[3]))
        masks = nnf.one_hot(scores.argmax(1), 2).permute(0, 3, 1, 2).float()
    return masks


def iou(one: Tensor, other: Tensor) -> float:
    one, other = one[:, 1] > 0, other[:, 1] > 0
    return float((one & other).sum() / (one | other).sum())


def test_a_static_mask_stays_under_exact_upsampling() -> None:
    once = copied(disc(), 1, exact=True)
    assert iou(once, disc()) > 0.94
    assert torch.equal(copied(once, 40, exact=True), once)


def test_a_static_mask_erodes_under_released_upsampling() -> None:
    """Half-pixel bilinear shifts it to the bottom right by 1.5 pixels a copy, and corners go first."""
    ious = [iou(copied(disc(), times, exact=False), disc()) for times in (1, 5, 40)]
    assert ious[0] == pytest.approx(0.94, abs=0.03)
    assert ious[1] == pytest.approx(0.81, abs=0.03)
    assert ious[2] < 0.05


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize(("h", "w"), [(5, 7), (1, 1), (2, 1)])
def test_sampling_undoes_upsampling_exactly(stride: int, h: int, w: int) -> None:
    scores = random(2, 3, h, w)
    grown = upsample_centres(scores, stride)
    assert grown.shape == (2, 3, h * stride, w * stride)
    assert torch.equal(sample_centres(grown, stride), scores)


def test_upsampling_reads_pixel_p_at_p_over_stride() -> None:
    row = torch.tensor([0.0, 4.0, 8.0]).view(1, 1, 1, 3)
    assert upsample_centres(row, 4)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8]


def test_upsampled_scores_still_sum_to_one() -> None:
    scores = random(1, 4, 6, 5).softmax(1)
    torch.testing.assert_close(upsample_centres(scores, 4).sum(1), torch.ones(1, 24, 20))


def test_resizing_has_half_pixel_centres() -> None:
    row = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    assert resize(row, (1, 4))[0, 0, 0].tolist() == [0, 1, 3, 4]


def gathered(maps: Tensor, positions: Tensor) -> Tensor:
    return nnf.pad(maps.flatten(2), (0, 1))[:, :, positions]


def warped(maps: Tensor, flow: Tensor) -> Tensor:
    """Bilinear backward warp with zero padding, written with grid_sample."""
    h, w = maps.shape[2:]
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    place = torch.stack((2 * (x + flow[0]) / (w - 1) - 1, 2 * (y + flow[1]) / (h - 1) - 1), -1)
    return nnf.grid_sample(maps, place.unsqueeze(0), mode="bilinear", padding_mode="zeros", align_corners=True)


@pytest.mark.parametrize(("h", "w"), [(9, 14), (16, 8)])
def test_gathering_equals_a_warp_by_the_rounded_flow(h: int, w: int) -> None:
    maps, flow = random(1, 3, h, w).double(), 12 * (random(2, h, w, seed=1).double() - 0.5)
    positions = gather_positions(flow)
    assert 0.1 < (positions == h * w).double().mean() < 0.9
    torch.testing.assert_close(gathered(maps, positions), warped(maps, flow.round()))


def test_flow_is_x_then_y_from_query_to_reference() -> None:
    flow = torch.zeros(2, 4, 6)
    flow[0], flow[1] = 2, -1
    positions = gather_positions(flow)
    assert positions[1, 0] == 0 * 6 + 2
    assert positions[3, 3] == 2 * 6 + 5
    assert positions[0, 0] == positions[1, 4] == 4 * 6


def test_no_flow_reads_every_cell_itself() -> None:
    assert torch.equal(gather_positions(torch.zeros(2, 5, 7)).flatten(), torch.arange(35))


def test_huge_flow_points_outside() -> None:
    for value in (1e9, -1e9, float("inf")):
        assert (gather_positions(torch.full((2, 5, 7), value)) == 35).sum() >= 34
