"""Measures over time (J and F) of a video, as numbers that a plot draws and a slider reads."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped

from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.metrics import Curves
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.results import records
from vosbench.util.errors import UserError

OBJECTS = 12  # most of a video
POSITIONS = 1_000  # most of a video: more than a plot has pixels
Found = Mapping[ObjectKey, Curves]
Values = list[float | None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoCurves:
    """The curves of one video by several methods, in percent.

    positions  of the frames among the annotated frames of the video
    objects    titles: the mean over all objects, and each object if there are several
    values     by object, measure and method: one value for each position, or None
    """

    positions: list[int]
    objects: list[str]
    measures: Sequence[str]
    values: list[list[list[Values]]]


def measures_over_time(rows: Sequence[Row]) -> tuple[str, ...]:
    """The measures of the first protocol that has any over time."""
    return next((row.rules.over_time for row in rows if row.rules and row.rules.over_time), ())


def read_curves(row: Row, measures: Sequence[str]) -> dict[ObjectKey, Curves]:
    """The curves of objects that have all these measures, from the arrays beside the row's record."""
    try:
        curves = records.read_curves(row.path) if row.path and measures else {}
    except UserError as error:
        log.warning("no curves: %s", error)
        return {}
    return {key: curve for key, curve in curves.items() if set(measures) <= set(curve.measures)}


def most_different(methods: Sequence[Found], measures: Sequence[str]) -> list[str]:
    """The sequences by how much their mean over time differs between methods, those with the lowest mean first if
    several differ alike."""
    means: dict[str, list[float]] = {}
    for curves in methods:
        grouped: dict[str, list[float]] = {}
        for key, curve in curves.items():
            grouped.setdefault(key.sequence, []).extend(float(curve.measures[name].mean()) for name in measures)
        for sequence, values in grouped.items():
            means.setdefault(sequence, []).append(float(np.mean(values)))
    return sorted(means, key=lambda name: (-np.ptp(means[name]), np.mean(means[name]), name))


def curves_of(sequence: str, methods: Sequence[Found], measures: Sequence[str]) -> VideoCurves | None:
    """The curves of a sequence; None if no method has any."""
    own = [{key: curve for key, curve in found.items() if key.sequence == sequence} for found in methods]
    keys = sorted({key for found in own for key in found})
    if not keys:
        return None
    every = np.unique(np.concatenate([curve.frames for found in own for curve in found.values()]))
    positions = every[np.unique(np.linspace(0, len(every) - 1, min(len(every), POSITIONS)).round().astype(int))]
    tables = {
        name: [[_at(positions, found[key], name) if key in found else None for key in keys] for found in own]
        for name in measures
    }
    objects, chosen = [f"mean of {len(keys)} objects" if len(keys) > 1 else keys[0].title], [list(range(len(keys)))]
    if len(keys) > 1:
        objects += [f"object {key.id}" for key in keys[:OBJECTS]]
        chosen += [[place] for place in range(len(keys[:OBJECTS]))]
    values = [
        [[_mean([method[place] for place in places], len(positions)) for method in tables[name]] for name in measures]
        for places in chosen
    ]
    return VideoCurves([int(position) for position in positions], objects, measures, values)


def _at(positions: Shaped[np.ndarray, " n"], curve: Curves, measure: str) -> Float64[np.ndarray, " n"]:
    """The curve in percent at these positions, NaN where it has no value."""
    values = np.full(len(positions), np.nan)
    places = np.clip(np.searchsorted(positions, curve.frames), 0, len(positions) - 1)
    known = positions[places] == curve.frames
    values[places[known]] = 100 * curve.measures[measure][known]
    return values


def _mean(curves: Sequence[Float64[np.ndarray, " n"] | None], length: int) -> Values:
    """The mean of those that have a value at a position, to a tenth."""
    known = np.array([curve for curve in curves if curve is not None]).reshape(-1, length)
    count = np.isfinite(known).sum(0)
    sums = np.nansum(known, 0)
    return [round(float(total / n), 1) if n else None for total, n in zip(sums, count, strict=True)]
