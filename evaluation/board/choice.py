"""Which results a leaderboard is of: `where=` chooses by the fields of records."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from vosbench.evaluation.board.names import weights
from vosbench.evaluation.board.rows import COMPARABLE, Row
from vosbench.runs.names import key_of
from vosbench.util.errors import UserError, unknown
from vosbench.util.wording import some

log = logging.getLogger(__name__)
FIELDS = ("method", "algorithm", "supervision", "training_data", "inference", "run", "weights", *COMPARABLE)


def chosen(rows: Sequence[Row], where: Mapping[str, Any]) -> list[Row]:
    """The rows whose fields have these values, or one of a list of values; how many are left out is said.

    where  by FIELDS, or by the key of an override, such as {"method": ["mamp", "munet"], "method.top_k": 36}

    Raises UserError for a field that no record has, and if nothing is left.
    """
    overrides = {key_of(each) for row in rows for each in row.overrides}
    for field in where:
        if field not in (*FIELDS, *overrides):
            raise UserError(unknown("field", f"where.{field}", [f"where.{each}" for each in FIELDS]))
    kept = [row for row in rows if all(_value(row, field) in _allowed(values) for field, values in where.items())]
    if not kept:
        found = (f"{field} is {some(sorted({_value(row, field) for row in rows}), 10)}" for field in where)
        raise UserError(f"no result is left by where: {'; '.join(found)}")
    if len(kept) < len(rows):
        log.info("left out by where: %d of %d results", len(rows) - len(kept), len(rows))
    return kept


def _value(row: Row, field: str) -> str:
    if field == "weights":
        return weights(row) or "none"
    if field == "run":
        return row.run
    if field in COMPARABLE:
        return row.kind[COMPARABLE.index(field)]
    if field in FIELDS:
        return str(getattr(row.record, field) or "none")
    typed = [each.partition("=")[2] for each in row.overrides if key_of(each) == field]
    return typed[-1] if typed else "default"


def _allowed(values: Any) -> list[str]:
    return [str(value) for value in (values if isinstance(values, list | tuple) else [values])]
