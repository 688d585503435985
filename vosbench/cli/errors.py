"""Ends the command with one line for errors that a user can fix: decides which these are, and the exit status."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import InstantiationException

from vosbench.cli.terminal import CLOSED, discard_output
from vosbench.settings.making import unwrapped
from vosbench.util.errors import FULL, Unfinished, UsageError, UserError, one_line

INTERRUPTED = 130
UNFINISHED = 3


class Told(SystemExit):
    """Ends a command that has printed what is wrong, or that it was interrupted."""

    @property
    def interrupted(self) -> bool:
        return self.code == INTERRUPTED


@contextmanager
def reported(where: str = "") -> Iterator[None]:
    """Ends the process with one line on stderr for an error that a user can fix (and one more for each of several
    Problems).

    Status 2: wrong command line or configuration. 1: bad input, or a full disk (`where` is the folder to name if the
    system names no file). 3: the rest is left to other processes. 130: an interrupt. 141, without a line: whatever
    reads the output has closed it. Other exceptions pass unchanged, and so do all under HYDRA_FULL_ERROR=1.
    """
    try:
        yield
        return
    except (Exception, KeyboardInterrupt) as error:
        failure = unwrapped(error) if isinstance(error, InstantiationException) else error
    if isinstance(failure, BrokenPipeError) and failure.filename is None:  # `vosbench … | head -1`
        discard_output()
        raise Told(CLOSED)
    status, lines = _judge(failure, where)
    if not lines or os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise failure from failure.__cause__
    print("vosbench: " + "\n  - ".join(map(one_line, lines)), file=sys.stderr)
    raise Told(status)


def _judge(error: BaseException, where: str) -> tuple[int, list[str]]:
    """Exit status and lines for an error; no lines if it is not one that a user can fix."""
    match error:
        case KeyboardInterrupt():
            return INTERRUPTED, [str(error) or "interrupted; the same command goes on from here"]
        case BrokenProcessPool():
            return 1, ["error: a worker process died, perhaps for lack of memory: set fewer workers"]
        case UsageError():
            return 2, [f"error: {one_line(error)}"]
        case OSError() if error.errno in FULL:
            file = error.filename or where
            return 1, [f"error: the disk is full: cannot write {file}; make room and repeat the command"]
        case FileExistsError() | NotADirectoryError() if error.filename:
            path = Path(error.filename)
            file = next((each for each in (path, *path.parents) if each.is_file()), path)
            return 1, [f"error: {file} is a file, where a folder is needed: give another name, or move it"]
        case OSError() if error.filename:
            return 1, [f"error: {error.filename}: {error.strerror}"]
        case Unfinished():
            return UNFINISHED, [str(error)]
        case UserError():
            head, *found = error.lines()
            return 1, [f"error: {head}", *found]
    return 1, []
