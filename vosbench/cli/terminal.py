"""Terminals, pipes and log files: those that cannot show every character, and those that are closed early."""

import io
import logging
import os
import sys
from contextlib import suppress

from vosbench.util.progress import is_loud

CLOSED = 141  # the status of a command that SIGPIPE ends, as a shell reports it


def print_anything() -> None:
    """Lets stdout and stderr show another sign for what they cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def prepare_logs() -> None:
    """Makes log files UTF-8 everywhere, ends the command when what shows its log is closed, and shows no progress in
    lines where there is a bar."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            if isinstance(handler.stream, io.TextIOWrapper):
                handler.stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        elif isinstance(handler, logging.StreamHandler):
            handler.handleError = _stop_if_closed  # type: ignore[method-assign]
            if handler.stream.isatty():
                handler.addFilter(is_loud)


def discard_output() -> None:
    """Sends what is still to be printed nowhere: its reader has gone."""
    with suppress(OSError, ValueError):  # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop_if_closed(record: logging.LogRecord) -> None:
    if isinstance(error := sys.exc_info()[1], BrokenPipeError):
        raise error
    logging.Handler().handleError(record)
