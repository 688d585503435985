"""Work divided over processes: results arrive as they are ready, and no process is left running after an early end.

This module imports little, because every new process imports it first.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def shared_out(
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    workers: int,
    prepare: Callable[[], None] | None = None,
) -> Iterator[Result]:
    """`function` of each job, in the order in which the jobs finish.

    workers  number of processes, which take jobs in the order given; 0: this process does all jobs in that order
    prepare  called first in each new process, but not in this one

    The first exception is raised (BrokenProcessPool if a process died). After it, or after an interrupt, the other
    processes are ended at once. They also end when this process is killed.
    """
    jobs = list(jobs)
    if not workers or not jobs:
        yield from map(function, jobs)
        return
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # progress bars' threads do not survive a fork
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_start, initargs=(prepare,)) as pool:
        try:
            with _interrupts_ignored():  # inherited by the new processes: only this one handles interrupts
                futures = [pool.submit(function, job) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start(prepare: Callable[[], None] | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare:
        prepare()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
