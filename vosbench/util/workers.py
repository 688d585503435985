"""Work shared out over processes: results as they come, and nothing left running when it ends early.

It imports little, because a new process imports it before it starts to work.
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
    """`function` of each job, in the order in which they end.

    workers  processes, which take the jobs in the order given; 0: this one works, and results come in that order
    prepare  called first in each process, but not in this one

    The first exception is raised, BrokenProcessPool where a process died; then, and on an interrupt, the others are
    ended at once. They also end when this process is killed.
    """
    jobs = list(jobs)
    if not workers or not jobs:
        yield from map(function, jobs)
        return
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # progress bars' threads do not survive a fork
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_start, initargs=(prepare,)) as pool:
        try:
            with _interrupts_ignored():  # the processes inherit that: an interrupt is for this one
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
    if threading.current_thread() is not threading.main_thread():  # only that one may say so
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
