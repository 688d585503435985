"""`vosbench leaderboard`: tables and a report, made from result records alone."""

import logging
from dataclasses import dataclass
from pathlib import Path
from time import sleep, strftime
from typing import Any

from vosbench.cli import papers
from vosbench.evaluation.board import ablation, published_sheet, reproduction, tables
from vosbench.evaluation.board.choice import chosen
from vosbench.evaluation.board.files import write
from vosbench.evaluation.board.leaderboard import Board, Mixed, boards, only
from vosbench.evaluation.board.quoted import load_published
from vosbench.evaluation.board.rows import load, records_in
from vosbench.evaluation.published.tables import table
from vosbench.settings.options import FileName, Positive, Seed, Where
from vosbench.util.errors import UsageError

log = logging.getLogger(__name__)
PAUSE = 5  # seconds between two looks at the records
REFRESH = 30  # seconds after which an open page loads itself again


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/leaderboard.yaml, which explains them."""

    runs: Where[FileName | list[FileName]]
    run: Where[FileName]
    mixed: Mixed
    where: dict[str, Any] | None
    columns: list[str] | None
    baseline: str | None
    published: bool
    table: str | None = None
    reproduce: Where[str | None] = None
    watch: Where[bool] = False
    resamples: Positive
    seed: Seed

    def __post_init__(self) -> None:
        """Raises UsageError for no folder at all."""
        if not self.runs:
            raise UsageError("runs=[]: name a folder")

    @property
    def folders(self) -> list[Path]:
        return list(map(Path, [self.runs] if isinstance(self.runs, str) else self.runs))


def run(options: Options) -> None:
    """Raises UserError if there is no record that can be read, or for options that name nothing."""
    if options.reproduce is not None:
        print("\n".join(reproduction.commands(load(*options.folders), options.reproduce)))
    elif options.table is not None:
        _beside_paper(options, options.table)
    elif options.watch:
        _watch(options)
    else:
        found = _boards(options)
        write(found, Path(options.run))
        tables.show(found)
        log.info("wrote %s/leaderboard.{csv,md,tex,html}", options.run)


def _boards(options: Options) -> list[Board]:
    found = boards(
        chosen(load(*options.folders), options.where or {}),
        mixed=options.mixed,
        baseline=options.baseline,
        published=load_published() if options.published else (),
        resamples=options.resamples,
        seed=options.seed,
    )
    return only(found, options.columns or ())


def _beside_paper(options: Options, name: str) -> None:
    """A paper's table, and if it is an ablation, ours beside it."""
    paper = table(name)
    sheet = published_sheet.of(paper)
    if paper.sweep:
        rows = [row for board in _boards(options) for row in board.rows]
        sheet = ablation.beside(paper, ablation.ours_of(paper, rows, papers.needed(paper)))
    sheet.write(Path(options.run, name))
    sheet.show()
    log.info("wrote %s/%s.{md,csv,tex}", options.run, name)


def _watch(options: Options) -> None:
    """Makes the files again whenever a record is added or changed, until it is interrupted."""
    page, seen = Path(options.run, "leaderboard.html"), None
    log.info("watching %s: an interrupt ends it", ", ".join(map(str, options.folders)))
    while True:
        now = {
            path: path.stat().st_mtime_ns for folder in options.folders for path in records_in(folder) if path.is_file()
        }
        if now != seen and now:
            write(_boards(options), Path(options.run), refresh=REFRESH)
            log.info("%s: %d records, %s", page, len(now), strftime("%H:%M:%S"))
        seen = now
        sleep(PAUSE)
