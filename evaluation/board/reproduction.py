"""The commands that make a result again, from its record alone."""

import shlex
from collections.abc import Sequence

from vosbench.evaluation.results.records import Record


def commands_of(record: Record) -> list[str]:
    """The trainings of its weights, earlier stages first, and the command that scored them. Empty if the record does
    not say; weights that it does not know the training of are named in the last command."""
    origin, training = record.provenance or {}, record.training or {}
    line = origin.get("command")
    if not isinstance(line, str):
        return []
    trained = [*training["earlier"], command("train", training["overrides"])] if training else []
    return [*trained, line]


def command(verb: str, overrides: Sequence[str]) -> str:
    """A command as it is typed in a shell."""
    return shlex.join(["vosbench", verb, *overrides])
