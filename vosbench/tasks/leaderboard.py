"""`vosbench leaderboard`: tables and a report, made from the result records in a folder alone."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vosbench.evaluation.board import report, tables
from vosbench.evaluation.board.choice import chosen
from vosbench.evaluation.board.latex import to_latex
from vosbench.evaluation.board.leaderboard import Board, Mixed, boards, only
from vosbench.evaluation.board.quoted import load_published
from vosbench.evaluation.board.rows import load
from vosbench.settings.options import FileName, Positive, Seed, Where
from vosbench.util.files import replace_file

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/leaderboard.yaml, which explains them."""

    runs: Where[FileName | list[FileName]]
    run: Where[FileName]
    mixed: Mixed
    where: dict[str, Any]
    columns: list[str] | None
    baseline: str | None
    published: bool
    resamples: Positive
    seed: Seed


def run(options: Options) -> None:
    """Raises UserError if there is no record that can be read, or if the baseline is unknown or ambiguous."""
    found = boards(
        chosen(load(*map(Path, [options.runs] if isinstance(options.runs, str) else options.runs)), options.where),
        mixed=options.mixed,
        baseline=options.baseline,
        published=load_published() if options.published else (),
        resamples=options.resamples,
        seed=options.seed,
    )
    found = only(found, options.columns or ())
    write(found, Path(options.run))
    tables.show(found)
    log.info("wrote %s/leaderboard.{csv,md,tex,html}", options.run)


def write(found: Sequence[Board], folder: Path, title: str = "Leaderboard") -> None:
    """Writes leaderboard.{csv,md,tex,html} into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "csv": tables.to_csv(found),
        "md": tables.to_markdown(found),
        "tex": to_latex(found),
        "html": report.html(found, title),
    }
    for suffix, text in texts.items():
        replace_file(folder / f"leaderboard.{suffix}", text.encode(errors="replace"))  # names of files may be no text
