"""Runs the jobs of a command: by `launcher=`, each as a process of its own, and says at the end which failed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from vosbench.cli import configuration, ending, places
from vosbench.cli.commands import Command, taken
from vosbench.cli.errors import UNFINISHED
from vosbench.launching.job import Job, Launcher, outcome
from vosbench.runs.identity import digest
from vosbench.runs.names import key_of
from vosbench.settings.making import made
from vosbench.settings.option_types import fit
from vosbench.util.errors import UsageError

LIST = "sweep.list"
# Hydra's own, which would do nothing here.
REFUSED = ("hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.sweep", "hydra.sweeper.max_batch_size")
SHARING = ("predict", "benchmark")  # verbs whose processes share out their videos


def divided(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that say how jobs are launched, and the others. Raises UsageError for Hydra's own launchers."""
    own = []
    for word in words:
        key = key_of(word)
        if any(key == refused or key.startswith(f"{refused}.") for refused in REFUSED):
            raise UsageError(
                f"{key} has no effect here: choose launcher=local, slurm or ray; see vosbench <verb> --help"
            )
        if key == LIST or key.split(".")[0] == "launcher":
            own.append(word)
    return own, [word for word in words if word not in own]


def run(verb: str, flags: Sequence[str], jobs: Sequence[Command], words: Sequence[str]) -> None:
    """Runs all jobs of a command as the `words` say, even if some fail; `sweep.list=true` only prints them.

    A job that starts from the weights of another runs after it. If some failed, exits at the end with status 1 and
    lists them. Raises UsageError for jobs that would write into the same place, and for settings of the launcher.
    """
    ordered = places.placed(jobs)
    typed = [word for word in words if key_of(word) != LIST]
    launcher = _launcher(verb, typed)
    if _listed(words):
        for job in ordered:
            print(_job("", job, flags, Path()))
        return
    folder = _folder(verb, ordered)
    if len(ordered) > 1:
        print(f"{len(ordered)} jobs", flush=True)
    commands = {
        job: _copies(f"{number}/{len(ordered)}", job, flags, folder / f"{number:03}.log", launcher.copies)
        for number, job in enumerate(ordered, 1)
    }
    failed: dict[Job, str] = {}
    lost: set[places.Placed] = set()
    for wave in places.waves(ordered):
        ready = [job for job in wave if not any(job.needs(other) for other in lost)]
        ended = launcher.run([each for job in ready for each in commands[job]]) if ready else {}
        ended = _without_shared(ended, [commands[job] for job in ready])
        ended |= {commands[job][0]: "not started: a job that it starts from failed" for job in wave if job not in ready}
        failed |= ended
        lost |= {job for job in wave if not ended.keys().isdisjoint(commands[job])}
    if len(ordered) > 1:
        ending.tell(verb, ordered, _runs(verb, ordered), folder)
    if failed:
        raise SystemExit(_summary(failed, len(ordered)))


def _launcher(verb: str, words: Sequence[str]) -> Launcher:
    config = configuration.compose(verb, words, partial=True)
    settings = OmegaConf.to_container(config.launcher, resolve=True)
    launcher: Launcher = made(fit({"launcher": settings}, {"launcher": dict[str, Any]})["launcher"], "launcher")
    if launcher.copies > 1 and verb not in SHARING:
        raise UsageError(f"launcher.copies={launcher.copies}: only {' and '.join(SHARING)} share out their videos")
    return launcher


def _listed(words: Sequence[str]) -> bool:
    values = [word.partition("=")[2].lower() for word in words if key_of(word) == LIST]
    if any(value not in ("true", "false") for value in values):
        raise UsageError(f"{LIST}={values[-1]}: give true or false")
    return values[-1:] == ["true"]


def _folder(verb: str, jobs: Sequence[places.Placed]) -> Path:
    """Where the logs and the table of a sweep are: the same folder whenever it is repeated."""
    return _runs(verb, jobs) / "sweeps" / f"{verb}-{digest([job.words for job in jobs])[:8]}"


def _runs(verb: str, jobs: Sequence[places.Placed]) -> Path:
    words = [word for word in jobs[0].words if key_of(word) == "runs"]
    return Path(configuration.first(configuration.compose(verb, words, partial=True).runs)).absolute()


def _job(number: str, job: places.Placed, flags: Sequence[str], log: Path) -> Job:
    return Job(number, (job.verb, *flags, *job.words), Path.cwd(), log)


def _copies(number: str, job: places.Placed, flags: Sequence[str], log: Path, copies: int) -> list[Job]:
    """A job, and those that share its videos with it, which only predict."""
    first = _job(number, job, flags, log)
    if copies == 1 or job.verb not in SHARING:
        return [first]
    if "overwrite=true" in job.words:
        raise UsageError("overwrite=true with launcher.copies: each would redo what others have done: leave out one")
    other = places.Placed("predict", tuple(taken("predict", job.words)))
    return [first] + [
        _job(f"{number} {copy}", other, flags, log.with_suffix(f".{copy}.log")) for copy in range(2, copies + 1)
    ]


def _without_shared(ended: dict[Job, str], copies: Sequence[Sequence[Job]]) -> dict[Job, str]:
    """Without the copies that left videos to others, where one of them found all done."""
    whole = [each for each in copies if any(job not in ended for job in each)]
    left = {job for each in whole for job in each if ended.get(job) == outcome(UNFINISHED)}
    return {job: what for job, what in ended.items() if job not in left}


def _summary(failed: dict[Job, str], count: int) -> str:
    lines = [f"vosbench: error: {len(failed)} of {count} jobs failed; to repeat them:"]
    for job in sorted(failed, key=lambda job: job.log):
        log = job.log.relative_to(job.folder) if job.log.is_relative_to(job.folder) else job.log
        told = [failed[job], job.last_line().removeprefix("vosbench: error: "), str(log) * job.log.is_file()]
        lines.append(f"  - {job} ({'; '.join(filter(None, told))})")
    return "\n".join(lines)
