"""Rows that differ in their seed alone are one row: their mean, and how far they lie apart."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vosbench.evaluation.board.rows import Row

RATES = ("fps", "fps_sequence_mean")  # of a record's speed, of which seeds have a mean


def grouped(rows: Iterable[Row]) -> list[Row]:
    """The rows, with one for all that differ in their seed alone. Rows of one seed, such as a run and its repetition
    under another name, stay apart."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(_without_seed(row) or id(row), []).append(row)
    return [each for group in found.values() for each in _merged(group)]


def _without_seed(row: Row) -> tuple[Any, ...] | None:
    """What a row is, but for its seed; None if that is unknown."""
    record = row.record
    made = (record.provenance or {}).get("hashes") or {}
    if row.path is None or "method" not in made:
        return None
    checkpoint, training = record.checkpoint, record.training or {}
    weights: Any = checkpoint.get("sha256") if isinstance(checkpoint, dict) else checkpoint
    if training:
        weights = (training["recipe"], training["max_steps"])
    facts = (record.method, record.supervision, record.training_data, record.parameters, record.inference)
    precision = (record.speed or {}).get("precision")
    return *row.kind, row.annotations, *facts, made["method"], made.get("code"), precision, weights


def _seed(row: Row) -> tuple[Any, ...]:
    training, provenance = row.record.training or {}, row.record.provenance or {}
    return training.get("seed"), provenance.get("seed")


def _merged(rows: Sequence[Row]) -> list[Row]:
    same_objects = len({frozenset(row.record.objects) for row in rows}) == 1
    if len(rows) == 1 or len(set(map(_seed, rows))) < len(rows) or not same_objects:
        return list(rows)
    rows = sorted(rows, key=lambda row: (str(_seed(row)), row.run))
    first, others = rows[0], rows[1:]
    records = [row.record for row in rows]
    record = replace(
        first.record,
        scores=_mean([each.scores for each in records]),
        objects={key: _mean([each.objects[key] for each in records]) for key in first.record.objects},
        speed=_speed([each.speed for each in records]),
        remarks=list(dict.fromkeys(remark for each in records for remark in each.remarks)),
    )
    return [replace(first, record=record, seeds=(first, *others))]


def _mean(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = [name for name in values[0] if all(name in each for each in values)]
    return {name: float(np.mean([each[name] for each in values])) for name in names}


def _speed(speeds: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The mean speed; None if it was not measured, or on several devices."""
    known = [each for each in speeds if each]
    if len(known) < len(speeds) or len({each.get("device") for each in known}) > 1:
        return None
    means = _mean([{key: each[key] for key in RATES if each.get(key) is not None} for each in known])
    return {key: value for key, value in known[0].items() if key not in (*RATES, "latency_ms")} | means
