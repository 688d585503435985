"""Protocol `davis`: which frames and objects count, and how they are averaged."""

import weakref
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from vosbench.evaluation.metrics import Curves, Objects
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.protocols import davis
from vosbench.video.video import LabelMap

SIZE = (40, 60)


def labels(*ids: int) -> LabelMap:
    """A label map with a 10×10 square of each id, side by side; 0 leaves its place empty."""
    canvas = np.zeros(SIZE, np.uint8)
    for place, id_ in enumerate(ids):
        canvas[5:15, 2 + 14 * place : 12 + 14 * place] = id_
    return canvas


def score(pairs: Iterable[tuple[LabelMap, LabelMap]], sequence: str = "swan") -> dict[int, Curves]:
    return davis.score(((Objects.of(truth), Objects.of(found)) for truth, found in pairs), sequence)


def curves(j: list[float]) -> Curves:
    return Curves(np.arange(1, len(j) + 1), {"J": np.array(j), "F": np.zeros(len(j))})


def test_first_and_last_frames_are_not_scored() -> None:
    wrong = (labels(1), labels(0))
    right = (labels(1), labels(1))
    scored = score([wrong, right, right, wrong], "a")
    assert list(scored) == [1]
    np.testing.assert_array_equal(scored[1].measures["J"], [1.0, 1.0])
    np.testing.assert_array_equal(scored[1].measures["F"], [1.0, 1.0])
    np.testing.assert_array_equal(scored[1].frames, [1, 2])


def test_objects_are_those_of_the_first_annotation() -> None:
    first, later = (labels(1), labels(1)), (labels(1, 2), labels(1))
    assert list(score([first, later, later])) == [1]


def test_a_gap_in_the_ids_is_an_empty_object() -> None:
    scored = score([(labels(1, 3), labels(1, 3)), (labels(1, 3), labels(2, 3)), (labels(1, 3), labels(1, 3))])
    assert {id_: float(curve.measures["J"][0]) for id_, curve in scored.items()} == {1: 0.0, 2: 0.0, 3: 1.0}
    scored = score([(labels(1, 3), labels(1, 3))] * 3)
    assert scored[2].measures["J"][0] == 1.0


def test_void_is_background_and_predictions_there_are_wrong() -> None:
    truth = labels(1, 255)
    scored = score([(truth, labels(1)), (truth, labels(1, 1)), (truth, labels(1))])
    assert list(scored) == [1]
    assert scored[1].measures["J"][0] == 0.5


def test_an_object_missing_in_the_prediction_scores_zero() -> None:
    truth = labels(1, 2)
    scored = score([(truth, labels(1))] * 3)
    assert (scored[1].measures["J"][0], scored[2].measures["J"][0], scored[2].measures["F"][0]) == (1.0, 0.0, 0.0)


def test_ids_above_the_number_of_objects_are_named_once() -> None:
    pairs = [(labels(1), labels(1)), (labels(1), labels(1, 4)), (labels(1), labels(255)), (labels(1), labels(9))]
    with pytest.raises(ValueError, match=r"^swan: predicted ids \[4, 255\] above its 1 object"):  # 9: in the last frame
        score(pairs, "swan")


@pytest.mark.parametrize("length", [0, 1, 2])
def test_too_short(length: int) -> None:
    with pytest.raises(ValueError, match=rf"^swan: {length} annotated frame"):
        score([(labels(1), labels(1))] * length, "swan")


def test_no_object_in_the_first_annotation() -> None:
    with pytest.raises(ValueError, match=r"^swan: its first annotation shows no object"):
        score([(labels(255), labels(1)), (labels(1), labels(1)), (labels(1), labels(1))], "swan")


def test_sizes_are_never_adapted() -> None:
    pair = (labels(1), labels(1))
    with pytest.raises(ValueError, match=r"^swan: a prediction is \(20, 60\)"):
        score(iter([pair, (labels(1), labels(1)[::2]), pair]), "swan")


def test_frames_are_read_one_after_the_other() -> None:
    given: list[weakref.ref[LabelMap]] = []
    alive: list[int] = []

    def stream() -> Iterator[tuple[LabelMap, LabelMap]]:
        for _ in range(50):
            alive.append(sum(reference() is not None for reference in given))
            prediction = labels(1)
            given.append(weakref.ref(prediction))
            yield labels(1), prediction

    score(stream())
    assert len(alive) == 50
    assert max(alive) <= 3


def test_recall_counts_what_is_strictly_above_half() -> None:
    assert davis.recall(np.array([0.5, 0.5 + 1e-9, 0.4, 1.0])) == 0.5


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.3], 0.0),  # both bins are the one frame
        ([1.0, 0.0], 1.0),  # edges 0 0 1 1 1
        ([0.9, 0.7, 0.5, 0.3, 0.1], 0.8 - 0.2),  # edges 0 1 2 3 4: neighbouring bins share a frame
        ([1.0, 0.5, 0.2], 0.75 - 0.2),  # edges 0 1 1 2 2: exact halves are rounded up
    ],
)
def test_decay_by_hand(values: list[float], expected: float) -> None:
    assert davis.decay(np.array(values)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("length", [256, 300, 1000])
def test_decay_of_long_videos(length: int) -> None:
    values = np.linspace(1, 0, length)
    assert davis.decay(values) == pytest.approx(0.75, abs=0.01)


def test_mean_is_over_objects_not_sequences() -> None:
    one, other = davis.summarise(curves([1.0, 1.0])), davis.summarise(curves([0.0, 0.4]))
    scores = davis.aggregate({ObjectKey("a", 1): one, ObjectKey("a", 2): one, ObjectKey("b", 1): other})
    assert scores["J-Mean"] == pytest.approx((1 + 1 + 0.2) / 3)
    assert scores["J-Recall"] == pytest.approx(2 / 3)
    assert scores["J&F-Mean"] == pytest.approx(scores["J-Mean"] / 2)
    assert list(scores) == ["J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"]
