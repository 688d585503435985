"""J and F: by hand, against a slow reference, and against the official scorer's numbers."""

import math
from pathlib import Path

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
