"""Confidence of a mean over a few dozen videos and a few seeds: bootstrap (Efron 1979) and paired differences.

Sequences are drawn with replacement, each with all its objects, and so are the seeds of a result. The statistic is a
flat mean over objects. What is drawn is summed in single precision, which is finer than a resample by far.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

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


@dataclass(frozen=True, eq=False)
class Sample:
    """The values of a result by sequence, once for each of its seeds.

    keys    the objects
    sums    over the objects of a sequence and group
    counts  numbers of these objects
    """

    keys: frozenset[ObjectKey]
    sums: Float64[np.ndarray, "k s g"]
    counts: Float64[np.ndarray, "s g"]

    @classmethod
    def of(cls, seeds: Sequence[Values], groups: Groups | None = None) -> "Sample | None":
        """Of the values of the same objects, once for each seed; None without values.

        groups  the group of each object: the statistic is then the mean of the groups' means (G of YouTube-VOS), and
                resamples without objects of a group are left out
        """
        if not seeds or not seeds[0]:
            return None
        keys = list(seeds[0])
        group = [(groups or {}).get(key, "") for key in keys]
        row, column = (_places(names) for names in ([key.sequence for key in keys], group))
        places = [row[key.sequence] for key in keys], [column[name] for name in group]
        sums, counts = np.zeros((len(seeds), len(row), len(column))), np.zeros((len(row), len(column)))
        np.add.at(counts, places, 1)
        for total, values in zip(sums, seeds, strict=True):
            np.add.at(total, places, [values[key] for key in keys])
        return cls(frozenset(keys), sums, counts)

    @property
    def mean(self) -> float:
        return float(np.mean(self.sums.mean(0).sum(0) / self.counts.sum(0)))


def bootstrap(sample: Sample | None, resamples: int = 10_000, seed: int = 0) -> Interval | None:
    """Percentile interval of a mean over objects, in any unit; None without values."""
    if sample is None:
        return None
    if len(sample.counts) < 2:
        return Interval(sample.mean, None, None)
    return Interval(sample.mean, *_bounds(_resampled(sample, resamples, seed, 0)))


def paired_difference(
    sample: Sample | None, reference: Sample | None, resamples: int = 10_000, seed: int = 0, *, tested: bool = True
) -> Interval | None:
    """Interval of the difference of two means over the same sequences; None if they are not about the same objects.
    Their seeds are drawn apart, since a seed of one has nothing in common with that of another.

    tested  whether to test the difference, too
    """
    if sample is None or reference is None or sample.keys != reference.keys:
        return None
    mean = sample.mean - reference.mean
    if len(sample.counts) < 2:
        return Interval(mean, None, None)
    drawn = _resampled(sample, resamples, seed, 0) - _resampled(reference, resamples, seed, 1)
    differences = sample.sums.mean(0) - reference.sums.mean(0)
    p = _sign_flip(differences, sample.counts, resamples, seed) if tested else None
    return Interval(mean, *_bounds(drawn), p)


def _places(names: Iterable[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(sorted(set(names)))}


@lru_cache(maxsize=8)
def _resampled(sample: Sample, resamples: int, seed: int, stream: int) -> Float32[np.ndarray, " b"]:
    """The statistic of each resample; NaN where a group has no objects. Kept for a few, since all rows of a table are
    compared with the same one. `stream`: tells apart what draws seeds of its own."""
    count = len(sample.sums)
    draws, sums = _draws(len(sample.counts), resamples, seed, 0), sample.sums.astype(np.float32)
    if count == 1:
        totals = draws @ sums[0]
    else:
        weights = _draws(count, resamples, seed, 1 + stream) / count
        drawn = (weights @ sums.reshape(count, -1)).reshape(resamples, *sample.counts.shape)
        totals = np.einsum("bs,bsg->bg", draws, drawn)
    numbers = _numbers(sample.counts.tobytes(), sample.counts.shape, resamples, seed)
    with np.errstate(invalid="ignore"):
        return np.asarray((totals / numbers).mean(1))


@lru_cache(maxsize=8)
def _numbers(counts: bytes, shape: tuple[int, int], resamples: int, seed: int) -> Float32[np.ndarray, "b g"]:
    """The numbers of objects of each group in each resample, the same for all results on the same videos."""
    return _draws(shape[0], resamples, seed, 0) @ np.frombuffer(counts).reshape(shape).astype(np.float32)


def _bounds(means: Float32[np.ndarray, " b"]) -> tuple[float, float]:
    """The percentiles 2.5 and 97.5, interpolated as NumPy does, which takes several times as long."""
    kept = means[~np.isnan(means)]
    places = np.array([0.025, 0.975]) * (len(kept) - 1)
    below, above = np.floor(places).astype(int), np.ceil(places).astype(int)
    ordered = np.partition(kept, np.unique([below, above]))
    low, high = ordered[below] + (places - below) * (ordered[above] - ordered[below])
    return float(low), float(high)


def _sign_flip(
    differences: Float64[np.ndarray, "s g"], counts: Float64[np.ndarray, "s g"], resamples: int, seed: int
) -> float:
    shares = (differences / counts.sum(0)).mean(1).astype(np.float32)
    drawn = np.abs(_signs(len(counts), resamples, seed) @ shares)
    found = abs(float(shares.sum()))
    return float((1 + np.sum(drawn >= found * (1 - 1e-5))) / (1 + resamples))  # as large, but for rounding


@lru_cache(maxsize=4)
def _signs(count: int, resamples: int, seed: int) -> Float32[np.ndarray, "b n"]:
    return np.random.default_rng([seed, 4]).choice([-1.0, 1.0], (resamples, count)).astype(np.float32, order="F")


@lru_cache(maxsize=16)
def _draws(count: int, resamples: int, seed: int, stream: int) -> Float32[np.ndarray, "b n"]:
    """How often each of `count` things is drawn in each resample. All results use the same draws of sequences, so they
    stay comparable. Column-major, which halves the time of a product with a few columns."""
    if count == 1:
        return np.ones((resamples, 1), np.float32)
    generator = np.random.default_rng([seed, stream] if stream else seed)
    return generator.multinomial(count, np.full(count, 1 / count), resamples).astype(np.float32, order="F")
