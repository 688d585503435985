"""Short names of rows for plots, captions and lists, where a row has no columns that tell it apart."""

from collections import Counter
from collections.abc import Sequence

from vosbench.evaluation.board.columns import checkpoint_name, label
from vosbench.evaluation.board.rows import Row

LONGEST = 200  # letters of a name


def names(rows: Sequence[Row]) -> list[str]:
    """A short name for each row, each different: the method, if necessary with its checkpoint, then its run.

    The names also mark supervised rows, since figures and pictures have no other place for that.
    """
    short = [label(row) + (f", {row.record.supervision}" if _is_marked(row) else "") for row in rows]
    longer = [
        f"{name} ({checkpoint_name(row)})" if row.record.checkpoint else name
        for name, row in zip(short, rows, strict=True)
    ]
    full = [f"{name}, {row.run}" if row.run else name for name, row in zip(longer, rows, strict=True)]
    chosen = _told_apart(_told_apart(short, longer), full)
    chosen = [name if len(name) <= LONGEST else f"{name[:LONGEST]}…" for name in chosen]
    return _told_apart(chosen, [f"{name} #{place}" for place, name in enumerate(chosen, 1)])


def _told_apart(names: Sequence[str], longer: Sequence[str]) -> list[str]:
    """The names, but the longer ones for those that occur several times."""
    count = Counter(names)
    return [b if count[a] > 1 else a for a, b in zip(names, longer, strict=True)]


def _is_marked(row: Row) -> bool:
    return row.record.supervision in ("supervised", "flow-supervised")
