"""J and F: by hand, against a slow reference, and against the official scorer's numbers."""

import itertools
import math
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
from jaxtyping import Bool

from vosbench.evaluation import metrics
from vosbench.evaluation.metrics import boundary_map, cut_out, tolerance

Mask = Bool[np.ndarray, "h w"]


def draw(*rows: str) -> Mask:
    return np.array([[cell == "#" for cell in row] for row in rows], bool)


def jaccard_and_f(annotation: Mask, prediction: Mask) -> tuple[float, float]:
    radius = tolerance(*annotation.shape)
    return metrics.jaccard_and_f(cut_out(annotation, radius), cut_out(prediction, radius))


def boundary_f(annotation: Mask, prediction: Mask, radius: int) -> float:
    return metrics.boundary_f(cut_out(annotation, radius), cut_out(prediction, radius))


def jaccard(annotation: Mask, prediction: Mask) -> float:
    return jaccard_and_f(annotation, prediction)[0]


def slow_boundary(mask: Mask) -> Mask:
    """The definition pixel by pixel."""
    height, width = mask.shape
    boundary = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            right, down = x + 1 < width, y + 1 < height
            boundary[y, x] = (
                (right and mask[y, x] != mask[y, x + 1])
                or (down and mask[y, x] != mask[y + 1, x])
                or (right and down and mask[y, x] != mask[y + 1, x + 1])
            )
    return boundary


def slow_f(annotation: Mask, prediction: Mask) -> float:
    """Distances between all pairs of boundary pixels of the whole frame."""
    radius = math.ceil(0.008 * math.hypot(*annotation.shape))
    true, predicted = np.argwhere(slow_boundary(annotation)), np.argwhere(slow_boundary(prediction))
    if not len(true) or not len(predicted):
        return float(len(true) == len(predicted))
    near = ((true[:, None] - predicted[None]) ** 2).sum(-1) <= radius**2
    precision, recall = near.any(0).mean(), near.any(1).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def blob(generator: np.random.Generator, height: int, width: int) -> Mask:
    """A few random boxes, some of them at the border of the frame, and a few single pixels."""
    mask = np.zeros((height, width), bool)
    for _ in range(generator.integers(0, 4)):
        top, left = generator.integers(-5, height), generator.integers(-5, width)
        bottom, right = top + generator.integers(1, height), left + generator.integers(1, width)
        mask[max(top, 0) : bottom, max(left, 0) : right] ^= True
    specks = np.asarray(generator.random(mask.shape) < generator.choice([0, 0, 0.001]), bool)
    return np.asarray(mask | specks)


def test_jaccard_by_hand() -> None:
    assert jaccard(draw("##.", "##."), draw(".##", ".##")) == 2 / 6
    assert jaccard(draw("..."), draw("...")) == 1.0
    assert jaccard(draw("#.."), draw("...")) == 0.0


def test_boundary_of_a_square_lies_above_and_left_too() -> None:
    square = draw(".....", ".##..", ".##..", ".....")
    np.testing.assert_array_equal(boundary_map(square), draw("###..", "#.#..", "###..", "....."))


def test_boundary_at_the_frame_border() -> None:
    corner = draw("...", "..#", "..#")
    np.testing.assert_array_equal(boundary_map(corner), draw(".##", ".#.", ".#."))
    np.testing.assert_array_equal(boundary_map(np.ones((3, 4), bool)), np.zeros((3, 4), bool))


@pytest.mark.parametrize(
    ("size", "radius"), [((480, 854), 8), ((480, 910), 9), ((720, 1280), 12), ((1080, 1920), 18), ((5, 5), 1)]
)
def test_tolerance(size: tuple[int, int], radius: int) -> None:
    assert tolerance(*size) == radius


def test_f_by_hand() -> None:
    # The boundary of a single pixel is itself, its upper, its left and its upper left neighbour. Two pixels further
    # right, the nearer two of four match within 1 pixel, and all four within 2.
    one, other = draw("......", "......", "..#...", "......"), draw("......", "......", "....#.", "......")
    assert boundary_f(one, other, radius=1) == 0.5
    assert boundary_f(one, other, radius=2) == 1.0
    assert boundary_f(one, np.roll(one, 3, axis=1), radius=1) == 0.0


@pytest.mark.parametrize(
    ("annotation", "prediction", "expected"),
    [
        (np.zeros((9, 9), bool), np.zeros((9, 9), bool), (1.0, 1.0)),
        (np.zeros((9, 9), bool), np.eye(9, dtype=bool), (0.0, 0.0)),
        (np.ones((9, 9), bool), np.ones((9, 9), bool), (1.0, 1.0)),
        (np.ones((9, 9), bool), np.eye(9, dtype=bool), (1 / 9, 0.0)),  # a mask that fills the frame has no boundary
    ],
)
def test_empty_and_full_masks(annotation: Mask, prediction: Mask, expected: tuple[float, float]) -> None:
    assert jaccard_and_f(annotation, prediction) == expected


