"""What results on several data sets came to: a line for each way of running a method."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vosbench.evaluation.board.columns import UNKNOWN, percent
from vosbench.evaluation.board.rows import Row, load_runs
from vosbench.evaluation.board.sheet import Sheet
from vosbench.runs.names import key_of

PLACES = ("dataset", "propagation", "protocol")  # keys of what differs between the data sets of a line


def across(done: Mapping[Path, Sequence[str]], runs: Path) -> Sheet | None:
    """A table of run folders and what was overridden in each, with the first scores of each protocol in percent. None
    if there are results of fewer than two data sets."""
    lines: dict[tuple[str, ...], list[Row]] = {}
    for folder, words in done.items():
        own = tuple(word for word in words if key_of(word).split(".")[0] not in PLACES)
        lines.setdefault(own, []).extend(load_runs(runs, [folder]))
    every = [row for rows in lines.values() for row in rows]
    if len({row.record.dataset for row in every}) < 2:
        return None
    shared = set.intersection(*map(set, lines))
    headers = list(dict.fromkeys(header for row in every for header in _scores(row)))
    cells = [_line(own, shared, rows, headers) for own, rows in lines.items() if rows]
    notes = [f"All: {', '.join(sorted(shared))}."] * bool(shared)
    return Sheet("Data sets together, percent", ["method", "propagation", *headers], cells, notes, texts=2)


def _line(own: Sequence[str], shared: set[str], rows: Sequence[Row], headers: Sequence[str]) -> list[str]:
    scores = {header: cell for row in rows for header, cell in _scores(row).items()}
    name = ", ".join([rows[0].record.method, *(word for word in own if word not in shared)])
    propagation = ", ".join(dict.fromkeys(row.record.propagation or "own" for row in rows))
    return [name, propagation, *(scores.get(header, UNKNOWN) for header in headers)]


def _scores(row: Row) -> dict[str, str]:
    """The first scores of a result, by data set and measure."""
    shown = row.rules.headlines if row.rules else 1
    names = list(row.record.scores)[:shown]
    labels = {name: row.rules.measure(name).label if row.rules else name for name in names}
    return {f"{row.record.dataset} {labels[name]}": percent(row.record.scores[name]) for name in names}
