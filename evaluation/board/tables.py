"""Leaderboards as CSV (fractions), and as Markdown, LaTeX and terminal output (percent)."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from vosbench.evaluation.board.columns import checkpoint_name, is_text, kind
from vosbench.evaluation.board.leaderboard import Board
from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.board.statistics import Interval
from vosbench.evaluation.results.escaping import csv_cell, latex, latex_comment, markdown
from vosbench.util.terminal import Terminal

PRINTED = 40


def to_csv(boards: Sequence[Board]) -> str:
    """All boards as one table: scores and differences as fractions at full precision, empty if unknown."""
    rows = [_escaped(_values(row)) for board in boards for row in board.rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_markdown(boards: Sequence[Board]) -> str:
    return "\n".join(_markdown(board) for board in boards)


def to_latex(boards: Sequence[Board]) -> str:
    """Floating tables with captions, for the package booktabs."""
    return "\n".join(_latex(board) for board in boards)


def show(boards: Sequence[Board]) -> None:
    """Prints the boards, at most the first 40 rows of each."""
    console = Terminal()
    if not console.is_terminal:
        console.width = max(console.width, 200)
    for board in boards:
        headers, rows = board.cells
        hidden = [f"{len(rows) - PRINTED} more rows are in the files."] if len(rows) > PRINTED else []
        caption = "\n".join([*board.notes, *hidden])
        table = Table(title=f"{board.title} (percent)", caption=caption, caption_justify="left")
        for header in headers:
            table.add_column(header, justify="left" if is_text(header) else "right", overflow="fold")
        for row in rows[:PRINTED]:
            table.add_row(*row)
        console.print(table)


def _escaped(values: dict[str, Any]) -> dict[str, Any]:
    return {str(csv_cell(key)): csv_cell(value) for key, value in values.items()}


def _values(row: Row) -> dict[str, Any]:
    record, speed = row.record, row.record.speed or {}
    bounds = ((row.measure.name, row.interval), ("to-best", row.to_best), ("to-baseline", row.to_baseline))
    return {
        **kind(row),
        "inference": record.inference,
        "method": record.method,
        "algorithm": record.algorithm,
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
        "quoted_from": "; ".join(row.sources.values()),
        "remarks": " ".join(record.remarks),
    }


def _interval_values(name: str, interval: Interval | None) -> Iterator[tuple[str, float | None]]:
    mean, low, high = interval or (None, None, None)
    if name.startswith("to-"):
        yield name, mean
    yield f"{name}-low", low
    yield f"{name}-high", high


def _markdown(board: Board) -> str:
    headers, rows = board.cells
    lines = [headers, ["---"] * len(headers), *rows]
    table = "\n".join("| " + " | ".join(map(markdown, line)) + " |" for line in lines)
    notes = "\n".join(f"- {markdown(note)}" for note in board.notes)
    return f"## {markdown(board.title)}\n\nScores in percent.\n\n{table}\n\n{notes}\n"


def _latex(board: Board) -> str:
    headers, rows = board.cells
    head, *body = (" & ".join(map(latex, line)) + r" \\" for line in [headers, *rows])
    alignment = "".join("l" if is_text(header) else "r" for header in headers)
    lines = [
        *map(latex_comment, board.notes),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(board.title)}; scores in percent}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        *(r"\toprule", head, r"\midrule", *body, r"\bottomrule"),
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
