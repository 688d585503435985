"""How an option is declared: beside its type, what it means for the identity of a result.

An option is a field of a verb's Options, or a parameter of anything that has a `_target_`. One that says nothing has
the role of the option that it lies under, and RESULT where none above says anything.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, TypeVar

T = TypeVar("T")


class Role(Enum):
    """What a value of an option means for a result.

    RESULT   a part of it: another value gives another result, in another run folder
    WHERE    only where and how the result is computed, or what it is called: a device, a number of workers, a folder
    PLACED   part of the result, but not of the run folder's name, since the folder has a place for each value
    CONTENT  a file or folder: what it holds is part of the result, and its name is not
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
    """What the message about a value of the wrong type adds: `frames: Annotated[Frames, Hint("…")]`. In it, `{place}`
    is where the option lies, such as "dataset."."""

    text: str


Positive = Annotated[int, "1 or more"]  # an option that makes no sense at 0; below 0 none does
