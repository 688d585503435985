"""The columns of a leaderboard: their headers, and their cells as text (scores in percent)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vosbench.evaluation.board.names import weights
from vosbench.evaluation.board.rows import COMPARABLE, OWN, Row
from vosbench.evaluation.board.statistics import Interval
from vosbench.runs.trainings import total_hours

UNKNOWN = "–"
TEXT = (
    *("Method", "Supervision", "Trained on", "Weights", "Seen at", "Trained by", "Run", "Quoted from"),
    *(key.capitalize() for key in COMPARABLE),
)


@dataclass(frozen=True)
class Column:
    """A column. `score`: the score that it shows, whose best values may be marked."""

    header: str
    cell: Callable[[Row], str]
    score: str = ""


def of(rows: Sequence[Row], *, mixed: bool) -> list[Column]:
    """Each column that is not empty in all rows of a board."""
    measures = list(dict.fromkeys(name for row in rows for name in row.record.scores))
    headline = rows[0].measure.name
    possible = [
        Column("Method", lambda row: row.name or row.record.method),
        *(_kind(key) for key in COMPARABLE if mixed),
        Column("Seen at", lambda row: row.record.inference or ""),
        Column("Supervision", lambda row: row.record.supervision or ""),
        Column("Trained on", lambda row: row.record.training_data or ""),
        Column("Weights", weights),
        Column("Seeds", lambda row: str(len(row.seeds)) if row.seeds else ""),
        _score(headline),
        Column("95 %", lambda row: _bounds(row.interval)),
        *(_score(name) for name in measures if name != headline),
        Column("Δ best", lambda row: _difference(row.to_best)),
        Column("Δ baseline", lambda row: _difference(row.to_baseline)),
        Column("p", lambda row: _probability(row.to_baseline)),
        *_speeds(rows),
        Column("Param. M", lambda row: "" if row.record.parameters is None else f"{row.record.parameters / 1e6:.2f}"),
        Column("Steps", lambda row: _training(row, "max_steps", ",")),
        Column("Hours", _hours),
        Column("Trained by", lambda row: _training(row, "device", "")),
        Column("Run", lambda row: ", ".join(each.run for each in row.seeds) or row.run),
        Column("Quoted from", lambda row: ", ".join(row.sources)),
    ]
    return [column for column in possible if any(column.cell(row) for row in rows)]


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
    return Column(key.capitalize(), lambda row: "" if kind(row)[key] == OWN else kind(row)[key])


def _score(name: str) -> Column:
    def cell(row: Row) -> str:
        spread = row.spread(name)
        return percent(row.record.scores.get(name)) + ("" if spread is None else f" ± {percent(spread)}")

    return Column(name.removesuffix("-Mean"), cell, name)


def _bounds(interval: Interval | None) -> str:
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f"{100 * interval.low:.1f} … {100 * interval.high:.1f}"


def _difference(interval: Interval | None) -> str:
    if interval is None:
        return ""
    bounds = ""
    if interval.low is not None and interval.high is not None:
        bounds = f" [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
    return f"{100 * interval.mean:+.1f}{bounds}"


def _probability(interval: Interval | None) -> str:
    if interval is None or interval.p is None:
        return ""
    return "<.001" if interval.p < 0.001 else f"{interval.p:.3f}".removeprefix("0")


def _speeds(rows: Sequence[Row]) -> list[Column]:
    """Speeds of one device in a column: those of several cannot be compared."""
    devices = sorted({device for row in rows if _speed(row, "fps", "") and (device := _device(row))})
    quoted = any(row.path is None and _speed(row, "fps", "") for row in rows)
    places = [(device, f" ({device})" if len(devices) > 1 or quoted else "") for device in devices]
    apart = [(device, mark) for device, mark in places if _has_memory(rows, device)]

    def column(header: str, device: str, *what: str) -> Column:
        return Column(header, lambda row: _speed(row, *what) if _device(row) == device else "")

    return [
        *(column(f"FPS{mark}", device, "fps", ".2f") for device, mark in places),
        *([column("FPS †", "", "fps", "g")] if quoted else []),
        *(column(f"ms p50{mark}", device, "latency_ms", ".0f", "p50") for device, mark in places),
        *(column(f"ms p95{mark}", device, "latency_ms", ".0f", "p95") for device, mark in places),
        *(column(f"GPU MB{mark}", device, "peak_memory_mb", ".0f") for device, mark in apart),
    ]


def _device(row: Row) -> str:
    return (row.record.speed or {}).get("device") or ("" if row.path is None else "unknown")


def _has_memory(rows: Sequence[Row], device: str) -> bool:
    """Whether memory was measured apart. On a processor it is that of the whole process, with all that it imports."""
    return any((row.record.speed or {}).get("peak_memory_kind") == "cuda" for row in rows if _device(row) == device)


def _speed(row: Row, key: str, precision: str, part: str | None = None) -> str:
    value = (row.record.speed or {}).get(key)
    value = (value or {}).get(part) if part else value
    return "" if value is None else format(value, precision)


def _training(row: Row, key: str, precision: str) -> str:
    value = (row.record.training or {}).get(key)
    return "" if value is None else format(value, precision)


def _hours(row: Row) -> str:
    hours = total_hours(row.record.training)
    return "" if hours is None else f"{hours:.2f}"
