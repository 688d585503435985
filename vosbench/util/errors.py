"""What a user did wrong, in one line or one line a problem. No packages: scoring processes import this."""

import difflib
import errno
from collections.abc import Iterable, Sequence

FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk, or what one user may have of it


class UserError(ValueError):
    """What whoever typed the command can mend: bad input, or settings that make no sense. The message is one line that
    names the file or key and says what to do; it is all that is shown. Any other error shows where it comes from."""


class Problems(UserError):
    """Everything that is wrong with some files, found in one go: `head` says with which, `found` lists it."""

    def __init__(self, head: str, found: Sequence[str]) -> None:
        super().__init__(f"{head}: " + "; ".join(found))
        self.head, self.found = head, list(found)


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
