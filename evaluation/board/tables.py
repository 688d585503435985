"""Leaderboards as CSV (fractions), and as Markdown and terminal output (percent)."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from vosbench.evaluation.board.columns import UNKNOWN, Column, checkpoint_name, is_text, kind
from vosbench.evaluation.board.leaderboard import Board
from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.board.sheet import Sheet
from vosbench.evaluation.board.statistics import Interval
from vosbench.evaluation.results.escaping import csv_cell
from vosbench.runs.trainings import total_hours
from vosbench.util.terminal import Terminal

PRINTED = 40
SHORT = ("Method", "Seeds", "95 %")


def to_csv(boards: Sequence[Board]) -> str:
    """All boards as one table: scores and differences as fractions at full precision, empty if unknown."""
    rows = [_escaped(_values(row)) for board in boards for row in board.rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_markdown(boards: Sequence[Board]) -> str:
    sheets = (Sheet(board.title, *board.cells, board.notes) for board in boards)
    return "\n".join(sheet.markdown("Scores in percent.") for sheet in sheets)


def show(boards: Sequence[Board]) -> None:
    """Prints the boards: the columns of SHORT, unless others were chosen, and at most the first 40 rows of each."""
    console = Terminal()
    for board in boards:
        shown = [column for column in board.columns if board.only or _is_short(column, board)]
        table = Table(title=f"{board.title} (percent)", caption=_caption(board), caption_justify="left")
        for column in shown:
            text = is_text(column.header)
            table.add_column(column.header, justify="left" if text else "right", overflow="fold", no_wrap=not text)
        for row in board.rows[:PRINTED]:
            table.add_row(*(column.cell(row) or UNKNOWN for column in shown))
        console.print(table)


def _is_short(column: Column, board: Board) -> bool:
    parts = board.rows[0].measure.parts
    scores = (board.rows[0].measure.name, *parts) if parts else [each.score for each in board.columns if each.score][:4]
    return column.score in scores if column.score else column.header in SHORT or column.header.startswith("FPS")


def _caption(board: Board) -> str:
    hidden = [f"{len(board.rows) - PRINTED} more rows are in the files."] if len(board.rows) > PRINTED else []
    return "\n".join([*board.notes, *hidden])


def _escaped(values: dict[str, Any]) -> dict[str, Any]:
    return {str(csv_cell(key)): csv_cell(value) for key, value in values.items()}


def _values(row: Row) -> dict[str, Any]:
    record, speed, training = row.record, row.record.speed or {}, row.record.training or {}
    bounds = ((row.measure.name, row.interval), ("to-best", row.to_best), ("to-baseline", row.to_baseline))
    return {
        **kind(row),
        "inference": record.inference,
        "method": record.method,
        "algorithm": record.algorithm,
        "name": row.name,
        "run": " ".join(each.run for each in row.seeds) or row.run,
        "seeds": len(row.seeds) or None,
        "supervision": record.supervision,
        "checkpoint": checkpoint_name(row),
        "training_data": record.training_data,
        **record.scores,
        **{f"{name}-std": row.spread(name) for name in record.scores if row.seeds},
        **{key: value for name, interval in bounds for key, value in _interval_values(name, interval)},
        **{key: speed.get(key) for key in ("device", "precision", "size", "fps", "fps_sequence_mean")},
        **{f"latency_ms_{key}": (speed.get("latency_ms") or {}).get(key) for key in ("p50", "p95")},
        **{key: speed.get(key) for key in ("peak_memory_mb", "peak_memory_kind")},
        "parameters": record.parameters,
        "training_steps": training.get("max_steps"),
        "training_hours": total_hours(training),
        "training_device": training.get("device"),
        "objects": len(record.objects) or None,
        "quoted_from": "; ".join(row.sources.values()),
        "remarks": " ".join(record.remarks),
    }


def _interval_values(name: str, interval: Interval | None) -> Iterator[tuple[str, float | None]]:
    mean, low, high, p = interval or (None, None, None, None)
    if name.startswith("to-"):
        yield name, mean
        if name == "to-baseline":
            yield f"{name}-p", p
    yield f"{name}-low", low
    yield f"{name}-high", high
