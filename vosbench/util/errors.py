"""Errors that a user can fix, told in one line per problem. It imports no packages: scoring processes import it."""

import difflib
import errno
from collections.abc import Iterable, Sequence
from typing import Any

from vosbench.util.wording import printable

FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk is full, or the user's quota is used up
HERE = "‹here›."  # in a message, before a key of the same config as the object that raises it: f"set {HERE}root"


class UserError(ValueError):
    """A mistake that the user can fix: bad input, or settings that make no sense.

    The message is one line that names the file or key and says what to do. Nothing else is shown; any other error
    shows its traceback. `HERE` in a message stands for `place`, the config key of the object that raises it and a dot:
    a data set cannot know under which key a verb has it. `util.making`, which builds objects from configuration, sets
    `place`.
    """

    place = "dataset."  # later errors come from data sets reading files, and every verb but train has its data set here

    def __str__(self) -> str:
        return super().__str__().replace(HERE, self.place)

    def lines(self) -> list[str]:
        """The lines to print."""
        return [one_line(self)]


class Unfinished(UserError):
    """The command did all it could, but part of its work is left to other processes. It ends with a status of its own,
    so that a script does not take a part for the whole."""


class Problems(UserError):
    """All problems with some files, found in one pass: `head` says which files, `found` lists the problems."""

    def __init__(self, head: str, found: Sequence[str]) -> None:
        super().__init__(f"{head}: " + "; ".join(found))
        self.head, self.found = head, list(found)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.head, self.found), {"place": self.place}

    def lines(self) -> list[str]:
        return [one_line(line.replace(HERE, self.place)) for line in (self.head, *self.found)]


def one_or_all(head: str, found: Sequence[str]) -> UserError:
    """The error of some problems: the only one, or all of them below `head`."""
    return UserError(found[0]) if len(found) == 1 else Problems(head, found)


class UsageError(Exception):
    """A wrong command line or configuration. The message is one line that says what would be right."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One line for a `name` of a `what` that does not exist: the closest known name, and all known names."""
    known = sorted(known)
    by_case = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), by_case, n=1)
    hint = f" (did you mean '{by_case[close[0]]}'?)" if close else ""
    return f"unknown {what} '{name}'{hint}; " + (f"there is: {', '.join(known)}" if known else "there is none")


def one_line(error: object) -> str:
    """A message on one line, without characters that would steer the terminal."""
    return printable(" ".join(str(error).split()))
