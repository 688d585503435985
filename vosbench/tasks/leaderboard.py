"""`vosbench leaderboard`: tables and a report, made from the result records in a folder alone."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vosbench.evaluation.board import report, tables
from vosbench.evaluation.board.leaderboard import Board, boards
from vosbench.evaluation.board.quoted import load_published
from vosbench.evaluation.board.rows import load
from vosbench.settings.options import FileName, Positive, Seed, Where
from vosbench.util.files import replace_file

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/leaderboard.yaml, which explains them."""

    runs: Where[FileName]
    run: Where[FileName]
    mixed: bool
    baseline: str | None
    published: bool
    resamples: Positive
    seed: Seed


def run(options: Options) -> None:
    """Raises UserError if there is no record that can be read, or if the baseline is unknown or ambiguous."""
    found = boards(
        load(Path(options.runs)),
        mixed=options.mixed,
        baseline=options.baseline,
        published=load_published() if options.published else (),
        resamples=options.resamples,
        seed=options.seed,
    )
    write(found, Path(options.run))
    tables.show(found)
    log.info("wrote %s/leaderboard.{csv,md,tex,html}", options.run)


def write(found: Sequence[Board], folder: Path, title: str = "Leaderboard") -> None:
    """Writes leaderboard.{csv,md,tex,html} into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "csv": tables.to_csv(found),
        "md": tables.to_markdown(found),
        "tex": tables.to_latex(found),
        "html": report.html(found, title),
    }
    for suffix, text in texts.items():
        replace_file(folder / f"leaderboard.{suffix}", text.encode(errors="replace"))  # names of files may be no text
