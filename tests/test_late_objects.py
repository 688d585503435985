"""Frames from before an object's start know nothing of it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

import vosbench
from vosbench.contract import Context, Entry, Previous, Segmented
from vosbench.inference.late_objects import divided, has_late_objects, read_since_their_starts, without_starts
from vosbench.video.video import Image, LabelMap, Video


@dataclass(frozen=True)
class Read:
    """A method that says which references it was given: the score of each of `count` objects is their number / 100."""

    count: int

    def __call__(self, query: str, context: Context[str, int]) -> Segmented[str]:
        scores = torch.full((1, 1 + self.count, 1, 1), len(context.references) / 100)
        scores[:, 0] = 1 - scores[:, 1:].sum()
        return Segmented(scores, f"features of {[entry.index for entry in context.references]}")


def context(*indices: int) -> Context[str, int]:
    return Context(9, Previous(8, "", 8), tuple(Entry(index, False, index) for index in indices))


def test_each_object_is_read_from_frames_since_its_start() -> None:
    found = read_since_their_starts(Read(3), "", context(0, 4, 5, 8), [0, 5, 5])
    assert found.features == "features of [5, 8]"
    scores = found.scores.flatten().tolist()
    assert scores[2:] == pytest.approx([0.02, 0.02])
    left = 1 - 0.04
    assert scores[1] == pytest.approx(left * 0.04 / (1 - 0.08))  # of four references, without the later objects' share
    assert sum(scores) == pytest.approx(1)


def test_objects_that_start_together_are_read_once() -> None:
    calls = []

    def segment(query: str, context: Context[str, int]) -> Segmented[str]:
        calls.append([entry.index for entry in context.references])
        return Read(2)(query, context)

    read_since_their_starts(segment, "", context(0, 8), [0, 0])
    read_since_their_starts(segment, "", context(6, 8), [0, 5])  # no reference is from before the later start
    assert calls == [[0, 8], [6, 8]]


def test_without_a_reference_the_previous_frame_is_read() -> None:
    assert read_since_their_starts(Read(2), "", context(0), [0, 8]).features == "features of [8]"


def test_shares_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    readings = [torch.rand(1, 4, 5, 6, generator=generator).softmax(1) for _ in range(3)]
    merged = divided(readings, [[1], [3], [2]])
    torch.testing.assert_close(merged.sum(1), torch.ones(1, 5, 6))
    torch.testing.assert_close(merged[:, 2], readings[2][:, 2])
    assert merged.min() >= 0


def test_a_pixel_that_a_later_object_takes_whole_is_left_to_nobody_else() -> None:
    sure = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    merged = divided([torch.tensor([0.5, 0.5, 0.0]).view(1, 3, 1, 1), sure], [[1], [2]])
    torch.testing.assert_close(merged, sure)


SIZE = (60, 80)


def picture(index: int) -> Image:
    """A bright textured square, which rests, on noise that rests, too; a little light flickers."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 90, (*SIZE, 3), dtype=np.uint8)
    image[20:44, 30:54] = generator.integers(150, 250, (24, 24, 3), dtype=np.uint8)
    image[:4, :4] = 20 * (index % 5)
    return image


def square() -> LabelMap:
    labels = np.zeros(SIZE, np.uint8)
    labels[20:44, 30:54] = 2
    return labels


def corner() -> LabelMap:
    labels = np.zeros(SIZE, np.uint8)
    labels[48:58, 2:14] = 1
    return labels


def kept_of_a_late_object(method: str) -> dict[str, float]:
    """Its share that is kept, by what frames before its start say of it."""
    kept = {}
    for before in ("unknown", "background"):
        size = ["inference.short_side=64"] if method == "features" else []
        segmenter = vosbench.load(method, "device=cpu", f"inference.before_start={before}", *size)
        for index in range(6):
            given = {0: corner(), 3: square()}.get(index)
            labels = segmenter.step(picture(index), given)
        kept[before] = float((labels[square() == 2] == 2).mean())
    return kept


@pytest.mark.parametrize("method", ["mamp", "mask_embedding_small", "munet_small", "munet_narrow", "features"])
def test_a_resting_object_that_starts_late_stays(method: str) -> None:
    """Under the papers' reading it is lost to the background of earlier frames, by the label propagators at once."""
    kept = kept_of_a_late_object(method)
    assert kept["unknown"] > max(0.6, kept["background"] + 0.2)


class Masked(Video):
    """A video with the same mask in these frames."""

    name, frame_names = "masked", ("0", "1", "2")

    def __init__(self, *frames: int) -> None:
        self.frames = frames

    def frame(self, index: int) -> Image:
        return picture(index)

    def given(self, index: int) -> LabelMap | None:
        return square() if index in self.frames else None


def test_results_without_late_objects_do_not_depend_on_the_setting() -> None:
    assert [has_late_objects(video) for video in (Masked(0), Masked(1), Masked(0, 2))] == [False, False, True]
    assert without_starts({"inference.before_start": "unknown", "seed": "0"}) == {"seed": "0"}


def test_nothing_is_divided_by_zero() -> None:
    taken: Tensor = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    assert divided([taken, taken], [[1], [2]]).isfinite().all()
