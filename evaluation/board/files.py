"""The files of a leaderboard."""

from collections.abc import Sequence
from pathlib import Path

from vosbench.evaluation.board import report, tables
from vosbench.evaluation.board.latex import to_latex
from vosbench.evaluation.board.leaderboard import Board
from vosbench.util.files import replace_file


def write(boards: Sequence[Board], folder: Path, title: str = "Leaderboard", *, refresh: int | None = None) -> None:
    """Writes leaderboard.{csv,md,tex,html} into `folder`. refresh: seconds after which an open page loads itself
    again."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "csv": tables.to_csv(boards),
        "md": tables.to_markdown(boards),
        "tex": to_latex(boards),
        "html": report.html(boards, title, refresh=refresh),
    }
    for suffix, text in texts.items():
        replace_file(folder / f"leaderboard.{suffix}", text.encode(errors="replace"))  # names of files may be no text