def test_crops_change_nothing() -> None:
    generator = np.random.default_rng(0)
    values = set()
    for _ in range(60):
        height, width = int(generator.integers(20, 40)), int(generator.integers(20, 130))  # a radius of 1 or 2
        annotation, prediction = blob(generator, height, width), blob(generator, height, width)
        j, f = jaccard_and_f(annotation, prediction)
        union = (annotation | prediction).sum()
        assert j == ((annotation & prediction).sum() / union if union else 1)
        assert f == pytest.approx(slow_f(annotation, prediction), abs=1e-12)
        values.add(round(f, 3))
    assert len(values) > 20


@pytest.mark.parametrize("highest", [1, 2, 20, 32, 33, 255])
def test_ids(highest: int) -> None:
    generator = np.random.default_rng(highest)
    for _ in range(20):
        ids = generator.integers(0, highest + 1, 3).astype(np.uint8)
        ids[generator.integers(3)] = highest
        labels = np.zeros((31, 47), np.uint8)
        for id_ in ids:
            y, x = generator.integers(0, 31), generator.integers(0, 47)
            labels[y : y + 3, x : x + 3] = id_
        for each in (labels, labels[::2, ::3]):
            assert metrics.ids_of(each) == set(np.unique(each).tolist()) - {0}
    assert metrics.ids_of(np.zeros((3, 4), np.uint8)) == set()


def dilated(boundary: Mask, radius: int) -> Mask:
    """The definition of the disk, by cv2.dilate."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(cv2.dilate(boundary.view(np.uint8), (x**2 + y**2 <= radius**2).astype(np.uint8)) > 0)


@pytest.mark.parametrize("radius", [1, 2, 8, 18, 25, 36, 72])
def test_row_by_row_is_the_dilation(radius: int) -> None:
    generator = np.random.default_rng(radius)
    shapes = [(1, 300), (300, 1), (7, 9), (211, 340), (400, 160)]
    for (height, width), share in itertools.product(shapes, (1e-4, 1e-3, 0.02, 1.0)):
        boundary = np.asarray(generator.random((height, width)) < share)
        np.testing.assert_array_equal(metrics.dilate(boundary, radius), dilated(boundary, radius))
    nothing = np.zeros((50, 60), bool)
    assert not metrics.dilate(nothing, radius).any()


def test_at_most_the_radius_away() -> None:
    """All pixels up to the radius, such as (24, 7) at 25, and none beyond."""
    boundary = np.zeros((81, 81), bool)
    boundary[40, 40] = True
    y, x = np.mgrid[-40:41, -40:41]
    for radius in range(1, 40):
        np.testing.assert_array_equal(metrics.dilate(boundary, radius), x**2 + y**2 <= radius**2)


@pytest.mark.parametrize("size", [(1080, 1920), (2160, 3840)], ids=["1080p", "4K"])
def test_large_frames(size: tuple[int, int]) -> None:
    reference = runpy.run_path(str(Path(__file__).with_name("reference_scorer.py")))
    generator = np.random.default_rng(size[0])
    pairs = []
    for corner in ((0, 0), (size[0] - 180, size[1] - 240), (size[0] // 2, size[1] // 3)):
        masks = np.zeros((2, *size), bool)
        for mask in masks:
            mask[corner[0] : corner[0] + 180, corner[1] : corner[1] + 240] = blob(generator, 180, 240)
        pairs.append((masks[0], masks[1]))
    pairs.append((pairs[0][0], pairs[1][0]))  # far apart
    scores = [jaccard_and_f(*pair) for pair in pairs]
    expected = [reference["frame_scores"](*pair) for pair in pairs]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)
    assert any(0 < f < 1 for _, f in scores)


@pytest.mark.real
def test_official_numbers_of_odd_masks(real_data: Path) -> None:
    path = real_data.parent / "golden" / "mask_pairs.npz"
    if not path.is_file():
        pytest.skip("needs the official scorer's numbers: golden/ beside VOSBENCH_DATA")
    pairs = np.load(path)
    names = sorted({key.split("/")[0] for key in pairs})
    assert len(names) == 60
    for name in names:
        height, width = map(int, name.rsplit("_", 1)[1].split("x"))
        masks = [np.unpackbits(pairs[f"{name}/{kind}"], count=height * width) for kind in ("gt", "pred")]
        scores = jaccard_and_f(*(mask.reshape(height, width).astype(bool) for mask in masks))
        np.testing.assert_allclose(scores, (pairs[f"{name}/J"], pairs[f"{name}/F"]), rtol=0, atol=1e-12, err_msg=name)
