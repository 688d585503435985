"""Motion of cells: relative to the camera's, in units of the video's fast motion; pseudo-labels that use it."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vosbench.methods.mask_embedding.cell_motion import cell_motion
from vosbench.nn.optical_flow import Dis
from vosbench.ops.cluster import cluster_video

H, W, SIDE = 96, 128, 40


def texture(seed: int, height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2))


def film(frames: int, camera: int, speed: int) -> list[Tensor]:
    """A square moves over a ground of the same texture to the right, while the camera pans."""
    ground, square = texture(0, H, W + 60), texture(1, SIDE, SIDE)
    found = []
    for index in range(frames):
        image = ground[:, 20 + camera * index : 20 + camera * index + W].copy()
        left = 24 + speed * index
        image[24 : 24 + SIDE, left : left + SIDE] = square
        found.append(torch.from_numpy(image))
    return found


def test_the_camera_does_not_count() -> None:
    found = cell_motion(Dis(), film(4, camera=3, speed=2), stride=8)
    assert found.shape == (4, 2, H // 8, W // 8)
    inside, outside = found[1, :, 4:7, 4:7], found[1, :, :2]
    torch.testing.assert_close(outside, torch.zeros_like(outside), atol=0.15, rtol=0)
    torch.testing.assert_close(inside[0], torch.ones(3, 3), atol=0.15, rtol=0)
    assert inside[1].abs().max() < 0.15


def test_the_last_frame_moves_as_the_one_before() -> None:
    found = cell_motion(Dis(), film(3, camera=0, speed=3), stride=8)
    torch.testing.assert_close(found[2, :, 4:7, 5:7], found[1, :, 4:7, 5:7], atol=0.1, rtol=0)


def test_slow_motion_is_not_enlarged_and_a_single_frame_is_still() -> None:
    still = film(1, 0, 0)
    assert not cell_motion(Dis(), still, stride=8).any()
    assert cell_motion(Dis(), 3 * still, stride=8).abs().max() < 0.1


def test_frames_of_any_size() -> None:
    assert cell_motion(Dis(), [frame[:93, :121].contiguous() for frame in film(2, 0, 1)], stride=8).shape == (
        2,
        2,
        12,
        16,
    )


@pytest.mark.parametrize(("weight", "seen"), [(0.0, False), (1.0, True)])
def test_what_moves_is_a_segment(weight: float, seen: bool) -> None:
    """Keys alone cannot tell the square from its ground."""
    motion = weight * cell_motion(Dis(), film(4, camera=3, speed=2), stride=8)
    keys = torch.ones(4, 3, H // 8, W // 8)
    labels = cluster_video(keys, clusters=2, alpha=0.0, beside=motion).labels
    truth = torch.zeros(4, H // 8, W // 8, dtype=torch.bool)
    for index in range(4):
        truth[index, 3:8, 3 + index // 4 : 8 + index // 4] = True
    overlap = ((labels == 1) & truth).sum() / ((labels == 1) | truth).sum()
    assert (overlap > 0.7) == seen
