"""Jobs beside this process, on the same machine."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue

from vosbench.launching.job import Job, Running, outcome
from vosbench.settings.options import Natural, Positive
from vosbench.util.errors import UsageError

VISIBLE = "CUDA_VISIBLE_DEVICES"


class Local:
    """Runs `parallel` jobs at a time. One at a time shows what it prints; several only write their logs.

    gpus    GPUs for each job, which no other job sees meanwhile; 0: all jobs see all
    copies  processes that share the videos of each job; as many jobs run at once, at least
    """

    def __init__(self, parallel: Positive = 1, gpus: Natural = 0, copies: Positive = 1) -> None:
        self.parallel, self.copies = max(parallel, copies), copies
        self._places: SimpleQueue[dict[str, str]] = SimpleQueue()
        for environment in _shares(self.parallel, gpus):
            self._places.put(environment)
        self._running: set[Running] = set()
        self._ending = False

    def run(self, jobs: Sequence[Job]) -> dict[Job, str]:
        """See `Launcher`."""
        failed = {}
        with ThreadPoolExecutor(self.parallel) as pool:
            waiting = {pool.submit(self._run, job): job for job in jobs}
            try:
                for done in as_completed(waiting):
                    if what := done.result():
                        failed[waiting[done]] = what
            except BaseException:
                self._end()
                raise
        return failed

    def _run(self, job: Job) -> str:
        environment = self._places.get()
        try:
            if self._ending:
                return "not started"
            job.tell(str(job))
            began = time.monotonic()
            running = Running(job, shown=self.parallel == 1, environment=environment)
            self._running.add(running)
            if self._ending:
                running.interrupt()
            what = outcome(running.wait())
            self._running.discard(running)
            if self.parallel > 1:
                job.tell(f"{what or 'done'} after {time.monotonic() - began:.0f} s: {job.last_line()}")
            return what
        finally:
            self._places.put(environment)

    def _end(self) -> None:
        self._ending = True
        for running in list(self._running):
            running.interrupt()


def _shares(jobs: int, gpus: int) -> list[dict[str, str]]:
    """The environment of each of the jobs that run at once. Raises UsageError if there are too few GPUs."""
    if not gpus:
        return [{} for _ in range(jobs)]
    visible = _visible()
    if jobs * gpus > len(visible):
        raise UsageError(
            f"launcher.parallel={jobs} × launcher.gpus={gpus} needs {jobs * gpus} GPUs, and there are {len(visible)}: "
            "set smaller numbers"
        )
    return [{VISIBLE: ",".join(visible[job * gpus : (job + 1) * gpus])} for job in range(jobs)]


def _visible() -> list[str]:
    if (names := os.environ.get(VISIBLE)) is not None:
        return [name for name in names.split(",") if name.strip()]
    import torch  # it takes seconds, and no other launcher needs it

    return [str(index) for index in range(torch.cuda.device_count())]
