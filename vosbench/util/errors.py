"""What a user did wrong, in one line or one line a problem. No packages: scoring processes import this."""

import difflib
import errno
from collections.abc import Iterable, Sequence
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk, or what one user may have of it
HERE = "‹here›."  # in a message, before a key beside those that its raiser was made from: f"set {HERE}root"


class UserError(ValueError):
    """What whoever typed the command can mend: bad input, or settings that make no sense.

    The message is one line that names the file or key and says what to do; it is all that is shown. Any other error
    shows where it comes from. `HERE` in a message stands for `place`, the key of what raises it and a dot, since a data
    set cannot know under which key a verb has it. Who makes it from configuration says so (`util.making`).
    """

    place = "dataset."  # what reads its files later is a data set, and all verbs but train have it there

    def __str__(self) -> str:
        return super().__str__().replace(HERE, self.place)

    def lines(self) -> list[str]:
        """What to print, one thing a line."""
        return [one_line(self)]


class Problems(UserError):
    """Everything that is wrong with some files, found in one go: `head` says with which, `found` lists it."""

    def __init__(self, head: str, found: Sequence[str]) -> None:
        super().__init__(f"{head}: " + "; ".join(found))
        self.head, self.found = head, list(found)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.head, self.found), {"place": self.place}

    def lines(self) -> list[str]:
        return [one_line(line.replace(HERE, self.place)) for line in (self.head, *self.found)]


class UsageError(Exception):
    """A command line or configuration that cannot be followed; the message is one line that says what could be."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One line: `what` is called `name`, which does not exist; the closest of the known names; all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return f"unknown {what} '{name}'{hint}; " + (f"there is: {', '.join(known)}" if known else "there is none")


def one_line(error: object) -> str:
    return " ".join(str(error).split())
