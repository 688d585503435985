"""How an option is declared: its type, its range, and what it means for the identity of a result.

An option is a field of a verb's Options, or a parameter of anything that has a `_target_`. An option without a role has
that of the option above it, or RESULT if there is none.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar

T = TypeVar("T")


class Role(Enum):
    """What the value of an option means for a result.

    RESULT   part of the result: another value gives another result, in another run folder
    WHERE    only where and how the result is computed, or its name: a device, a number of workers, a folder
    PLACED   part of the result, but not of the run folder's name: the folder has a separate place for each value
    CONTENT  a file or folder whose content is part of the result, not its name
    """

    RESULT = "result"
    WHERE = "where"
    PLACED = "placed"
    CONTENT = "content"


Counted = Annotated[T, Role.RESULT]
Where = Annotated[T, Role.WHERE]
Placed = Annotated[T, Role.PLACED]
Content = Annotated[T, Role.CONTENT]


@dataclass(frozen=True)
class Hint:
    """A hint added to the message about a value of the wrong type: `frames: Annotated[Frames, Hint("…")]`. `{place}` in
    it becomes the prefix of the option's key, such as "dataset."."""

    text: str


@dataclass(frozen=True)
class Range:
    """The range of an option: `Annotated[float, Range(0, 1)]`. With `above`, `least` itself is excluded."""

    least: float = -math.inf
    most: float = math.inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return value <= self.most and (value > self.least if self.above else value >= self.least)

    def __str__(self) -> str:
        least, most = (f"{bound:g}" if abs(bound) < 1e6 else f"{bound:.0f}" for bound in (self.least, self.most))
        if math.isinf(self.most):
            return f"more than {least}" if self.above else f"{least} or more"
        return f"more than {least}, up to {most}" if self.above else f"{least} to {most}"


@dataclass(frozen=True)
class NamesAFile:
    """Marks text that names a file or a folder: the command line takes it as it is typed, character by character."""


@dataclass(frozen=True)
class Keywords:
    """Declares a mapping as keyword arguments of `taker`, except those in `given`, which code passes:
    `Annotated[dict[str, Any], Keywords(Clips, given=("seed",))]`"""

    taker: Callable[..., Any]
    given: tuple[str, ...] = ()


FileName = Annotated[str, NamesAFile()]
Natural = Annotated[int, Range(0)]
Positive = Annotated[int, Range(1)]
Rate = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
