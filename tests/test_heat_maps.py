"""Joints as heat-maps on a grid or a picture, and positions from them, against plain transcriptions of scripts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from vosbench.inference.geometry import Geometry
from vosbench.inference.heat_maps import HeatMaps, gaussian
from vosbench.util.errors import UserError

CRW = HeatMaps(sigma=0.5, at="grid", best=3)


def crw_heat_map(place: Sequence[float], sigma: float, height: int, width: int) -> np.ndarray:
    """`draw_labelmap_np` of CRW and VFS, cell by cell."""
    left, top = int(place[0] - 3 * sigma), int(place[1] - 3 * sigma)
    right, bottom = int(place[0] + 3 * sigma + 1), int(place[1] + 3 * sigma + 1)
    found = np.zeros((height, width))
    middle = (6 * sigma + 1) // 2
    for y in range(height):
        for x in range(width):
            if left <= x < right and top <= y < bottom:
                squared = (x - left - middle) ** 2 + (y - top - middle) ** 2
                found[y, x] = np.exp(-squared / (2 * sigma**2))
    return found


@pytest.mark.parametrize("sigma", [0.5, 4.0, 0.7])
def test_heat_maps_are_those_of_crw(sigma: float) -> None:
    places = [(5.4, 5.6), (0.2, 1.0), (-0.4, 19.9), (19.5, 0.5), (-9.0, 3.0), (300.0, 2.0), (3.0, -40.0), (10.0, 24.9)]
    for place in places:
        np.testing.assert_allclose(gaussian(np.array(place), sigma, (20, 24)), crw_heat_map(place, sigma, 20, 24))
    assert not gaussian(np.array([np.nan, 2.0]), sigma, (20, 24)).any()


def frame(original: tuple[int, int], seen: tuple[int, int]) -> Geometry:
    return Geometry(original=original, resized=seen, padded=seen)


def test_joints_on_the_grid_as_crw_draws_and_reads_them() -> None:
    """240×320 pixels are seen as 320×320, with cells of 8×8."""
    places = np.array([[100.3, 61.0], [319.0, 239.0], [7.0, 3.0], [400.0, 100.0]])
    geometry = frame((240, 320), (320, 320))
    maps = CRW.drawn(places, geometry, (40, 40))
    expected = np.stack([crw_heat_map((x * 320 / 320 / 8, y * 320 / 240 / 8), 0.5, 40, 40) for x, y in places])
    np.testing.assert_allclose(maps[0, 1:].numpy(), expected, atol=1e-7)
    np.testing.assert_array_equal(maps[0, 0].numpy(), expected.sum(0) == 0)
    scores = torch.rand(1, 5, 40, 40, generator=torch.Generator().manual_seed(0))
    scores[:, 4] = 0
    found = CRW.positions(scores, geometry)
    for joint in range(3):
        flat = scores[0, joint + 1].flatten().numpy()
        best = np.argsort(flat)[-3:]
        weights = flat[best] / flat[best].sum()
        x, y = (best % 40 * weights).sum(), (best // 40 * weights).sum()
        np.testing.assert_allclose(found[joint], (x / 40 * 320, y / 40 * 240), rtol=1e-5)
    assert np.isnan(found[3]).all()


def test_joints_on_the_picture_as_vfs_reads_them() -> None:
    """Where they are given, positions are those before the grid."""
    places, geometry, vfs = np.array([[100.0, 61.0], [31.0, 200.0]]), frame((240, 320), (320, 320)), HeatMaps()
    maps = vfs.drawn(places, geometry, (40, 40))
    assert maps.shape == (1, 3, 40, 40)
    np.testing.assert_allclose(vfs.given(places, geometry, maps), places, atol=0.6)
    np.testing.assert_allclose(vfs.positions(maps, geometry), places, atol=4)
    assert np.abs(vfs.positions(maps, geometry) - places).max() > 0.6


def test_padding_is_no_shift() -> None:
    places = np.array([[12.0, 9.0], [40.0, 30.0]])
    padded = Geometry(original=(46, 60), resized=(46, 60), padded=(48, 64), top=1, left=2)
    for maps in (CRW, HeatMaps(sigma=1.5)):
        np.testing.assert_allclose(maps.positions(maps.drawn(places, padded, (48, 64)), padded), places, atol=0.7)


@pytest.mark.parametrize(("options", "problem"), [({"sigma": 0.0}, "sigma=0.0"), ({"best": 0}, "best=0")])
def test_impossible_options_are_refused(options: Any, problem: str) -> None:
    with pytest.raises(UserError, match=f"inference.joints.{problem}"):
        HeatMaps(**options)
