"""How much the scores of a sweep differ."""

from pathlib import Path
from typing import Any

from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.board.spread import spread
from vosbench.evaluation.results.records import Record


def row(score: float, *overrides: str, path: Path | None = Path("results/x.json"), **changes: Any) -> Row:
    where: dict[str, Any] = {
        "dataset": "davis2017",
        "split": "train",
        "protocol": "davis",
        "resolution": "480p",
        "frames": "all",
    }
    provenance = {"overrides": ["method=features", *overrides]}
    return Row(
        Record(method="m", **where, scores={"J&F-Mean": score}, provenance=provenance, objects={}, **changes), path=path
    )


def test_the_spread_over_a_grid() -> None:
    scores = {(5, 7): 0.40, (10, 7): 0.50, (5, 20): 0.44, (10, 20): 0.52}
    rows = [row(score, f"matching.top_k={k}", f"memory.last_n={n}") for (k, n), score in scores.items()]
    assert spread(rows) == [
        "J&F over these 4 rows: 40.0 to 52.0, mean 46.5, standard deviation 5.5.",
        "Mean J&F by matching.top_k: 5 42.0, 10 51.0.",
        "Mean J&F by memory.last_n: 7 45.0, 20 48.0.",
    ]


def test_a_key_with_one_row_a_value_has_no_means() -> None:
    rows = [row(score, f"backbone={name}") for name, score in (("a", 0.4), ("b", 0.5), ("c", 0.6))]
    assert spread(rows) == ["J&F over these 3 rows: 40.0 to 60.0, mean 50.0, standard deviation 10.0."]


def test_two_rows_and_quoted_ones_have_no_spread() -> None:
    assert spread([row(0.4), row(0.5), row(0.9, path=None)]) == []
