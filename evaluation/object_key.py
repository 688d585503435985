"""The name of an object: its sequence and its id there."""

from functools import lru_cache
from typing import NamedTuple


class ObjectKey(NamedTuple):
    """One object of a data set. As text, in records and tables, it is `<sequence>_<id>`."""

    sequence: str
    id: int

    def __str__(self) -> str:
        return f"{self.sequence}_{self.id}"

    @classmethod
    @lru_cache(maxsize=100_000)  # the records of a leaderboard name the same objects
    def parse(cls, text: str) -> "ObjectKey":
        """The object that `<sequence>_<id>` names; the sequence may contain underscores."""
        sequence, _, id_ = text.rpartition("_")
        return cls(sequence, int(id_))

    @property
    def title(self) -> str:
        """The name for a reader."""
        return f"{self.sequence}, object {self.id}"
