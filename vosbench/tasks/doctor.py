"""`vosbench doctor`: what this installation has, and whether it can work: versions, devices, weights, data sets, free
space. It writes nothing.

A line that begins with `!` is a problem, and the exit status is then 1. A data set that is not there is none.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from vosbench.audit.installation import Fact, devices, extras, places, versions, weights
from vosbench.cli import configuration
from vosbench.settings.making import made
from vosbench.settings.options import FileName, Where
from vosbench.util.errors import Problems, UsageError, UserError, one_line
from vosbench.util.terminal import Terminal
from vosbench.util.wording import counted

NAMES = 20  # characters


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keys of conf/doctor.yaml, which explains them."""

    runs: Where[FileName]
    paths: Where[dict[str, FileName]]


def run(options: Options) -> None:
    """Raises errors.Problems that lists what cannot work."""
    console = Terminal(highlight=False, soft_wrap=True)
    found: dict[str, Iterable[Fact]] = {
        "versions": versions(),
        "extras": extras(),
        "devices": devices(),
        "shipped weights": weights(),
        f"data sets in {options.paths['data']} (VOSBENCH_DATA)": datasets(),
        "results": places(Path(options.runs)),
    }
    problems = []
    for title, facts in found.items():
        console.print(title)
        for fact in facts:
            console.print(f"{'!' if fact.problem else ' '} {fact.name:<{NAMES}} {fact.text}")
            problems += [f"{fact.name}: {fact.text}"] if fact.problem else []
    if problems:
        raise Problems("this installation has problems", problems)
    console.print("no problems found")


def datasets() -> Iterator[Fact]:
    """Every data set that a config names: how many videos there are, or what is missing."""
    for name in configuration.groups(configuration.compose("check"))["dataset"]:
        try:
            config = configuration.compose("check", [f"dataset={name}"])
            if OmegaConf.is_missing(config.dataset, "root"):
                yield Fact(name, "of any folder: dataset.root=<folder>")
                continue
            settings = configuration.resolve(config)["dataset"]
            videos = counted(len(made(settings, "dataset").videos), "video")
            yield Fact(name, f"{videos} in {settings.get('root', 'memory')}")
        except (UserError, UsageError, OSError) as error:
            yield Fact(name, f"none: {one_line(error)}")
