"""Confidence of a mean over a few dozen videos: bootstrap over sequences (Efron 1979), and paired differences.

Sequences are drawn with replacement, each with all its objects; the statistic is a flat mean over objects.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from vosbench.evaluation.object_key import ObjectKey


class Interval(NamedTuple):
    """A mean over objects and its 95 % interval; the bounds are None with fewer than two sequences."""

    mean: float
    low: float | None
    high: float | None


def bootstrap(
    values: Mapping[ObjectKey, float],
    resamples: int = 10_000,
    seed: int = 0,
    groups: Mapping[ObjectKey, str] | None = None,
) -> Interval | None:
    """Percentile interval of the mean of `values`, in any unit; None without values.

    groups  the group of each object: the statistic is then the mean of the groups' means (G of YouTube-VOS), and
            resamples without objects of a group are left out
    """
    if not values:
        return None
    group = {key: (groups or {}).get(key, "") for key in values}
    rows, columns = sorted({key.sequence for key in values}), sorted(set(group.values()))
    sums, counts = np.zeros((2, len(rows), len(columns)))
    for key in sorted(values, key=str):
        place = rows.index(key.sequence), columns.index(group[key])
        sums[place] += values[key]
        counts[place] += 1
    mean = float(np.mean(sums.sum(0) / counts.sum(0)))
    if len(rows) < 2:
        return Interval(mean, None, None)
    draws = _draws(len(rows), resamples, seed)
    with np.errstate(invalid="ignore"):
        means = (draws @ sums / (draws @ counts)).mean(1)
    low, high = np.nanpercentile(means, [2.5, 97.5])
    return Interval(mean, float(low), float(high))


def paired_difference(
    values: Mapping[ObjectKey, float],
    reference: Mapping[ObjectKey, float],
    resamples: int = 10_000,
    seed: int = 0,
    groups: Mapping[ObjectKey, str] | None = None,
) -> Interval | None:
    """Interval of mean(values − reference); None if the two are not about the same objects."""
    if set(values) != set(reference):
        return None
    return bootstrap({key: values[key] - reference[key] for key in values}, resamples, seed, groups)


@lru_cache(maxsize=4)
def _draws(sequences: int, resamples: int, seed: int) -> Float64[np.ndarray, "b s"]:
    """How often each sequence is drawn in each resample. All results use the same draws, so they stay comparable."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(sequences, np.full(sequences, 1 / sequences), resamples).astype(np.float64)
