"""The commands that make a result again, from its record alone."""

from collections.abc import Sequence

from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.results.records import Record
from vosbench.runs import trainings
from vosbench.util.errors import UserError, unknown


def commands(rows: Sequence[Row], run: str) -> list[str]:
    """What to type for the results of a run: comments on code and packages, then commands.

    Raises UserError for an unknown run, and for one that does not say how it was made.
    """
    found = [row for row in rows if run.rstrip("/") in (row.run, str(row.path and row.path.parents[1]))]
    if not found:
        raise UserError(unknown("run", run, sorted({row.run for row in rows})))
    lines = [line for row in found for line in (*_comments(row.record), *commands_of(row.record))]
    if not any(commands_of(row.record) for row in found):
        raise UserError(f"the records of {run} do not say how they were made")
    return list(dict.fromkeys(lines))


def commands_of(record: Record) -> list[str]:
    """The trainings of its weights, earlier stages first, and the command that scored them. Empty if the record does
    not say; weights that it does not know the training of are named in the last command."""
    origin, training = record.provenance or {}, record.training or {}
    line = origin.get("command")
    if not isinstance(line, str):
        return []
    return [*(trainings.commands(training) if training else []), line]


def _comments(record: Record) -> list[str]:
    origin = record.provenance or {}
    commits, versions = origin.get("commits") or [], origin.get("versions") or {}
    packages = " ".join(
        f"{name}=={version}" for name, version in versions.items() if name not in ("python", "vosbench")
    )
    python = f"# Python {versions['python']}; pip install {packages}" if "python" in versions else ""
    return [*(f"# git checkout {commit}" for commit in commits), *filter(None, [python])]
