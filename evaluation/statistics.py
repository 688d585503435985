"""How sure a mean over a few dozen videos is: bootstrap over sequences (Efron 1979), and paired differences.

Sequences are drawn with replacement, each with all its objects; the statistic is the flat mean over objects.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64


class Interval(NamedTuple):
    """A mean over objects and its 95 % interval; the bounds are None where there are fewer than two sequences."""

    mean: float
    low: float | None
    high: float | None


def bootstrap(values: Mapping[str, float], resamples: int = 10_000, seed: int = 0) -> Interval:
    """Percentile interval of the mean of `values`, which are by "<sequence>_<id>" and of any unit."""
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for name in sorted(values):
        sequence = sequence_of(name)
        sums[sequence] = sums.get(sequence, 0.0) + values[name]
        counts[sequence] = counts.get(sequence, 0) + 1
    mean = float(np.mean(list(values.values())))
    if len(sums) < 2:
        return Interval(mean, None, None)
    draws = _draws(len(sums), resamples, seed)
    means = (draws @ np.array(list(sums.values()))) / (draws @ np.array(list(counts.values()), np.float64))
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(mean, float(low), float(high))


def paired_difference(
    values: Mapping[str, float], reference: Mapping[str, float], resamples: int = 10_000, seed: int = 0
) -> Interval | None:
    """Interval of mean(values − reference) over the same objects; None when the two are not about the same objects."""
    if set(values) != set(reference):
        return None
    return bootstrap({name: values[name] - reference[name] for name in values}, resamples, seed)


def sequence_of(name: str) -> str:
    """ "<sequence>_<id>" → "<sequence>"."""
    return name.rpartition("_")[0]


@lru_cache(maxsize=4)
def _draws(sequences: int, resamples: int, seed: int) -> Float64[np.ndarray, "b s"]:
    """How often each sequence is drawn in each resample: the same for all results, which keeps them comparable."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(sequences, np.full(sequences, 1 / sequences), resamples).astype(np.float64)
