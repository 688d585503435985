"""A job: one command of vosbench, with a log file, that runs in a process of its own."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, BinaryIO, Protocol

from vosbench.launching.lifeline import TIED
from vosbench.util.errors import one_line

SWEEP = "VOSBENCH_SWEEP"  # in a job's environment: the name of its sweep, by which loggers group runs
TAIL = 2**14  # bytes at the end of a log that are searched for its last line


@dataclass(frozen=True)
class Job:
    """A command, whose `arguments` follow `vosbench`.

    number  its place among the jobs of a sweep, such as "3/8"
    folder  the working folder
    log     the file that takes what it prints
    """

    number: str
    arguments: tuple[str, ...]
    folder: Path
    log: Path

    def __str__(self) -> str:
        return f"vosbench {shlex.join(self.arguments)}"

    def tell(self, text: str) -> None:
        """Prints a line about this job."""
        print(f"[{self.number}] {text}", flush=True)

    def last_line(self) -> str:
        """The last line of its log; empty if it has printed nothing."""
        if not self.log.is_file():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").split("\n")
        return next((one_line(line) for line in reversed(lines) if line.strip()), "")


class Launcher(Protocol):
    """Runs jobs somewhere.

    copies  processes that share the videos of each prediction
    """

    copies: int

    def run(self, jobs: Sequence[Job]) -> dict[Job, str]:
        """Runs all jobs, even if some fail, and returns what became of those that did not succeed: "status 1".

        An interrupt ends them, and passes on.
        """


class Running:
    """The process of a job. It ends when this process does.

    shown        what it prints appears here, and only its errors are also in the log; otherwise all of it is
    environment  variables for it alone
    """

    def __init__(self, job: Job, *, shown: bool = False, environment: Mapping[str, str] | None = None) -> None:
        with ExitStack() as stack:
            output = None if shown else stack.enter_context(_opened(job.log))
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-m", "vosbench", *job.arguments],
                cwd=job.folder,
                env={**os.environ, **(environment or {}), TIED: "1", SWEEP: job.log.parent.name},
                stdin=subprocess.PIPE,  # the lifeline
                stdout=output,
                stderr=output or subprocess.PIPE,
                start_new_session=True,  # an interrupt typed here reaches it once, through `interrupt`
            )
        self.pid = self._process.pid
        self._copying: Thread | None = None
        if self._process.stderr is not None:
            self._copying = Thread(target=_copy, args=(self._process.stderr, job.log), daemon=True)
            self._copying.start()

    def wait(self) -> int:
        """Its exit status; negative if a signal ended it."""
        status = self._process.wait()
        if self._copying is not None:
            self._copying.join()
        for stream in (self._process.stdin, self._process.stderr):
            if stream is not None:
                stream.close()
        return status

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Asks it to save its work and end."""
        if self._process.poll() is None:
            self._process.send_signal(number)


def outcome(status: int) -> str:
    """What became of a process, as `Launcher.run` says it; empty after success."""
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"status {status}" * bool(status)


def _opened(log: Path) -> BinaryIO:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("ab", buffering=0)


def _copy(errors: IO[bytes], log: Path) -> None:
    """Passes errors on to this process's own, and to a log."""
    with ExitStack() as stack:
        file = None
        while block := os.read(errors.fileno(), 2**16):
            file = file or stack.enter_context(_opened(log))
            file.write(block)
            sys.stderr.write(block.decode(errors="replace"))
            sys.stderr.flush()
