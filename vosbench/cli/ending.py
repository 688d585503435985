"""A sweep ends with its table: what was overridden, and the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vosbench.cli.places import Placed

SCORING = ("benchmark", "evaluate")


def tell(verb: str, jobs: Sequence[Placed], runs: Path, folder: Path) -> None:
    """Prints the table of those jobs that have results, and writes it into `folder`."""
    scored = [job for job in jobs if job.verb == verb and "plan=true" not in job.words]
    done = {job.place.folder: job.words for job in scored if job.place is not None}
    if verb in SCORING:
        _scores(done, runs, folder)
    elif verb == "train":
        from vosbench.training.summary import summary  # these imports take seconds, and most sweeps end otherwise

        if (sheet := summary(done)) is not None:
            sheet.write(folder / "validation")
            sheet.show()
            print(f"wrote {folder}/validation.{{md,csv,tex}}")


def _scores(done: Mapping[Path, Sequence[str]], runs: Path, folder: Path) -> None:
    from vosbench.evaluation.board import tables
    from vosbench.evaluation.board.across import across
    from vosbench.evaluation.board.files import write
    from vosbench.evaluation.board.leaderboard import boards
    from vosbench.evaluation.board.rows import load_runs
    from vosbench.evaluation.board.spread import spread

    if rows := load_runs(runs.resolve(), list(done)):
        found = boards(rows, mixed="supervision")
        found = [replace(board, notes=[*spread(board.rows), *board.notes]) for board in found]
        write(found, folder, "Sweep")
        tables.show(found)
        print(f"wrote {folder}/leaderboard.{{csv,md,tex,html}}")
    if (sheet := across(done, runs.resolve())) is not None:
        sheet.write(folder / "datasets")
        sheet.show()
        print(f"wrote {folder}/datasets.{{md,csv,tex}}")
