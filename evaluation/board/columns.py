"""The columns of a leaderboard: their headers, and their cells as text (scores in percent)."""

from collections.abc import Callable, Sequence

from vosbench.evaluation.board.rows import COMPARABLE, Row
from vosbench.evaluation.board.statistics import Interval

UNKNOWN = "–"
Column = tuple[str, Callable[[Row], str]]
TEXT = {
    "Method",
    "Supervision",
    "Trained on",
    "Checkpoint",
    "Seen at",
    "Run",
    "Quoted from",
    *(key.capitalize() for key in COMPARABLE),
}


def of(rows: Sequence[Row], *, mixed: bool) -> list[Column]:
    """Header and cell of each column that is not empty in all rows of a board."""
    measures = list(dict.fromkeys(name for row in rows for name in row.record.scores))
    headline = rows[0].measure.name
    possible: list[Column] = [
        ("Method", label),
        *(_kind(key) for key in COMPARABLE if mixed),
        *([] if mixed else [("Subset", lambda row: row.part or "")]),
        ("Seen at", lambda row: row.record.inference or ""),
        ("Supervision", lambda row: row.record.supervision or ""),
        ("Trained on", lambda row: row.record.training_data or ""),
        ("Checkpoint", checkpoint_name),
        _score(headline),
        ("95 %", lambda row: _bounds(row.interval)),
        *(_score(name) for name in measures if name != headline),
        ("Δ best", lambda row: _difference(row.to_best)),
        ("Δ baseline", lambda row: _difference(row.to_baseline)),
        ("FPS", lambda row: _speed(row, "fps", ".2f")),
        ("ms p50", lambda row: _speed(row, "latency_ms", ".0f", "p50")),
        ("ms p95", lambda row: _speed(row, "latency_ms", ".0f", "p95")),
        ("Memory MB", lambda row: _speed(row, "peak_memory_mb", ".0f")),
        ("Param. M", lambda row: "" if row.record.parameters is None else f"{row.record.parameters / 1e6:.2f}"),
        ("Run", lambda row: row.run),
        ("Quoted from", lambda row: ", ".join(row.sources)),
    ]
    return [(header, cell) for header, cell in possible if any(cell(row) for row in rows)]


def label(row: Row) -> str:
    """The method's name; † marks a number that was quoted, not measured."""
    return row.record.method + ("" if row.path else " †")


def checkpoint_name(row: Row) -> str:
    """`untrained`, or a checkpoint's name and the first 8 digits of its sha256."""
    checkpoint = row.record.checkpoint
    if isinstance(checkpoint, dict):
        return f"{checkpoint.get('name', '')} {checkpoint.get('sha256', '')[:8]}".strip()
    return checkpoint or ""


def kind(row: Row) -> dict[str, str]:
    """The fields that results of one kind have in common, as tables print them."""
    return {**dict(zip(COMPARABLE, row.kind, strict=True)), "protocol": row.protocol_title}


def is_text(header: str) -> bool:
    """Whether a column holds text, which is aligned left; numbers are aligned right."""
    return header in TEXT


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _kind(key: str) -> Column:
    return key.capitalize(), lambda row: kind(row)[key]


def _score(name: str) -> Column:
    return name.removesuffix("-Mean"), lambda row: percent(row.record.scores.get(name))


def _bounds(interval: Interval | None) -> str:
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f"{100 * interval.low:.1f} … {100 * interval.high:.1f}"


def _difference(interval: Interval | None) -> str:
    if interval is None:
        return ""
    mean, low, high = interval
    bounds = "" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{100 * mean:+.1f}{bounds}"


def _speed(row: Row, key: str, precision: str, part: str | None = None) -> str:
    value = (row.record.speed or {}).get(key)
    value = (value or {}).get(part) if part else value
    return "" if value is None else format(value, precision)
