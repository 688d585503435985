"""Lab of floating-point images."""

import itertools

import cv2
import numpy as np
import pytest
import torch
from jaxtyping import Float

from vosbench.ops.colour import rgb_to_lab

Picture = Float[np.ndarray, "h w 3"]


def lab(rgb: Picture) -> Picture:
    return rgb_to_lab(torch.from_numpy(rgb).permute(2, 0, 1).unsqueeze(0))[0].permute(1, 2, 0).numpy()


def random() -> Picture:
    return np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)


def extreme() -> Picture:
    levels = (0, 1 / 255, 0.04, 0.041, 0.5, 254 / 255, 1)
    return np.array(list(itertools.product(levels, repeat=3)), np.float32).reshape(49, 7, 3)


@pytest.mark.parametrize("rgb", [random(), extreme()], ids=["random", "extreme"])
def test_equals_opencv(rgb: Picture) -> None:
    """From linear RGB, whose cube roots OpenCV interpolates: rarely, near black, it is off by more."""
    linear = np.where(rgb > 0.04045, ((rgb.astype(np.float64) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    error = np.abs(lab(rgb) - cv2.cvtColor(linear.astype(np.float32), cv2.COLOR_LRGB2LAB)).max(2)
    assert np.quantile(error, 0.98) < 1e-3
    assert error.max() < 0.02


@pytest.mark.parametrize("rgb", [random(), extreme()], ids=["random", "extreme"])
def test_is_near_opencvs_table_for_srgb(rgb: Picture) -> None:
    """From sRGB OpenCV interpolates in one coarse table."""
    assert np.abs(lab(rgb) - cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)).max() < 0.6


def test_known_colours() -> None:
    rgb = np.array([[[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 0, 1]]], np.float32)
    expected = np.array([[0, 0, 0], [100, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]])
    np.testing.assert_allclose(lab(rgb)[0], expected, atol=0.02)


def test_grey_has_no_colour_and_any_number_of_images_will_do() -> None:
    grey = torch.linspace(0, 1, 20).expand(2, 5, 3, 4, 20)
    assert rgb_to_lab(grey)[..., 1:, :, :].abs().max() < 1e-3
    assert rgb_to_lab(grey[0, 0]).shape == (3, 4, 20)


def test_gradients_are_finite_everywhere() -> None:
    rgb = torch.from_numpy(extreme()).permute(2, 0, 1).unsqueeze(0).requires_grad_()
    rgb_to_lab(rgb).sum().backward()
    assert rgb.grad is not None
    assert rgb.grad.isfinite().all()


def test_mixed_precision_does_not_touch_colours() -> None:
    rgb = torch.from_numpy(random()).permute(2, 0, 1).unsqueeze(0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(rgb_to_lab(rgb), rgb_to_lab(rgb.float()))
    torch.testing.assert_close(rgb_to_lab(rgb), torch.from_numpy(lab(random())).permute(2, 0, 1).unsqueeze(0))
