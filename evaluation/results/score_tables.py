"""The tables beside a record: those of the official tool, and one with every frame."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.results.escaping import csv_cell
from vosbench.evaluation.scoring.evaluate import Scores
from vosbench.util.files import replace_file


def write_tables(scores: Scores, split: str, folder: Path) -> None:
    """Writes the official tool's two CSVs (3 decimals) and one with every frame (full precision) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    measures = list(scores.scores)
    overall = [f"{scores.scores[measure]:.3f}" for measure in measures]
    _write_csv(folder / f"global_results-{split}.csv", measures, [overall])
    every = dict.fromkeys(measure for values in scores.objects.values() for measure in values)
    means = [measure for measure in every if not measure.endswith(("-Recall", "-Decay"))]
    rows = [
        [str(key), *(f"{values[measure]:.3f}" if measure in values else "" for measure in means)]
        for key, values in scores.objects.items()
    ]
    _write_csv(folder / f"per-sequence_results-{split}.csv", ["Sequence", *means], rows)
    over_time = list(dict.fromkeys(name for curves in scores.curves.values() for name in curves.measures))
    rows = [row for key in scores.stems for row in _frame_rows(scores, key, over_time)]
    _write_csv(folder / f"per-frame_results-{split}.csv", ["Sequence", "Frame", *over_time], rows)


def _frame_rows(scores: Scores, key: ObjectKey, measures: Sequence[str]) -> list[list[str]]:
    values = [scores.curves[key].measures[measure].tolist() for measure in measures]
    return [[str(key), stem, *map(str, row)] for stem, *row in zip(scores.stems[key], *values, strict=True)]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([csv_cell(value) for value in row] for row in [header, *rows])
    replace_file(path, text.getvalue().encode(errors="replace"))
