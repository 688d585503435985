"""What the trainings of a sweep came to: the best score in validation of each, those of several seeds as one."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vosbench.evaluation.board.sheet import Sheet
from vosbench.runs.names import key_of
from vosbench.util.reading import reading


def summary(runs: Mapping[Path, Sequence[str]]) -> Sheet | None:
    """A table of run folders and what was overridden in each. None if none was validated."""
    found: dict[tuple[str, ...], list[tuple[str, float, int]]] = {}
    shared = set.intersection(*(set(words) for words in runs.values())) if runs else set()
    for run, words in runs.items():
        if (best := _best(run / "metrics.csv")) is not None:
            own = tuple(word for word in words if word not in shared and key_of(word) != "seed")
            found.setdefault(own, []).append(best)
    if not found:
        return None
    measure = next(iter(found.values()))[0][0]
    rows = [[", ".join(own) or "–", *_cells(bests)] for own, bests in found.items()]
    notes = [f"All: {', '.join(sorted(shared))}."] * bool(shared)
    notes.append("The best step was chosen on these very videos.")
    return Sheet("Validation, percent", ["overridden", measure, "seeds", "step"], rows, notes)


def _cells(bests: Sequence[tuple[str, float, int]]) -> list[str]:
    values = [100 * value for _, value, _ in bests]
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return [f"{np.mean(values):.1f}{spread}", str(len(values)), ", ".join(f"{step:,}" for *_, step in bests)]


def _best(metrics: Path) -> tuple[str, float, int] | None:
    """The measure that comes first, its best value and the step after which it was reached."""
    if not metrics.is_file():
        return None
    with reading(metrics, "", "remove it"), metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    measure = next((key for row in rows for key in row if key.startswith("val/")), None)
    scored = [row for row in rows if measure and row[measure]]
    if measure is None or not scored:
        return None
    best = max(scored, key=lambda row: float(row[measure]))
    return measure.removeprefix("val/"), float(best[measure]), int(best["step"]) + 1
