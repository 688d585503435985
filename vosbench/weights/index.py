"""The weights that ship with vosbench: what index.yaml says of them, and their files, which have to be those."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vosbench.util.errors import UserError
from vosbench.util.files import content_digest

FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Score:
    """Scores of weights in percent, by the protocol's names; what they were measured on, and the command.

    interval  95 % of the first score, low and high, by bootstrap over sequences; None: it is not a mean over several
    """

    values: Mapping[str, float]
    where: str
    interval: Sequence[float] | None
    command: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a model card says of weights; None where it is unknown.

    choice       words of a command that choose the method and its network: method=munet_small
    algorithm    the method's own name: munet
    parameters   their number
    data, steps, hours  what they learned from, earlier stages first, and how long
    recipe       the commands of their training, earlier stages first
    notes, use, limits  sentences: what they are, what they are for, and where they fail
    exactness    a sentence on how close the file is to the weights as they were trained
    """

    choice: str
    algorithm: str
    parameters: int
    supervision: str
    data: Sequence[str]
    steps: int | None
    hours: float | None
    recipe: Sequence[str]
    licence: str
    notes: str
    use: str
    limits: str
    exactness: str
    scores: Sequence[Score]


@dataclass(frozen=True)
class Shipped:
    """Weights that ship with vosbench. `facts` are those of their card."""

    path: Path
    sha256: str
    facts: Facts

    def checked(self) -> Path:
        """The file. Raises UserError if it is missing, or if its sha256 is not that of the index."""
        found = content_digest(self.path) if self.path.is_file() else None
        if found == self.sha256:
            return self.path
        told = (
            "are missing" if found is None else f"have the sha256 {found[:12]}…, not {self.sha256[:12]}… of the index"
        )
        clone = shlex.join(["git", "-C", str(self.path.parent), "checkout", self.path.name])
        raise UserError(f"the shipped weights {self.path} {told}: install vosbench again, or in a clone: {clone}")


@cache
def index() -> Mapping[str, Shipped]:
    """All shipped weights by name."""
    entries = yaml.safe_load((FOLDER / "index.yaml").read_text(encoding="utf-8"))
    return {name: _entry(**entry) for name, entry in entries.items()}


def _entry(file: str, sha256: str, scores: list[dict[str, Any]], **facts: Any) -> Shipped:
    return Shipped(FOLDER / file, sha256, Facts(**facts, scores=[Score(**score) for score in scores]))
