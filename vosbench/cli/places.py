"""Where the jobs of a sweep write: no two into the same place, and none before those whose results it starts from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vosbench.cli import configuration
from vosbench.cli.commands import Command
from vosbench.runs.names import key_of
from vosbench.util.errors import UsageError
from vosbench.util.files import name_of

STARTS = ("init", "checkpoint")  # options that name the weights that a job starts from


class Place(NamedTuple):
    """Where a job writes: its output or run folder, and what has a place of its own inside."""

    folder: Path
    inside: tuple[str, ...]


@dataclass(frozen=True)
class Placed:
    """The command of a job, where it writes, and the files or folders that it starts from.

    place  None for a job that writes nothing, and for a wrong command: the others run, and it ends with its own error
    """

    verb: str
    words: tuple[str, ...]
    place: Place | None = None
    starts: tuple[Path, ...] = ()

    @classmethod
    def of(cls, verb: str, words: Sequence[str]) -> "Placed":
        try:
            config = configuration.compose(verb, words)
            folder, values = configuration.run_folder(config), configuration.resolve(config)
        except UsageError:
            return cls(verb, tuple(words))
        place = Place(Path(values.get("output") or folder).resolve(), _inside(values)) if folder else None
        starts = [Path(values[key]).resolve() for key in STARTS if isinstance(values.get(key), str)]
        return cls(verb, tuple(words), place, tuple(starts))

    def needs(self, other: "Placed") -> bool:
        """Whether this job starts from what the other makes."""
        if other.place is None or other is self:
            return False
        return any(other.place.folder in (start, *start.parents) for start in self.starts)


def _inside(values: dict[str, Any]) -> tuple[str, ...]:
    video, dataset = values.get("input"), values.get("dataset") or {}
    source = [name_of(Path(video))] if video else [dataset.get("name"), dataset.get("split"), values.get("protocol")]
    return tuple(map(str, (*source, values.get("size"), values.get("kinds"))))


def placed(jobs: Sequence[Command]) -> list[Placed]:
    """The jobs of a sweep, each once. Raises UsageError if two with different overrides would write into the same
    place."""
    seen: dict[Place, Placed] = {}
    found = [Placed.of(verb, words) for verb, words in dict.fromkeys((job.verb, tuple(job.words)) for job in jobs)]
    for job in found:
        before = job if job.place is None else seen.setdefault(job.place, job)
        keys = _differing(before.words, job.words)
        if job.place and keys:
            raise UsageError(_would_meet(job.words, job.place, keys))
    return found


def _differing(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """The keys that two lists of overrides set differently."""
    return list(dict.fromkeys(key_of(word) for word in (*one, *other) if (word in one) != (word in other)))


def _would_meet(words: Sequence[str], place: Place, keys: Sequence[str]) -> str:
    fixed = [key for key in ("name", "hydra.run.dir", "output") if key in map(key_of, words)]
    remedy = f"leave out {' and '.join(fixed)}, or " * bool(fixed)
    return (
        f"the results for different values of {', '.join(keys)} would meet in {place.folder}: "
        f"{remedy}run them one by one, each with {fixed[-1] if fixed else 'name'}= of its own"
    )


def waves(jobs: Sequence[Placed]) -> list[list[Placed]]:
    """The jobs in groups: those of a group may run at once, after all groups before it."""
    found: list[list[Placed]] = []
    left = list(jobs)
    while left:
        # Jobs that need each other, which nothing can satisfy, come last, and say themselves what is missing.
        first = [job for job in left if not any(job.needs(other) for other in left)] or left
        found.append(first)
        left = [job for job in left if job not in first]
    return found
