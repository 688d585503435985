"""A leaderboard's columns, and the same boards as csv (fractions), Markdown, LaTeX and in the terminal (percent)."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vosbench.evaluation.board.leaderboard import COMPARABLE, Board, Row
from vosbench.evaluation.board.statistics import Interval
from vosbench.evaluation.protocols.protocol import described

UNKNOWN = "–"
PRINTED = 40
Column = tuple[str, Callable[[Row], str]]


def label(row: Row) -> str:
    """The method's name; † marks a number that was quoted, not measured."""
    return row.record.method + ("" if row.path else " †")


def checkpoint_name(row: Row) -> str:
    """`untrained`, or a checkpoint's name and the first 8 digits of its sha256."""
    checkpoint = row.record.checkpoint
    if isinstance(checkpoint, dict):
        return f"{checkpoint.get('name', '')} {checkpoint.get('sha256', '')[:8]}".strip()
    return checkpoint or ""


def columns(board: Board) -> list[Column]:
    """Header and cell of each column in which at least one row of the board has something to say."""
    measures = list(dict.fromkeys(name for row in board.rows for name in row.record.scores))
    headline = board.rows[0].headline_name

    def score(name: str) -> Column:
        return name.removesuffix("-Mean"), lambda row: _percent(row.record.scores.get(name))

    def kind(key: str) -> Column:
        return key.capitalize(), lambda row: _kind(row)[key]

    possible: list[Column] = [
        ("Method", label),
        *(kind(key) for key in COMPARABLE if board.mixed),
        ("Supervision", lambda row: row.record.supervision or ""),
        ("Trained on", lambda row: row.record.training_data or ""),
        ("Checkpoint", checkpoint_name),
        score(headline),
        ("95 %", lambda row: _bounds(row.interval)),
        *(score(name) for name in measures if name != headline),
        ("Δ best", lambda row: _difference(row.to_best)),
        ("Δ baseline", lambda row: _difference(row.to_baseline)),
        ("FPS", lambda row: _speed(row, "fps", ".2f")),
        ("ms p50", lambda row: _speed(row, "latency_ms", ".0f", "p50")),
        ("ms p95", lambda row: _speed(row, "latency_ms", ".0f", "p95")),
        ("Memory MB", lambda row: _speed(row, "peak_memory_mb", ".0f")),
        ("Param. M", lambda row: "" if row.record.parameters is None else f"{row.record.parameters / 1e6:.2f}"),
        ("Run", lambda row: row.run),
    ]
    return [(header, cell) for header, cell in possible if any(cell(row) for row in board.rows)]


def cells(board: Board) -> tuple[list[str], list[list[str]]]:
    """Headers, and each row's cells as text; scores in percent."""
    chosen = columns(board)
    return [header for header, _ in chosen], [[cell(row) or UNKNOWN for _, cell in chosen] for row in board.rows]


def is_text(header: str) -> bool:
    """Whether a column holds words, which stand left; numbers stand right."""
    return header in ("Method", "Supervision", "Trained on", "Checkpoint", "Run") or header.lower() in COMPARABLE


def to_csv(boards: Sequence[Board]) -> str:
    """All boards as one table: scores and differences as fractions at full precision, empty where unknown."""
    rows = [_values(row) for board in boards for row in board.rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_markdown(boards: Sequence[Board]) -> str:
    return "\n".join(_markdown(board) for board in boards)


def to_latex(boards: Sequence[Board]) -> str:
    """Tables for booktabs."""
    return "\n".join(_latex(board) for board in boards)


def show(boards: Sequence[Board]) -> None:
    """Prints the boards, at most the first 40 rows of each."""
    console = Console(markup=False)  # intervals stand in brackets
    if not console.is_terminal:
        console.width = max(console.width, 200)
    for board in boards:
        headers, rows = cells(board)
        hidden = [f"{len(rows) - PRINTED} more rows are in the files."] if len(rows) > PRINTED else []
        caption = "\n".join([*board.notes, *hidden])
        table = Table(title=f"{board.title} (percent)", caption=caption, caption_justify="left")
        for header in headers:
            table.add_column(header, justify="left" if is_text(header) else "right", overflow="fold")
        for row in rows[:PRINTED]:
            table.add_row(*row)
        console.print(table)


def _kind(row: Row) -> dict[str, str]:
    """What only results of one kind have in common, as tables print it."""
    return {**dict(zip(COMPARABLE, row.kind, strict=True)), "protocol": described(row.record.protocol)}


def _values(row: Row) -> dict[str, Any]:
    record, speed = row.record, row.record.speed or {}
    bounds = ((row.headline_name, row.interval), ("to-best", row.to_best), ("to-baseline", row.to_baseline))
    return {
        **_kind(row),
        "method": record.method,
        "run": row.run,
        "supervision": record.supervision,
        "checkpoint": checkpoint_name(row),
        "training_data": record.training_data,
        **record.scores,
        **{key: value for name, interval in bounds for key, value in _interval_values(name, interval)},
        **{key: speed.get(key) for key in ("device", "precision", "size", "fps", "fps_sequence_mean")},
        **{f"latency_ms_{key}": (speed.get("latency_ms") or {}).get(key) for key in ("p50", "p95")},
        **{key: speed.get(key) for key in ("peak_memory_mb", "peak_memory_kind")},
        "parameters": record.parameters,
        "objects": len(record.objects) or None,
        "quoted_from": row.source,
    }


def _interval_values(name: str, interval: Interval | None) -> Iterator[tuple[str, float | None]]:
    mean, low, high = interval or (None, None, None)
    if name.startswith("to-"):
        yield name, mean
    yield f"{name}-low", low
    yield f"{name}-high", high


def _markdown(board: Board) -> str:
    headers, rows = cells(board)
    lines = [headers, ["---"] * len(headers), *rows]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    notes = "\n".join(f"- {note}" for note in board.notes)
    return f"## {board.title}\n\nScores in percent.\n\n{table}\n\n{notes}\n"


def _latex(board: Board) -> str:
    headers, rows = cells(board)
    lines = [" & ".join(map(_escape, line)) + r" \\" for line in [headers, *rows]]
    notes = "".join(f"% {note}\n" for note in board.notes)
    alignment = "".join("l" if is_text(header) else "r" for header in headers)
    rule = [f"\\begin{{tabular}}{{{alignment}}}", r"\toprule"]
    body = [*rule, lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}"]
    return f"% {board.title}; scores in percent\n{notes}" + "\n".join(body) + "\n"


def _escape(text: str) -> str:
    symbols = {
        "Δ": r"$\Delta$",
        "†": r"$\dagger$",
        "–": "--",
        "…": "--",
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
    }
    return re.sub(r"[&%$#_{}^\\~Δ†–…]", lambda match: symbols.get(match[0], f"\\{match[0]}"), text)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


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
