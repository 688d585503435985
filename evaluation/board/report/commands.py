"""The commands that made the rows of a board."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vosbench.evaluation.board import reproduction
from vosbench.evaluation.board.names import names
from vosbench.evaluation.board.rows import Row

FACTS = {"commit": 10, "seed": 20, "time": 25}  # letters of each that are shown


@dataclass(frozen=True)
class Command:
    """The commands of a row, and of each of its seeds: trainings first. `origin`: the code's commit, the seed and the
    time, as far as they are known."""

    name: str
    run: str
    line: str
    origin: str


def commands_of(rows: Sequence[Row]) -> list[Command]:
    """The commands of measured rows. Quoted rows have none, and neither have records that do not say."""
    found = []
    for name, group in zip(names(rows, marked=True), rows, strict=True):
        for row in group.seeds or (group,):
            if lines := reproduction.commands_of(row.record):
                found.append(Command(name, row.run, "\n".join(lines), _origin(row.record.provenance or {})))
    return found


def _origin(origin: dict[str, Any]) -> str:
    facts = {name: origin.get(name) for name in FACTS}
    return ", ".join(
        f"{name} {str(value)[: FACTS[name]]}" for name, value in facts.items() if isinstance(value, str | int)
    )
