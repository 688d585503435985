"""All protocols against the straightforward scorer, on awkward maps; and what each counts, by hand."""

import runpy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vosbench.datasets.davis import Davis
from vosbench.evaluation.metrics import Curves, Objects
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.predictions.label_maps import PngFolder
from vosbench.evaluation.protocols import davis, davis_unsupervised, vip, vos_benchmark, youtube_vos
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.results.records import arrays_of
from vosbench.evaluation.results.score_tables import write_tables
from vosbench.evaluation.scoring.evaluate import evaluate
from vosbench.video.folder_video import FolderVideo
from vosbench.video.images import write_label_map
from vosbench.video.video import LabelMap

REFERENCE = runpy.run_path(str(Path(__file__).with_name("reference_scorer.py")))
PROTOCOLS: dict[str, Any] = {
    "davis": davis,
    "davis-unsupervised": davis_unsupervised,
    "vos-benchmark": vos_benchmark,
    "youtube-vos": youtube_vos,
}
SIZES = [(24, 31), (37, 53), (1, 40), (97, 131), (5, 260)]  # radius 1, 1, 1, 2, 3
SIZE = (20, 60)


def scene(generator: np.random.Generator, ids: Sequence[int], size: tuple[int, int], frames: int) -> np.ndarray:
    """Annotations of boxes that start late, vanish, overlap, touch borders, fill the frame or are one pixel."""
    labels = np.zeros((frames, *size), np.uint8)
    for order, id_ in enumerate(ids):
        start = 0 if order == 0 else int(generator.integers(0, frames))
        end = int(generator.integers(start + 1, frames + 1))
        limits = [(1, 1), size, *[(max(1, size[0] // 2), max(1, size[1] // 3))] * 4]
        high, wide = limits[generator.integers(len(limits))]
        top, left = generator.integers(0, size[0]), generator.integers(0, size[1])
        for frame in range(start, end):
            y, x = np.clip(np.add((top, left), generator.integers(-2, 3, 2)), 0, np.subtract(size, 1))
            labels[frame, y : y + high, x : x + wide] = id_
    if generator.random() < 0.5:
        labels[:, : size[0] // 3 + 1, : size[1] // 4] = 255
    if generator.random() < 0.5:
        labels[generator.integers(1, frames)] = 0
    labels[0, -1, -1] = ids[0]
    return labels


def guess(generator: np.random.Generator, annotation: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Predictions with `ids`: the annotation shifted, renumbered, lost, speckled, with false objects."""
    chances = generator.integers(0, len(ids), 256)
    renumbered = np.array(ids, np.uint8)[chances]
    kept = generator.random(256) < 0.7
    renumbered[kept & np.isin(np.arange(256), ids)] = np.arange(256, dtype=np.uint8)[
        kept & np.isin(np.arange(256), ids)
    ]
    renumbered[0] = 0
    prediction = renumbered[np.roll(annotation, generator.integers(-2, 3, 2), (1, 2))]
    for frame in prediction:
        if generator.random() < 0.2:
            frame[:] = 0
        specks = generator.random(frame.shape) < generator.choice([0, 0.002, 0.05])
        frame[specks] = generator.choice([0, *ids], int(specks.sum()))
    return np.asarray(prediction)


def legal(protocol: str, prediction: np.ndarray, annotation: np.ndarray) -> np.ndarray:
    """Without ids that the protocol refuses."""
    if protocol == "davis":
        first = annotation[0][annotation[0] != 255]
        return np.where(prediction > first.max(), 0, prediction).astype(np.uint8)
    if protocol == "youtube-vos":
        known = {0}
        prediction = prediction.copy()
        for truth, frame in zip(annotation, prediction, strict=True):
            known |= set(np.unique(truth).tolist()) - {255}
            frame[~np.isin(frame, list(known))] = 0
    return prediction


def pairs(annotations: Iterable[LabelMap], predictions: Iterable[LabelMap]) -> list[tuple[Objects, Objects]]:
    return [(Objects.of(truth), Objects.of(found)) for truth, found in zip(annotations, predictions, strict=True)]


def assert_same(ours: Mapping[int, Curves], theirs: Mapping[int, Mapping[str, np.ndarray]]) -> None:
    assert sorted(ours) == sorted(theirs)
    for id_, curves in ours.items():
        np.testing.assert_array_equal(curves.frames, theirs[id_]["frame"], err_msg=str(id_))
        for name in "JF":
            message = f"{name} of {id_}"
            np.testing.assert_allclose(curves.measures[name], theirs[id_][name], rtol=0, atol=1e-12, err_msg=message)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "×".join(map(str, size)))
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_awkward_label_maps(protocol: str, size: tuple[int, int]) -> None:
    generator = np.random.default_rng(hash_of(protocol, size))
    values: set[float] = set()
    for _ in range(12):
        ids = generator.permutation(8)[: generator.integers(1, 5)] + 1
        annotation = scene(generator, ids.tolist(), size, int(generator.integers(4, 8)))
        proposals = np.append(ids, generator.integers(1, 12))
        if protocol == "vos-benchmark":
            proposals = np.append(proposals, 255)
            annotation[2, 0, 0] = ids[0]
        prediction = legal(protocol, guess(generator, annotation, proposals.tolist()), annotation)
        ours = PROTOCOLS[protocol].score(pairs(annotation, prediction), "video")
        assert_same(ours, REFERENCE[protocol.replace("-", "_")](annotation, prediction))
        values |= {round(float(value), 6) for curves in ours.values() for value in curves.measures["F"]}
    assert len(values) > 3  # the maps are neither all right nor all wrong


def hash_of(*parts: object) -> int:
    """A seed that does not change from one run to the next."""
    return sum(map(ord, repr(parts)))


def write(root: Path, annotations: Sequence[np.ndarray], predictions: Sequence[np.ndarray]) -> Davis:
    """A data set of videos v0, v1, … under `root`, and `root`/masks."""
    for number, kinds in enumerate(zip(annotations, annotations, predictions, strict=True)):
        for place, stack in zip(("JPEGImages/480p", "Annotations/480p", "masks"), kinds, strict=True):
            folder = root / place / f"v{number}"
            folder.mkdir(parents=True)
            for index, labels in enumerate(stack):
                write_label_map(folder / f"{index:05}.png", labels)
    return Davis(root)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_from_files(tmp_path: Path, protocol: str, cached: bool) -> None:
    generator = np.random.default_rng(3)
    annotations = [scene(generator, [2, 1, 4], (37, 53), length) for length in (9, 4, 6)]
    guesses = [guess(generator, stack, [1, 2, 4, 3]) for stack in annotations]
    predictions = [legal(protocol, found, truth) for found, truth in zip(guesses, annotations, strict=True)]
    dataset = write(tmp_path, annotations, predictions)
    cache = tmp_path / "cache" if cached else None
    expected = REFERENCE["score_folders"](
        tmp_path / "Annotations/480p", tmp_path / "masks", REFERENCE[protocol.replace("-", "_")]
    )
    for _ in range(1 + cached):  # the second time, what the first one kept is read
        scores = evaluate(dataset, PngFolder(tmp_path / "masks"), protocol_named(protocol), 0, cache=cache)
        assert set(map(str, scores.objects)) == set(expected)
        arrays = arrays_of(scores.curves)
        for name, values in expected.items():
            for key, array in values.items():
                np.testing.assert_allclose(arrays[f"{name}/{key}"], array, rtol=0, atol=1e-12, err_msg=name)
        overall = REFERENCE["overall"](expected)
        assert scores.scores == pytest.approx({name: overall[name] for name in scores.scores}, rel=0, abs=1e-12)


def test_vip_from_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    generator = np.random.default_rng(5)
    annotations = [generator.integers(0, 18, (frames, 23, 31)).astype(np.uint8) for frames in (1, 4)]
    annotations[1][:, :4] = 255
    sizes = [(1, 46, 62), (4, 17, 29)]  # twice as large, and smaller by no whole number
    predictions = [generator.integers(0, 19, size).astype(np.uint8) for size in sizes]
    dataset = write(tmp_path, annotations, predictions)
    scores = evaluate(dataset, PngFolder(tmp_path / "masks"), protocol_named("vip"), 0).scores
    expected = REFERENCE["vip"](list(zip(annotations, predictions, strict=True)))
    assert len(scores) == 1 + 19
    assert "IoU-19" not in scores
    for class_ in range(19):
        assert scores[f"IoU-{class_:02}"] == pytest.approx(expected[class_], rel=0, abs=1e-12)
    assert scores["IoU-Mean"] == pytest.approx(np.nanmean(expected), rel=0, abs=1e-12)
    assert not caplog.messages  # above all not that every J and F is 1


# By hand.


def place(*ids: int) -> LabelMap:
    """A label map with a 10×10 square of each id, side by side; 0 leaves its place empty."""
    canvas = np.zeros(SIZE, np.uint8)
    for index, id_ in enumerate(ids):
        canvas[5:15, 2 + 14 * index : 12 + 14 * index] = id_
    return canvas


def j_of(protocol: Any, annotations: Sequence[LabelMap], predictions: Sequence[LabelMap]) -> dict[int, list[float]]:
    """J over time by object. The squares lie far apart: F is J wherever J is 0 or 1."""
    scored = protocol.score(pairs(annotations, predictions), "swan")
    for curves in scored.values():
        j, f = curves.measures["J"], curves.measures["F"]
        np.testing.assert_array_equal(j[np.isin(j, [0, 1])], f[np.isin(j, [0, 1])])
    return {id_: curves.measures["J"].tolist() for id_, curves in scored.items()}


def test_vos_benchmark_leaves_out_first_and_last() -> None:
    truth = [place(1, 7), place(1), place(1), place(1, 0, 8)]
    wrong = [place(0), place(1), place(1), place(0)]
    assert j_of(vos_benchmark, truth, wrong) == {1: [1, 1]}  # 7 and 8 are in no scored frame


def test_vos_benchmark_history_starts_at_first_sight() -> None:
    truth = [place(1), place(1), place(1), place(1, 5), place(1), place(1)]
    found = [place(1, 0, 5), place(1), place(1, 0, 5), place(1, 5), place(1), place(1)]
    scored = vos_benchmark.score(pairs(truth, found), "swan")
    assert scored[5].frames.tolist() == [2, 3, 4]  # from its false sight in frame 2 on; frame 0 is not scored
    assert scored[5].measures["J"].tolist() == [0, 1, 1]  # gone and predicted gone: 1
    assert scored[1].frames.tolist() == [1, 2, 3, 4]


def test_vos_benchmark_counts_255_and_no_gaps_and_no_false_objects() -> None:
    truth, found = [place(3, 255)] * 4, [place(3, 255, 9)] * 4
    assert j_of(vos_benchmark, truth, found) == {3: [1, 1], 255: [1, 1]}


@pytest.mark.parametrize("length", [0, 1, 2])
def test_vos_benchmark_too_short(length: int) -> None:
    with pytest.raises(ValueError, match=r"^swan: no annotated object between its first and its last frame"):
        j_of(vos_benchmark, [place(1)] * length, [place(1)] * length)


def test_youtube_vos_scores_after_first_sight_and_the_last_frame() -> None:
    truth = [place(0), place(4), place(4, 9), place(4), place(0, 9, 255), place(4, 9, 0, 2)]
    found = [place(0), place(0), place(4), place(4), place(0, 9), place(4)]
    scored = youtube_vos.score(pairs(truth, found), "swan")
    assert {id_: curves.frames.tolist() for id_, curves in scored.items()} == {4: [2, 3, 4, 5], 9: [3, 4, 5]}
    assert scored[4].measures["J"].tolist() == [1, 1, 1, 1]
    assert scored[9].measures["J"].tolist() == [1, 1, 0]  # 2 is first seen in the last frame: never scored


def test_youtube_vos_ids_that_are_not_introduced() -> None:
    truth = [place(1), place(1), place(1, 2)]
    with pytest.raises(ValueError, match=r"^swan: predicted ids \[2, 255\] before any annotation shows them"):
        j_of(youtube_vos, truth, [place(1), place(1, 2, 255), place(1, 2)])


@pytest.mark.parametrize(
    "truth", [[], [place(1)], [place(0), place(0)], [place(255), place(255)], [place(0), place(1)]]
)
def test_youtube_vos_nothing_to_score(truth: list[LabelMap]) -> None:
    with pytest.raises(ValueError, match=r"^swan: no object has an annotated frame after its first"):
        j_of(youtube_vos, truth, [place(0)] * len(truth))


def values(j: float, f: float, seen: float | None = None) -> dict[str, float]:
    return {"J-Mean": j, "F-Mean": f} | ({} if seen is None else {"seen": seen})


def test_g_and_gap_by_hand() -> None:
    objects = {
        ObjectKey("a", 1): values(0.5, 0.7, 1.0),
        ObjectKey("a", 2): values(0.7, 0.9, 1.0),
        ObjectKey("b", 1): values(0.2, 0.4, 0.0),
    }
    scores = youtube_vos.aggregate(objects)
    expected = {
        "G": (0.6 + 0.8 + 0.2 + 0.4) / 4,
        "J_seen": 0.6,
        "F_seen": 0.8,
        "J_unseen": 0.2,
        "F_unseen": 0.4,
        "gap": 0.7 - 0.3,
        "J&F-Mean": (1.4 / 3 + 2.0 / 3) / 2,
        "J-Mean": 1.4 / 3,
        "F-Mean": 2.0 / 3,
    }
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize("seen", [(1.0, 1.0), (0.0, 0.0), (1.0, None), (None, None)])
def test_no_g_without_both_kinds(seen: tuple[float | None, float | None]) -> None:
    scores = youtube_vos.aggregate(
        {ObjectKey("a", 1): values(0.4, 0.6, seen[0]), ObjectKey("b", 1): values(0.6, 0.8, seen[1])}
    )
    assert scores == pytest.approx({"J&F-Mean": 0.6, "J-Mean": 0.5, "F-Mean": 0.7})


@pytest.mark.parametrize("seen", [{1: True, 2: False}, {1: True}, {}], ids=["all", "one", "none"])
def test_seen_reaches_records_and_tables(tmp_path: Path, seen: dict[int, bool]) -> None:
    stack = np.stack([place(1, 2)] * 3)
    dataset = write(tmp_path, [stack], [np.where(stack == 2, 0, stack)])
    (video,) = dataset.videos
    dataset.videos = (FolderVideo(video.name, video.frames, video.annotations, seen=seen),)
    scores = evaluate(dataset, PngFolder(tmp_path / "masks"), protocol_named("youtube-vos"), 0)
    assert {str(key): found.get("seen") for key, found in scores.objects.items()} == {
        "v0_1": seen.get(1),
        "v0_2": seen.get(2),
    }
    assert next(iter(scores.scores)) == ("G" if len(seen) == 2 else "J&F-Mean")
    write_tables(scores, "val", tmp_path / "tables")
    table = (tmp_path / "tables/per-sequence_results-val.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["Sequence", "v0_1", "v0_2"]


def test_unsupervised_proposals_have_any_number_and_every_frame_counts() -> None:
    truth = [place(1, 2)] * 4
    found = [place(0), place(17, 3), place(17, 3, 9), place(17)]
    assert j_of(davis_unsupervised, truth, found) == {1: [0, 1, 1, 1], 2: [0, 1, 1, 0]}
    assert j_of(davis_unsupervised, truth[:1], found[1:2]) == {1: [1], 2: [1]}


def test_unsupervised_matching_is_one_to_one_over_the_whole_sequence() -> None:
    # Proposal 1 is on object 1 in two frames of three and then on object 2: it is object 1's throughout.
    truth = [place(1, 2)] * 3
    assert j_of(davis_unsupervised, truth, [place(1), place(1), place(0, 1)]) == {1: [1, 1, 0], 2: [0, 0, 0]}
    # A proposal that would suit both goes where the sum is largest.
    both = place(1, 1)
    assert j_of(davis_unsupervised, [place(1, 2)], [np.where(place(0, 2) == 2, 2, both).astype(np.uint8)]) == {
        1: [1],
        2: [1],
    }


def test_unsupervised_too_few_proposals_are_empty_ones() -> None:
    truth = [place(1, 2), place(1, 2), place(1)]
    assert j_of(davis_unsupervised, truth, [place(1), place(1), place(1)]) == {1: [1, 1, 1], 2: [0, 0, 1]}


def test_unsupervised_an_object_gets_a_bad_proposal_rather_than_none() -> None:
    """No proposal is added where there are as many as objects: what is predicted after the object left is wrong."""
    truth, found = [place(1), place(1), place(0), place(0)], [place(0, 0, 1)] * 4
    assert j_of(davis_unsupervised, truth, found) == {1: [0, 0, 0, 0]}


def test_unsupervised_void_counts_nowhere() -> None:
    truth = place(1, 255)
    assert j_of(davis_unsupervised, [truth], [place(1, 1)]) == {1: [1]}
    # The object touches void: neither has a boundary inside it, and what is predicted there is cut off.
    touching = np.where(place(1) == 1, 1, 255).astype(np.uint8)
    assert j_of(davis_unsupervised, [touching], [np.ones(SIZE, np.uint8)]) == {1: [1]}


def test_unsupervised_errors() -> None:
    with pytest.raises(ValueError, match=r"^swan: predicted ids \[21, 255\] above 20 proposals"):
        j_of(davis_unsupervised, [place(1)] * 2, [place(1, 20), place(21, 255)])
    with pytest.raises(ValueError, match=r"^swan: no annotated frame"):
        j_of(davis_unsupervised, [], [])
    with pytest.raises(ValueError, match=r"^swan: its first annotation shows no object"):
        j_of(davis_unsupervised, [place(255), place(1)], [place(1)] * 2)


@pytest.mark.parametrize("protocol", ["davis-unsupervised", "vos-benchmark", "youtube-vos"])
def test_sizes_are_never_adapted(protocol: str) -> None:
    with pytest.raises(ValueError, match=r"^swan: a prediction is \(10, 60\)"):
        j_of(PROTOCOLS[protocol], [place(1)] * 3, [place(1), place(1)[::2], place(1)])


def test_twenty_proposals_for_more_objects_than_twenty() -> None:
    """Objects beyond the twentieth are missed, not refused."""
    truth = np.zeros((40, 90), np.uint8)
    for id_ in range(1, 25):
        truth[2 + 10 * (id_ % 4) : 7 + 10 * (id_ % 4), 2 + 10 * (id_ // 4) : 7 + 10 * (id_ // 4)] = id_
    found = np.where(truth > 20, 0, truth).astype(np.uint8)
    scored = j_of(davis_unsupervised, [truth], [found])
    assert scored == {id_: [float(id_ <= 20)] for id_ in range(1, 25)}


def test_vip_by_hand(tmp_path: Path) -> None:
    # Frame 0: 4 pixels, of which 2 are class 3 and 2 background; all called 3. The other video has one pixel, hit.
    first, other = np.array([[0, 0, 3, 3]], np.uint8), np.array([[5, 255, 255, 255]], np.uint8)
    dataset = write(
        tmp_path, [first[None], other[None]], [np.full((1, 1, 4), 3, np.uint8), np.full((1, 1, 4), 5, np.uint8)]
    )
    scores = evaluate(dataset, PngFolder(tmp_path / "masks"), protocol_named("vip"), 0)
    assert scores.scores == pytest.approx({"IoU-Mean": 1.5 / 3, "IoU-00": 0.0, "IoU-03": 0.5, "IoU-05": 1.0})
    assert scores.objects[ObjectKey("v0", 3)] == {"IoU": 0.5, "intersection": 2.0, "union": 4.0}


def test_vip_sums_pixels_over_videos(tmp_path: Path) -> None:
    long, short = np.ones((3, 2, 4), np.uint8), np.ones((1, 2, 4), np.uint8)
    dataset = write(tmp_path, [long, short], [long, np.zeros_like(short)])
    scores = evaluate(dataset, PngFolder(tmp_path / "masks"), protocol_named("vip"), 0).scores
    assert scores == pytest.approx({"IoU-Mean": 0.375, "IoU-00": 0.0, "IoU-01": 24 / 32})


def test_vip_resizes_predictions_to_the_nearest() -> None:
    truth = np.repeat(np.array([[1, 2, 3]], np.uint8), 2, 0)
    small, large = np.array([[1, 2, 3]], np.uint8), np.repeat(np.repeat(truth, 3, 0), 3, 1)
    large[::2, ::2] = 7  # every centre of a block of 3×3 is left as it was
    large[1::3, 1::3] = truth
    for prediction in (small, large):
        scored = vip.score(pairs([truth], [prediction]), "walk")
        assert {id_: vip.summarise(curves)["IoU"] for id_, curves in scored.items()} == {1: 1.0, 2: 1.0, 3: 1.0}


def test_vip_errors() -> None:
    with pytest.raises(ValueError, match=r"^walk: predicted classes \[20, 255\] are not among 0 to 19"):
        vip.score(pairs([place(1)] * 2, [place(20, 255), place(19)]), "walk")
    with pytest.raises(ValueError, match=r"^walk: no annotated frame"):
        vip.score([], "walk")
