"""Ties a process to the one that started it, so that it never outlives it.

The starter holds one end of a pipe, which the process has as its standard input. However the starter ends, the system
closes that end.
"""

import os
import signal
import sys
from threading import Thread

TIED = "VOSBENCH_TIED"  # set in the environment of a process whose standard input is a lifeline


def follow() -> None:
    """In a process that is tied: terminates it as soon as its starter is gone. It saves its work as after any SIGTERM.

    Processes that it starts itself are not tied, since it ends them.
    """
    if os.environ.pop(TIED, None):
        Thread(target=_wait, args=(sys.stdin.fileno(),), name="lifeline", daemon=True).start()


def _wait(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
