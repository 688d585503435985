"""What rows are called: by what a reader knows them by, and no two of a table alike."""

from collections import Counter
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from vosbench.evaluation.board.rows import Row
from vosbench.runs.names import key_of

LONGEST = 200  # letters
# Keys and groups of overrides that say nothing of how results differ within a table, or that have columns.
UNSAID = (
    *("runs", "name", "checkpoint", "init", "method", "experiment", "dataset", "data", "seed", "device", "workers"),
    *("cache", "pictures", "overwrite", "changed_code", "save_every", "sweep", "row", "launcher", "hydra", "run"),
)


def names(rows: Sequence[Row], *, marked: bool = False) -> list[str]:
    """A name for each row, each different: the method, if necessary with its weights (shipped, trained, untrained), the
    name that its run was given or what was overridden, or its whole run folder.

    marked  also says which rows are supervised: pictures and plots have no other place for that
    """
    found = [label(row) + (f", {row.record.supervision}" if marked and _learned(row) else "") for row in rows]
    shared = _shared(rows)
    for more in (weights, lambda row: _own(row, shared[row.record.method]), lambda row: row.run):
        found = _told_apart(found, rows, more)
    found = [name if len(name) <= LONGEST else f"{name[:LONGEST]}…" for name in found]
    several = _repeated(found)
    return [f"{name} #{place + 1}" if name in several else name for place, name in enumerate(found)]


def label(row: Row) -> str:
    """The method's name; † marks a number that was quoted, not measured."""
    return row.record.method + ("" if row.path else " †")


def weights(row: Row) -> str:
    """shipped, trained or untrained; empty for a method without weights and for quoted numbers."""
    checkpoint = row.record.checkpoint
    if not isinstance(checkpoint, dict):
        return checkpoint or ""
    name = str(checkpoint.get("name", ""))
    return "trained" if Path(name).suffix or name.startswith("hf:") else "shipped"


def overridden(row: Row) -> list[str]:
    """The overrides of a row's training and of its prediction by which it may differ from others."""
    return [each for each in row.overrides if not _is_unsaid(key_of(each))]


def _is_unsaid(key: str) -> bool:
    """Options of a method say how results differ; its recipe has a column."""
    return key in UNSAID or key.split(".")[0] in set(UNSAID) - {"method", "data", "hydra"}


def _shared(rows: Sequence[Row]) -> dict[str, set[str]]:
    """For each method, the overrides that all of its rows have."""
    found: dict[str, set[str]] = {}
    for row in rows:
        own = set(overridden(row))
        found[row.record.method] = found.get(row.record.method, own) & own
    return found


def _own(row: Row, shared: Container[str]) -> str:
    """The name that its run was given, or its overrides but for those that all rows of its method share."""
    if row.typed_name:
        return row.typed_name[0]
    return ", ".join(each for each in overridden(row) if each not in shared)


def _told_apart(found: Sequence[str], rows: Sequence[Row], more: Callable[[Row], str]) -> list[str]:
    """The names, with more said of those that several rows have, if it tells them apart."""
    said = [more(row) for row in rows]
    different: dict[str, set[str]] = {}
    for name, words in zip(found, said, strict=True):
        different.setdefault(name, set()).add(words)
    return [
        f"{name}, {words}" if words and len(different[name]) > 1 else name
        for name, words in zip(found, said, strict=True)
    ]


def _repeated(found: Sequence[str]) -> set[str]:
    return {name for name, count in Counter(found).items() if count > 1}


def _learned(row: Row) -> bool:
    return row.record.supervision in ("supervised", "flow-supervised")
