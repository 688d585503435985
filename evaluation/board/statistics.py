"""Confidence of a mean over a few dozen videos and a few seeds: bootstrap (Efron 1979) and paired differences.

Sequences are drawn with replacement, each with all its objects, and so are the seeds of a result. The statistic is a
flat mean over objects.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from vosbench.evaluation.object_key import ObjectKey

Values = Mapping[ObjectKey, float]
Groups = Mapping[ObjectKey, str]


class Interval(NamedTuple):
    """A mean over objects and its 95 % interval; the bounds are None with fewer than two sequences.

    p  of a difference: the probability of one as large if the two results were alike, by exchanging them at random in
       each sequence (sign-flip test); None for a mean, and with fewer than two sequences
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None = None


def bootstrap(
    seeds: Sequence[Values], resamples: int = 10_000, seed: int = 0, groups: Groups | None = None
) -> Interval | None:
    """Percentile interval of a mean over objects, in any unit; None without values.

    seeds   the values of the same objects, once for each seed
    groups  the group of each object: the statistic is then the mean of the groups' means (G of YouTube-VOS), and
            resamples without objects of a group are left out
    """
    if not seeds or not seeds[0]:
        return None
    sums, counts = _sums(seeds, groups)
    mean = _mean(sums, counts)
    if len(counts) < 2:
        return Interval(mean, None, None)
    return Interval(mean, *_bounds(_resampled(sums, counts, resamples, seed, 0)))


def paired_difference(
    seeds: Sequence[Values],
    reference: Sequence[Values],
    resamples: int = 10_000,
    seed: int = 0,
    groups: Groups | None = None,
) -> Interval | None:
    """Interval of mean(seeds) − mean(reference) over the same sequences; None if they are not about the same objects.
    Their seeds are drawn apart, since a seed of one has nothing in common with that of another."""
    if len({frozenset(values) for values in (*seeds, *reference)}) > 1 or not seeds[0]:
        return None
    (sums, counts), (others, _) = _sums(seeds, groups), _sums(reference, groups)
    mean = _mean(sums, counts) - _mean(others, counts)
    if len(counts) < 2:
        return Interval(mean, None, None)
    drawn = _resampled(sums, counts, resamples, seed, 1) - _resampled(others, counts, resamples, seed, 2)
    return Interval(mean, *_bounds(drawn), _sign_flip(sums.mean(0) - others.mean(0), counts, resamples, seed))


def _sums(
    seeds: Sequence[Values], groups: Groups | None
) -> tuple[Float64[np.ndarray, "k s g"], Float64[np.ndarray, "s g"]]:
    """For each seed, the sum over objects by sequence and group; and the numbers of objects."""
    keys = sorted(seeds[0], key=str)
    group = [(groups or {}).get(key, "") for key in keys]
    names, columns = sorted({key.sequence for key in keys}), sorted(set(group))
    row, column = {name: i for i, name in enumerate(names)}, {name: i for i, name in enumerate(columns)}
    places = [row[key.sequence] for key in keys], [column[name] for name in group]
    sums, counts = np.zeros((len(seeds), len(names), len(columns))), np.zeros((len(names), len(columns)))
    np.add.at(counts, places, 1)
    for total, values in zip(sums, seeds, strict=True):
        np.add.at(total, places, [values[key] for key in keys])
    return sums, counts


def _mean(sums: Float64[np.ndarray, "k s g"], counts: Float64[np.ndarray, "s g"]) -> float:
    return float(np.mean(sums.mean(0).sum(0) / counts.sum(0)))


def _resampled(
    sums: Float64[np.ndarray, "k s g"], counts: Float64[np.ndarray, "s g"], resamples: int, seed: int, stream: int
) -> Float64[np.ndarray, " b"]:
    """The statistic of each resample; NaN where a group has no objects."""
    draws = _draws(len(counts), resamples, seed, 0)
    weights = _draws(len(sums), resamples, seed, 1 + stream) / len(sums)
    totals = np.einsum("bk,ksg,bs->bg", weights, sums, draws, optimize=True)
    with np.errstate(invalid="ignore"):
        return np.asarray((totals / (draws @ counts)).mean(1))


def _bounds(means: Float64[np.ndarray, " b"]) -> tuple[float, float]:
    low, high = np.nanpercentile(means, [2.5, 97.5])
    return float(low), float(high)


def _sign_flip(
    differences: Float64[np.ndarray, "s g"], counts: Float64[np.ndarray, "s g"], resamples: int, seed: int
) -> float:
    signs = np.random.default_rng([seed, 4]).choice([-1.0, 1.0], (resamples, len(counts)))
    drawn = np.abs((signs @ differences / counts.sum(0)).mean(1))
    found = abs(float((differences.sum(0) / counts.sum(0)).mean()))
    return float((1 + np.sum(drawn >= found * (1 - 1e-9))) / (1 + resamples))


@lru_cache(maxsize=16)
def _draws(count: int, resamples: int, seed: int, stream: int) -> Float64[np.ndarray, "b n"]:
    """How often each of `count` things is drawn in each resample. All results use the same draws of sequences, so they
    stay comparable."""
    if count == 1:
        return np.ones((resamples, 1))
    generator = np.random.default_rng([seed, stream] if stream else seed)
    return generator.multinomial(count, np.full(count, 1 / count), resamples).astype(np.float64)
