"""Ends the command with one line for what a user can mend: which exceptions that is, and the exit status."""

import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from hydra.errors import InstantiationException
from hydra.utils import get_object

from vosbench.cli import renamed
from vosbench.util.errors import FULL, Problems, UsageError, UserError, one_line, unknown


@contextmanager
def reported(where: str = "") -> Iterator[None]:
    """Ends the process with one line on stderr for what a user can mend (and one more for each of several Problems).

    Status 2: wrong command line or configuration. 1: bad input, or a full disk (`where` is the folder to name when the
    system names no file). 130: an interrupt. All else, and everything under HYDRA_FULL_ERROR=1, passes as it is.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        status, message = _judge(error, where)
        if message is None or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"vosbench: {message}", file=sys.stderr)
        sys.exit(status)


def _judge(error: BaseException, where: str) -> tuple[int, str | None]:
    """Exit status and line for an error; no line when it is not the user's to mend."""
    match error:
        case KeyboardInterrupt():
            return 130, "interrupted; the same command goes on from here"
        case BrokenProcessPool():
            return 1, "error: a worker process died, perhaps for lack of memory: set fewer workers"
        case UsageError():
            return 2, f"error: {one_line(error)}"
        case InstantiationException():
            return _judge_instantiation(error, where)
        case OSError() if error.errno in FULL:
            file = error.filename or where
            return 1, f"error: the disk is full: cannot write {file}; make room and repeat the command"
        case OSError() if error.filename:
            return 1, f"error: {error.filename}: {error.strerror}"
        case Problems():
            return 1, "\n  - ".join([f"error: {one_line(error.head)}", *map(one_line, error.found)])
        case UserError():
            return 1, f"error: {one_line(error)}"
    return 1, None


def _judge_instantiation(error: InstantiationException, where: str) -> tuple[int, str | None]:
    """Hydra wraps what a `_target_` raises: the wrapped error counts, and wrong keywords are configuration errors."""
    cause = error.__cause__
    target, key = (re.search(pattern, str(error)) for pattern in (r"target '([^']+)'", r"full_key: (\S+)"))
    place = f"{key[1]}: " if key else ""
    if cause is None:
        return 2, f"error: {one_line(error)}"
    if target and str(error).startswith("Error locating"):
        reason = one_line(cause.__cause__ or cause)
        return 2, f"error: {place}cannot find {target[1]}: {_moved(target[1], reason) or reason}"
    if target and isinstance(cause, TypeError) and _is_call_itself(cause):
        return 2, f"error: {place}{_wrong_call(target[1], cause)}"
    return _judge(cause, where)


def _moved(target: str, reason: str) -> str | None:
    """Where the target lies now, or what its module imports from where it was."""
    name = re.search(r"cannot import name '(\w+)' from '([\w.]+)'", reason)
    module = re.search(r"No module named '([\w.]+)'", reason)
    imported = f"{name[2]}.{name[1]}" if name else module[1] if module else target
    return renamed.importable(target) or renamed.importable(imported)


def _is_call_itself(error: TypeError) -> bool:
    """Whether the call of the target failed, not something that the target did."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals["__name__"]).startswith("hydra.")


def _wrong_call(target: str, error: TypeError) -> str:
    keyword = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if keyword:
        return unknown(f"key of {target}", keyword[1], inspect.signature(get_object(target)).parameters)
    return one_line(error)
