"""Intervals by resampling sequences: of means over objects, and over groups as G of YouTube-VOS has them."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from vosbench.evaluation.board import statistics
from vosbench.evaluation.board.statistics import Interval, Sample
from vosbench.evaluation.object_key import ObjectKey


def keyed(values: Mapping[str, Any]) -> dict[ObjectKey, Any]:
    return {ObjectKey.parse(name): value for name, value in values.items()}


def bootstrap(values: Mapping[str, float], seed: int = 0, groups: Mapping[str, str] | None = None) -> Interval | None:
    sample = Sample.of([keyed(values)], None if groups is None else keyed(groups))
    return statistics.bootstrap(sample, seed=seed)


def paired_difference(
    values: Mapping[str, float], reference: Mapping[str, float], groups: Mapping[str, str]
) -> Interval | None:
    one, other = (Sample.of([keyed(each)], keyed(groups)) for each in (values, reference))
    return statistics.paired_difference(one, other)


def test_bootstrap_resamples_sequences_with_all_their_objects() -> None:
    values = {"a_1": 0.0, "a_2": 0.0, "a_3": 0.0, "b_1": 1.0}
    interval = bootstrap(values)
    assert interval is not None
    assert interval.mean == 0.25
    assert (interval.low, interval.high) == (0.0, 1.0)  # only a's, or only b's: a quarter of the resamples each


def test_bootstrap_agrees_with_a_slow_one() -> None:
    generator = np.random.default_rng(1)
    values = {f"s{s}_{o}": float(generator.random()) for s in range(12) for o in range(1, 1 + s % 3 + 1)}
    grouped = [[v for n, v in values.items() if n.startswith(f"s{s}_")] for s in range(12)]
    means = [np.mean([v for s in generator.integers(0, 12, 12) for v in grouped[s]]) for _ in range(4000)]
    interval = bootstrap(values)
    assert interval is not None
    assert interval.low == pytest.approx(np.percentile(means, 2.5), abs=0.01)
    assert interval.high == pytest.approx(np.percentile(means, 97.5), abs=0.01)
    assert bootstrap(values) == interval
    assert bootstrap(values, seed=1) != interval


def test_one_sequence_has_no_interval() -> None:
    assert bootstrap({"a_1": 0.5, "a_2": 0.75}) == (0.625, None, None, None)


def brute_force(values: Mapping[str, float], groups: Mapping[str, str]) -> np.ndarray:
    """The mean over groups of every one of the n^n resamples of n sequences that hold all groups."""
    sequences = sorted({name.split("_")[0] for name in values})
    means = []
    for draw in itertools.product(sequences, repeat=len(sequences)):
        drawn: dict[str, list[float]] = {group: [] for group in set(groups.values())}
        for sequence in draw:
            for name, value in values.items():
                if name.startswith(f"{sequence}_"):
                    drawn[groups[name]].append(value)
        if all(drawn.values()):
            means.append(np.mean([np.mean(each) for each in drawn.values()]))
    return np.array(means)


def test_bootstrap_over_groups_by_brute_force() -> None:
    generator = np.random.default_rng(2)
    scores = {f"{s}_{o}": float(generator.random()) for s in "abcdef" for o in range(1, int(generator.integers(2, 5)))}
    groups = {name: "seen" if name[0] in "abc" or name.endswith("_2") else "unseen" for name in scores}
    interval = bootstrap(scores, groups=groups)
    assert interval is not None
    kinds = [np.mean([scores[name] for name in scores if groups[name] == kind]) for kind in ("seen", "unseen")]
    assert interval.mean == pytest.approx(np.mean(kinds), rel=0, abs=1e-12)
    assert interval.mean != pytest.approx(np.mean(list(scores.values())), abs=1e-3)
    exact = np.percentile(brute_force(scores, groups), [2.5, 97.5])
    assert (interval.low, interval.high) == pytest.approx(tuple(exact), abs=0.01)


def test_resamples_without_a_group_are_left_out() -> None:
    scores, groups = {"a_1": 0.25, "b_1": 0.75}, {"a_1": "seen", "b_1": "unseen"}
    assert bootstrap(scores, groups=groups) == (0.5, 0.5, 0.5, None)  # both are drawn, or the resample does not count
    interval = bootstrap(scores)
    assert interval is not None
    assert (interval.low, interval.high) == (0.25, 0.75)


def test_paired_difference_over_groups() -> None:
    one = {"a_1": 0.5, "a_2": 0.5, "b_1": 0.5}
    other = {"a_1": 0.4, "a_2": 0.2, "b_1": 0.6}
    difference = paired_difference(one, other, groups={"a_1": "seen", "a_2": "seen", "b_1": "unseen"})
    assert difference is not None
    assert difference.mean == pytest.approx((0.2 - 0.1) / 2)


def test_seeds_are_drawn_too() -> None:
    """Two seeds that lie apart widen the interval, which one of them alone would not show."""
    alike = {f"s{number}_1": 0.5 for number in range(10)}
    apart = statistics.bootstrap(Sample.of([keyed(dict.fromkeys(alike, value)) for value in (0.4, 0.6)]))
    assert apart is not None
    assert apart.mean == pytest.approx(0.5)
    assert (apart.low, apart.high) == pytest.approx((0.4, 0.6))  # one seed twice: a half of the resamples
    assert bootstrap(alike) == (0.5, 0.5, 0.5, None)


def test_seeds_of_both_sides_of_a_difference_are_drawn_apart() -> None:
    one = Sample.of([keyed({"a_1": low, "b_1": low}) for low in (0.4, 0.6)])
    difference = statistics.paired_difference(one, one)
    assert difference is not None
    assert difference.mean == pytest.approx(0)
    assert (difference.low, difference.high) == pytest.approx((-0.2, 0.2))


def test_sign_flip_agrees_with_all_flips() -> None:
    generator = np.random.default_rng(5)
    one = {f"s{number}_1": float(generator.random()) for number in range(8)}
    other = {name: value - float(generator.normal(0.1, 0.15)) for name, value in one.items()}
    differences = np.array([one[name] - other[name] for name in sorted(one)])
    flips = np.array(list(itertools.product([-1, 1], repeat=8)))
    exact = float(np.mean(np.abs((flips * differences).mean(1)) >= abs(differences.mean()) - 1e-12))
    found = paired_difference(one, other, {})
    assert found is not None
    assert found.p == pytest.approx(exact, abs=0.02)
    assert 0.01 < exact < 0.9
    same = paired_difference(one, dict(one), {})
    assert same is not None
    assert same.p == 1
