"""Rows that are quoted from papers. A result that several papers quote is one row."""

from collections.abc import Iterator
from dataclasses import replace

from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.published import schema
from vosbench.evaluation.published.tables import tables
from vosbench.evaluation.results.records import Record


def load_published() -> list[Row]:
    """The results of the papers' tables whose kind of frames is known, with scores as fractions; no ablations."""
    rows: list[Row] = []
    for row in (row for table in tables() if not table.sweep for row in _rows(table)):
        place = next((place for place, known in enumerate(rows) if _agree(known, row)), None)
        if place is None:
            rows.append(row)
        else:
            rows[place] = _joined(rows[place], row)
    return rows


def _rows(table: schema.Table) -> Iterator[Row]:
    for row in table.rows:
        for where in table.results:
            if row.frames or where.frames:
                yield _row(table, row, where)


def _row(table: schema.Table, row: schema.Row, where: schema.Where) -> Row:
    record = Record(
        method=row.system,
        supervision=row.supervision,
        training_data=row.training_data,
        parameters=row.parameters,
        dataset=where.dataset,
        split=where.split,
        protocol=where.protocol,
        resolution=where.resolution,
        frames=row.frames or where.frames or "",
        inference=row.inference,
        propagation=row.propagation,
        scores={name: round(value / 100, 6) for name, value in row.scores[where.dataset].items()},
        objects={},
        speed=None if row.fps is None else {"fps": row.fps},
    )
    return Row(record, sources={table.title: table.source}, remark=row.note)


def _agree(one: Row, other: Row) -> bool:
    """Whether both are the same result: a system's, with equal scores where both have them."""
    a, b = one.record, other.record
    shared = a.scores.keys() & b.scores.keys()
    equal = bool(shared) and all(a.scores[name] == b.scores[name] for name in shared)
    return equal and one.kind == other.kind and a.method == b.method


def _joined(one: Row, other: Row) -> Row:
    """One row with the scores, facts and sources of both; the first paper's facts win."""
    a, b = one.record, other.record
    both = {**b.scores, **a.scores}
    order = [measure.name for measure in one.rules.measures] if one.rules else list(both)
    record = replace(
        a,
        supervision=a.supervision or b.supervision,
        training_data=a.training_data or b.training_data,
        parameters=b.parameters if a.parameters is None else a.parameters,
        speed=a.speed or b.speed,
        scores={name: both[name] for name in order if name in both},
    )
    return replace(one, record=record, sources={**one.sources, **other.sources}, remark=one.remark or other.remark)
