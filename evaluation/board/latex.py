"""Leaderboards in LaTeX: floating tables for booktabs and graphicx, the best score bold and the second underlined."""

from collections.abc import Sequence

from vosbench.evaluation.board.columns import UNKNOWN, Column, is_text, percent
from vosbench.evaluation.board.leaderboard import Board
from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.protocols.protocol import Measure
from vosbench.evaluation.results.escaping import latex, latex_comment
from vosbench.runs.identity import digest

PREAMBLE = "% needs \\usepackage{booktabs,graphicx}\n"
ROWS = 40  # of a table: no page holds more
UNPRINTED = ("Run", "Seen at", "Trained by", "p")  # columns that are for the other files
NARROW = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"  # only if it is too wide


def to_latex(boards: Sequence[Board]) -> str:
    """Each board as tables that fit a page."""
    return PREAMBLE + "\n".join(table for board in boards for table in _tables(board))


def _tables(board: Board) -> list[str]:
    columns = [column for column in board.columns if not column.header.startswith(("ms ", *UNPRINTED))]
    marks = {column.header: _marks(board.rows, column) for column in columns if column.score}
    return [_table(board, columns, marks, start) for start in range(0, len(board.rows), ROWS)]


def _table(board: Board, columns: Sequence[Column], marks: dict[str, dict[str, str]], start: int) -> str:
    """The rows from `start` on, as many as fit a page."""
    head = " & ".join(latex(column.header) for column in columns)
    body = [
        " & ".join(_cell(row, column, marks.get(column.header, {})) for column in columns) + r" \\"
        for row in board.rows[start : start + ROWS]
    ]
    title = f"{board.title}; scores in percent{', continued' * bool(start)}"
    lines = [
        *map(latex_comment, [] if start else board.notes),
        r"\begin{table}[tp]",
        r"\centering",
        rf"\caption{{{latex(title)}}}",
        rf"\label{{tab:vosbench-{digest(title)[:8]}}}",
        NARROW,
        rf"\begin{{tabular}}{{{''.join('l' if is_text(column.header) else 'r' for column in columns)}}}",
        *(r"\toprule", rf"{head} \\", r"\midrule", *body, r"\bottomrule"),
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _marks(rows: Sequence[Row], column: Column) -> dict[str, str]:
    """The commands that mark the best and the second best of a column's values, by what is printed of them."""
    measure = next((row.rules.measure(column.score) for row in rows if row.rules), Measure(column.score))
    values = {percent(score): score for row in rows if (score := row.record.scores.get(column.score)) is not None}
    ordered = sorted(values, key=lambda printed: measure.rank(values[printed]))
    return dict(zip(ordered, (r"\textbf", r"\underline"), strict=False))


def _cell(row: Row, column: Column, marks: dict[str, str]) -> str:
    text = latex(column.cell(row) or UNKNOWN)
    mark = marks.get(percent(row.record.scores.get(column.score)))
    return f"{mark}{{{text}}}" if mark else text
