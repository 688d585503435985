"""Which frames make a clip: MAMP's pairing, stretches, draws of gaps and starts, and epochs of all videos."""

import numpy as np
import pytest

from vosbench.datasets.sampling import ClipTable, Strided


def epoch(table: ClipTable, start: int, count: int) -> list[tuple[int, tuple[int, ...]]]:
    clips = (table[index] for index in range(start, start + count))
    return [(video, tuple(frames)) for video, frames in clips]


@pytest.mark.parametrize(
    ("length", "gap", "pairs"),
    [
        (9, 2, [(0, 2), (4, 6)]),  # frames 0 2 4 6 8: the odd 8 is dropped
        (8, 2, [(0, 2), (4, 6)]),
        (16, 5, [(0, 5), (10, 15)]),
        (9, 8, [(0, 8)]),
        (2, 1, [(0, 1)]),
    ],
)
def test_pairs_are_consecutive_do_not_overlap_and_drop_the_odd_tail(
    length: int, gap: int, pairs: list[tuple[int, int]]
) -> None:
    table = ClipTable([length], Strided((0, 1), [gap], [1.0]), seed=3)
    for start in (0, len(pairs)):  # each epoch has every pair once
        assert sorted(frames for _, frames in epoch(table, start, len(pairs))) == pairs


def test_an_epoch_has_every_pair_of_every_video_once_and_shuffled() -> None:
    table = ClipTable([40, 30, 1], Strided((0, 1), [2, 5], [0.5, 0.5]), seed=0)
    drawn, counts = table._counts(0)
    intervals = drawn[:, 0]
    clips = epoch(table, 0, int(counts.sum()))
    assert counts.tolist() == [{2: 10, 5: 4}[intervals[0]], {2: 7, 5: 3}[intervals[1]], 0]
    assert len(set(clips)) == len(clips)
    for video in (0, 1):
        gap = intervals[video]
        assert {b - a for v, (a, b) in clips if v == video} == {gap}
        assert sum(v == video for v, _ in clips) == counts[video]
    assert clips != sorted(clips)


def test_a_clip_is_some_frames_of_a_stretch() -> None:
    table = ClipTable([30], Strided((0, 1, 6), [2], [1.0]), seed=0)
    assert sorted(frames for _, frames in epoch(table, 0, 2)) == [(0, 2, 12), (14, 16, 26)]
    with pytest.raises(ValueError, match=r"positions=\[0, 0\]: give different places"):
        Strided((0, 0))


def test_a_random_start_costs_no_clip() -> None:
    """Of 9 frames, two pairs two apart may begin at 0 to 2; of 3 frames, the one pair at 0 only."""
    table = ClipTable([9, 3], Strided((0, 1), [2], [1.0], random_start=True), seed=0)
    clips = [table[index] for index in range(300)]  # 3 an epoch
    assert {frames[0] for video, frames in clips if video == 0} == {0, 1, 2, 4, 5, 6}
    assert {tuple(frames) for video, frames in clips if video == 1} == {(0, 2)}
    assert [table.epoch(index) for index in (0, 2, 3, 299)] == [0, 0, 1, 99]


def test_at_most_so_many_clips_of_a_video_from_anywhere() -> None:
    table = ClipTable([9, 2], Strided((0, 1), [1], [1.0], random_start=True, most=1), seed=0)
    clips = [table[index] for index in range(200)]
    assert {frames[0] for video, frames in clips if video == 0} == set(range(8))
    assert sum(video for video, _ in clips) == 100
    with pytest.raises(ValueError, match="most=0: give 1 or more"):
        Strided(most=0)


def test_shuffled_clips_are_some_positions_in_any_order() -> None:
    table = ClipTable([20], Strided((0, 2, 4), [1], [1.0], shuffled=2), seed=0)
    found = {tuple(position % 5 for position in table[index][1]) for index in range(200)}
    assert found == {(a, b) for a in (0, 2, 4) for b in (0, 2, 4) if a != b}
    assert table[3] == ClipTable([20], Strided((0, 2, 4), [1], [1.0], shuffled=2), seed=0)[3]
    with pytest.raises(ValueError, match=r"shuffled=3: give from 1 to 2"):
        Strided(shuffled=3)


def test_gaps_are_drawn_per_video_and_epoch_with_their_probabilities() -> None:
    lengths = np.full(5000, 100)
    drawn = Strided().draw(lengths, np.random.default_rng(0))[:, 0]
    shares = [(drawn == gap).mean() for gap in (2, 5, 8)]
    np.testing.assert_allclose(shares, [0.4, 0.4, 0.2], atol=0.03)
    table = ClipTable([100] * 8, Strided(), seed=0)
    assert any((table._counts(0)[0] != table._counts(later)[0]).any() for later in (1, 2))


def test_samples_are_the_same_in_any_order() -> None:
    onwards, backwards = (ClipTable([40, 31], Strided(), seed=1) for _ in range(2))
    expected = [onwards[index] for index in range(100)]
    assert [backwards[index] for index in reversed(range(100))] == expected[::-1]
    assert [ClipTable([40, 31], Strided(), seed=2)[index] for index in range(100)] != expected


def test_short_videos_give_nothing_and_none_left_is_an_error() -> None:
    table = ClipTable([2, 3], Strided((0, 1), [2], [1.0]), seed=0)
    assert {table[index] == (1, [0, 2]) for index in range(4)} == {True}
    rarely = ClipTable([4], Strided((0, 1), [2, 8], [0.1, 0.9]), seed=0)
    assert rarely[5] == (0, [0, 2])
    with pytest.raises(ValueError, match=r"no video is long enough .*longest: 2 frames"):
        ClipTable([1, 2], Strided(), seed=0)
    with pytest.raises(ValueError, match="one probability per gap"):
        Strided((0, 1), [2, 5], [0.5, 0.4])


def test_an_epoch_of_one_clip_has_no_other() -> None:
    table, rng = ClipTable([2], Strided((0, 1), [1], [1.0]), seed=0), np.random.default_rng(0)
    assert [table.other(index, rng) for index in range(3)] == [0, 1, 2]
    table = ClipTable([4, 2], Strided((0, 1), [1], [1.0]), seed=0)
    assert {table.other(4, rng) for _ in range(40)} == {3, 5}
