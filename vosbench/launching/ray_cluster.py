"""Jobs on a Ray cluster: one that runs already, or one that is started on this machine for as long as they take."""

from collections.abc import Sequence
from typing import Annotated, Any

from vosbench.launching.job import Job, Running, outcome
from vosbench.settings.options import Positive, Range
from vosbench.util.errors import UserError, one_line

RETRIES = 3  # of a job whose machine is lost


class Ray:
    """Gives each job to Ray, which runs it where there is room. All machines must share the working folder.

    parallel  jobs that may run at once; null: as many as there is room for
    address   of a cluster, such as auto or ray://head:10001; null: a cluster of this machine alone
    cpus      processor cores for each job
    gpus      GPUs for each job; .5: two jobs share one
    memory    GB for each job; null: not counted
    copies    processes that share the videos of each job
    """

    def __init__(
        self,
        parallel: Positive | None = None,
        address: str | None = None,
        cpus: Positive = 1,
        gpus: Annotated[float, Range(0)] = 0,
        memory: Positive | None = None,
        copies: Positive = 1,
    ) -> None:
        self._ray, self.copies = _ray(), copies
        self.parallel, self.address = parallel, address
        self._needs = {"num_cpus": cpus, "num_gpus": gpus, "memory": memory * 2**30 if memory else None}

    def run(self, jobs: Sequence[Job]) -> dict[Job, str]:
        """See `Launcher`."""
        try:
            self._ray.init(address=self.address, log_to_driver=False, include_dashboard=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"launcher=ray, launcher.address={self.address}: {one_line(error)}") from error
        try:
            self._check_room()
            return self._run(jobs)
        finally:
            self._ray.shutdown()

    def _check_room(self) -> None:
        """Raises UserError if no machine could ever take a job: Ray would wait for one forever."""
        resources = self._ray.cluster_resources()
        for key, name in (("num_cpus", "CPU"), ("num_gpus", "GPU"), ("memory", "memory")):
            wanted, there = self._needs[key] or 0, resources.get(name, 0)
            if wanted > there:
                unit = 2**30 if name == "memory" else 1
                option = {"CPU": "cpus", "GPU": "gpus"}.get(name, name)
                raise UserError(f"launcher.{option}={wanted / unit:g}: the whole cluster has {there / unit:.3g}")

    def _run(self, jobs: Sequence[Job]) -> dict[Job, str]:
        start = self._ray.remote(_run).options(max_retries=RETRIES, **self._needs)
        failed: dict[Job, str] = {}
        running: dict[Any, Job] = {}
        waiting = list(jobs)
        try:
            while waiting or running:
                while waiting and len(running) < (self.parallel or len(jobs)):
                    job = waiting.pop(0)
                    job.tell(str(job))
                    running[start.remote(job)] = job
                (done, *_), _ = self._ray.wait(list(running))
                job = running.pop(done)
                if what := self._outcome(done):
                    failed[job] = what
                job.tell(f"{what or 'done'}: {job.last_line()}")
        except BaseException:
            for each in running:
                self._ray.cancel(each, force=True)
            raise
        return failed

    def _outcome(self, done: Any) -> str:
        try:
            return str(self._ray.get(done))
        except self._ray.exceptions.RayError as error:
            return one_line(str(error).strip().splitlines()[0])


def _run(job: Job) -> str:
    return outcome(Running(job).wait())


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError("launcher=ray needs ray: pip install 'vosbench[ray]'") from error
    return ray
