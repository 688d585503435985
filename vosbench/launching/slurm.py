"""Jobs under Slurm, submitted by the package submitit."""

import json
import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from vosbench.launching.job import Job, Running, outcome
from vosbench.settings.options import Natural, Positive
from vosbench.util.errors import Unfinished, UserError, one_line
from vosbench.util.files import replace_file
from vosbench.util.reading import read_json

PAUSE = 5.0  # seconds between two looks at Slurm's queue
PATIENCE = 600.0  # seconds between two warnings that it does not answer
WARNING = 90  # seconds before the time limit at which a job saves and queues again

log = logging.getLogger(__name__)


class Slurm:
    """Submits each job to Slurm, and waits for all of them.

    A job that reaches its time limit or is preempted saves, queues again and goes on; so does one whose node fails.
    Repeating a sweep waits for those of its jobs that are still in the queue, and submits the others.

    parallel   jobs that may run at once; null: all
    partition  null: the cluster's own choice
    time       minutes after which a job queues again
    gpus       GPUs per node
    cpus       processor cores per task
    memory     GB per node; null: the cluster's own choice
    tasks      processes per node; null: one, or in a training one per GPU
    nodes      machines per job
    requeues   how often a job may reach its time limit
    wait       false: submits the jobs and ends; true: waits, and an interrupt cancels them
    setup      shell commands to run before each job
    options    further options of sbatch, such as {account: vision, qos: low}
    copies     processes that share the videos of each job
    """

    def __init__(
        self,
        parallel: Positive | None = None,
        partition: str | None = None,
        time: Positive = 1440,
        gpus: Natural = 0,
        cpus: Positive = 4,
        memory: Positive | None = None,
        tasks: Positive | None = None,
        nodes: Positive = 1,
        requeues: Natural = 10,
        wait: bool = True,
        setup: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        copies: Positive = 1,
    ) -> None:
        self._submitit, self.copies = _submitit(), copies
        self.parallel, self.tasks, self.nodes, self.gpus = parallel, tasks, nodes, gpus
        self.requeues, self.wait = requeues, wait
        self._settings = {
            "job_name": "vosbench",
            "partition": partition,
            "time": time,
            "nodes": nodes,
            "gpus_per_node": gpus or None,
            "cpus_per_task": cpus,
            "mem": f"{memory}GB" if memory else None,
            "setup": list(setup) or None,
            "signal_delay_s": WARNING,
            "srun_args": ["--kill-on-bad-exit=1"],
            "additional_parameters": dict(options or {}),
        }

    def run(self, jobs: Sequence[Job]) -> dict[Job, str]:
        """See `Launcher`. Raises Unfinished once the jobs are submitted if they are not waited for."""
        folder = jobs[0].log.parent
        submitted = self._submit(jobs, folder)
        if not self.wait:
            what = f"{len(jobs)} jobs are left to Slurm, logs in {folder}"
            raise Unfinished(f"{what}: repeat the command when they are done, or without launcher.wait=false to wait")
        try:
            _wait([each.job_id for each in submitted.values()])
        except BaseException:
            for each in submitted.values():
                each.cancel(check=False)
            raise
        return {job: what for job, each in submitted.items() if (what := _outcome(each))}

    def _submit(self, jobs: Sequence[Job], folder: Path) -> dict[Job, Any]:
        """The submitit jobs of some jobs. Those that an earlier command submitted and that are still in the queue are
        not submitted again."""
        register = folder / "slurm.json"
        earlier = read_json(register, "", "remove it") if register.is_file() else {}
        queued = _queued() or set()
        found = {job: self._known(folder, earlier[str(job)]) for job in jobs if earlier.get(str(job)) in queued}
        new = [job for job in jobs if job not in found]
        for tasks, group in groupby(sorted(new, key=self._tasks), key=self._tasks):
            alike = list(group)
            found |= dict(zip(alike, self._submit_new(alike, folder, tasks), strict=True))
        ids = {str(job): each.job_id for job, each in found.items()}
        replace_file(register, json.dumps({**earlier, **ids}, indent=1).encode())
        for job in jobs:
            job.tell(f"{job} (Slurm's job {found[job].job_id}, {'submitted' if job in new else 'still in the queue'})")
        return found

    def _submit_new(self, jobs: Sequence[Job], folder: Path, tasks: int) -> list[Any]:
        try:
            executor = self._submitit.SlurmExecutor(folder=folder / "slurm", max_num_timeout=self.requeues)
            limit = self.parallel or len(jobs)
            executor.update_parameters(**self._settings, ntasks_per_node=tasks, array_parallelism=limit)
            with executor.batch():
                return [executor.submit(Task(job)) for job in jobs]
        except (RuntimeError, subprocess.CalledProcessError) as error:  # no srun, or what sbatch says
            raise UserError(f"launcher=slurm: {one_line(error)}") from error

    def _tasks(self, job: Job) -> int:
        return self.tasks or (max(1, self.gpus) if job.arguments[0] == "train" else 1)

    def _known(self, folder: Path, job_id: str) -> Any:
        return self._submitit.SlurmJob(folder / "slurm", job_id)


class Task:
    """A job as submitit runs it, in each of its tasks. It can be queued again."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._running: Running | None = None

    def __call__(self) -> None:
        rank = os.environ.get("SLURM_PROCID", "0")
        log = self.job.log if rank == "0" else self.job.log.with_suffix(f".{rank}.log")
        self._running = Running(Job(self.job.number, self.job.arguments, self.job.folder, log))
        if what := outcome(self._running.wait()):
            raise ChildProcessError(what)

    def checkpoint(self) -> Any:
        """Called by submitit in a signal handler, before it queues the job again: gives it time to save."""
        if self._running is not None:
            self._running.interrupt(signal.SIGUSR1)
            os.waitid(os.P_PID, self._running.pid, os.WEXITED | os.WNOWAIT)  # `wait` may be what was interrupted
        return _submitit().helpers.DelayedSubmission(Task(self.job))


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UserError("launcher=slurm needs submitit: pip install 'vosbench[slurm]'") from error
    return submitit


def _wait(ids: Sequence[str]) -> None:
    """Waits until none of these jobs is in Slurm's queue. A job that is requeued stays there."""
    answered = time.monotonic()
    while (queued := _queued()) is None or queued.intersection(ids):
        if queued is not None:
            answered = time.monotonic()
        elif time.monotonic() - answered > PATIENCE:
            answered = time.monotonic()
            log.warning("Slurm does not answer squeue; still waiting")
        time.sleep(PAUSE)


def _queued() -> set[str] | None:
    """The jobs in Slurm's queue; None if it does not answer."""
    done = _said("squeue", "--noheader", "--array", "--format=%i")
    return None if done is None else set(done.split())


def _outcome(submitted: Any) -> str:
    """What became of a job that has left the queue, as `Launcher.run` says it."""
    first = submitted.task(0)
    if not first.paths.result_pickle.is_file():
        state = re.search(r"JobState=(\w+)", _said("scontrol", "show", "job", submitted.job_id) or "")
        return f"Slurm's job {submitted.job_id} left no result{f': {state[1]}' if state else ''}"
    if (error := first.exception()) is None:
        return ""
    own = re.search(r"ChildProcessError: (.+)", str(error))
    return one_line(own[1] if own else error)


def _said(*command: str) -> str | None:
    """What a command of Slurm's prints; None if it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    except (OSError, subprocess.SubprocessError):
        return None
