"""Which overrides make the rows of a paper's table: its own, or those of the table's sweep."""

from collections.abc import Mapping

from vosbench.cli import configuration
from vosbench.cli.sweep_file import SweepFile
from vosbench.evaluation.board.ablation import Needed
from vosbench.evaluation.published.schema import Table


def needed(table: Table) -> list[Needed]:
    """For each size of the table's experiment, the overrides that make each of its rows, by the row's key."""
    config = configuration.compose("benchmark", [f"sweep={table.sweep}"], partial=True)
    return [
        _of_scale(table, SweepFile.read(config.sweep, {}, scale)) for scale in (None, *config.sweep.get("scales", {}))
    ]


def _of_scale(table: Table, sweep: SweepFile) -> Needed:
    every = [f"{key}={value}" for key, value in sweep.params.items() if "," not in str(value)]
    return {row.key: frozenset([*every, *_words(row.ours, sweep)]) for row in table.rows if row.ours}


def _words(ours: Mapping[str, str], sweep: SweepFile) -> list[str]:
    if "row" in ours:
        return [word for words in sweep.rows[ours["row"]].overrides.values() for word in words]
    return [f"{key}={value}" for key, value in ours.items()]
