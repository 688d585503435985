"""The tables in LaTeX are compiled, where there is a TeX."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from vosbench.evaluation.board import published_sheet
from vosbench.evaluation.board.latex import to_latex
from vosbench.evaluation.board.leaderboard import boards
from vosbench.evaluation.board.quoted import load_published
from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.published.tables import tables
from vosbench.evaluation.results.records import Record

ODD = "a_b & 50 % of $x$ {y} #1 \\input{/etc/passwd} ~^ <b> [c] *"
DOCUMENT = r"""
\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs,graphicx,amssymb}
\begin{document}
%s
\end{document}
"""


def compiled(text: str, folder: Path) -> str:
    """The log of pdflatex, which also tells what does not fit the page."""
    latex = shutil.which("pdflatex")
    if latex is None:
        pytest.skip("there is no TeX: install texlive-latex-recommended")
    (folder / "table.tex").write_text(DOCUMENT % text)
    command = [latex, "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


def test_leaderboards_compile_and_fit(tmp_path: Path) -> None:
    rows = []
    for number in range(50):
        objects = {f"v{i}_1": {"J-Mean": 0.5, "F-Mean": (number + i) / 100} for i in range(5)}
        made = Record(
            method=f"{ODD} {number}", dataset="davis2017", split="val", protocol="davis", resolution="480p",
            frames="all", scores={"J&F-Mean": number / 50, "J-Mean": 0.5, "F-Mean": number / 100}, objects=objects,
            supervision="self-supervised", training_data="davis2017 + youtube_vos",
        )  # fmt: skip
        rows.append(Row(replace(made, parameters=10**6 * number), f"run{number}", Path("x.json")))
    log = compiled(to_latex(boards(rows, published=load_published(), mixed="supervision", resamples=50)), tmp_path)
    assert "Overfull" not in log
    assert "Float too large" not in log


def test_tables_of_papers_compile(tmp_path: Path) -> None:
    compiled("\n".join(published_sheet.of(table).latex() for table in tables()), tmp_path)
