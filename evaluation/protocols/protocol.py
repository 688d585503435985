"""The description of a scoring protocol, and finding protocols by name.

A protocol is a module that defines `PROTOCOL`. It lies in this folder, in the folder `protocols` of a `--config-dir`,
or in that of an installed package that brings configs (entry point `vosbench.configs`). All other code asks that
object: what a data set needs to be scored, what `vosbench check` advises, what a submission looks like, which score
ranks a table.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, Literal

from vosbench.audit.findings import Advice
from vosbench.evaluation import protocols
from vosbench.evaluation.metrics import Curves
from vosbench.evaluation.object_key import ObjectKey
from vosbench.util.errors import UserError

ObjectScores = Mapping[ObjectKey, Mapping[str, float]]  # the scores of each object
INFRASTRUCTURE = {"protocol"}  # modules of the folder that are not protocols


@dataclass(frozen=True)
class Measure:
    """One score of a whole data set.

    name       in records and tables
    parts      the scores of an object whose mean is its share of the measure; (): the measure is no mean over objects
    groups     the score of an object that gives its group; the measure is then the mean of the groups' means
    low, high  the range of its values, as fractions
    falling    lower values are better
    """

    name: str
    parts: tuple[str, ...] = ()
    groups: str | None = None
    low: float = 0.0
    high: float = 1.0
    falling: bool = False

    @property
    def label(self) -> str:
        """The short name for headers and training logs: J&F for J&F-Mean."""
        return self.name.removesuffix("-Mean")

    def of(self, scores: Mapping[str, float]) -> float:
        """The mean of the parts: an object's share, or the measure itself if `scores` are those of the data set."""
        return sum(scores[part] for part in self.parts) / len(self.parts)

    def has(self, scores: Mapping[str, float]) -> bool:
        """Whether these scores of an object have all parts of a share."""
        return bool(self.parts) and all(part in scores for part in self.parts)

    def rank(self, value: float) -> float:
        """A number that is lower for a better value."""
        return value if self.falling else -value


@dataclass(frozen=True)
class SubmissionFormat:
    """The format of submissions to a benchmark's server.

    top          the folder above the sequences, with a trailing slash; "": none
    listed_only  only the data set's frames to evaluate; other frames are left out
    """

    top: str = ""
    listed_only: bool = False


@dataclass(frozen=True, eq=False)
class Protocol:
    """A complete protocol. Its functions are module-level functions, so that it can be sent to other processes.

    score          curves over time of each object of a sequence, from its (annotation, prediction) pairs in time order
    summarise      the scores of an object, from its curves
    aggregate      the scores of the data set, from those of all its objects
    measures       all scores that `aggregate` may return, in order; the first that all rows of a table have ranks them
    headlines      how many of the measures, from the first on, short tables show
    over_time      the drawable curves with values in [0, 1], the first an intersection over union; (): none
    fewest_frames  annotated frames that a sequence needs to be scored
    late_objects   whether objects missing from the first annotation are scored
    advice         by finding, replaces the usual advice of `vosbench check`; None: the finding is not reported
    any_size       predictions may have another size than the annotation
    submission     the format of submissions, if a server takes them
    official_task  the official DAVIS scorer's name for it
    unofficial     why its numbers are not official, if they are not
    compares       what the pairs of `score` are: label maps (`metrics.Pair`), or the joints of a frame (positions in
                   pixels, NaN for a joint that is lost or not annotated)
    """

    name: str
    score: Callable[[Iterable[Any], str], dict[int, Curves]]
    summarise: Callable[[Curves], dict[str, float]]
    aggregate: Callable[[ObjectScores], dict[str, float]]
    measures: tuple[Measure, ...]
    over_time: tuple[str, ...]
    fewest_frames: int
    late_objects: bool
    advice: Advice = field(default_factory=dict)
    any_size: bool = False
    submission: SubmissionFormat | None = None
    official_task: str | None = None
    unofficial: str | None = None
    compares: Literal["label maps", "joints"] = "label maps"
    headlines: int = 1

    @property
    def title(self) -> str:
        """The name as tables print it, marked if its numbers are not official."""
        return f"{self.name} (unofficial)" if self.unofficial else self.name

    @cached_property
    def plain_mean(self) -> Measure | None:
        """The first measure that is a plain mean over objects."""
        return next((measure for measure in self.measures if measure.parts and not measure.groups), None)

    @property
    def monitored(self) -> Measure:
        """The measure that validation monitors: the plain mean over objects, which every result has, or the first
        measure."""
        return self.plain_mean or self.measures[0]

    def measure(self, name: str) -> Measure:
        """The measure of this name. For an undeclared measure only its name is known."""
        return next((measure for measure in self.measures if measure.name == name), Measure(name))


def protocol_named(name: str) -> Protocol:
    """The protocol of this name: `davis-unsupervised` or `davis_unsupervised` is davis_unsupervised.py. Raises
    UserError that lists all names."""
    found = _modules().get(name.replace("_", "-"))
    if found is None:
        raise UserError(f"protocol={name} does not exist: choose from {', '.join(sorted(_modules()))}")
    return _load(found)


def known_protocol(name: str) -> Protocol | None:
    """The protocol of this name, or None: records may name protocols that this version does not have."""
    found = _modules().get(name)
    return None if found is None else _load(found)


def all_protocols() -> list[Protocol]:
    """Every protocol, by name."""
    return [_load(module) for _, module in sorted(_modules().items())]


def _modules() -> dict[str, str]:
    """The modules that are protocols, by the name of the protocol. Ours win over others of the same name."""
    packages = (*protocols.PACKAGES, *_installed())
    return _modules_in(tuple((name, tuple(importlib.import_module(name).__path__)) for name in packages))


@cache
def _installed() -> tuple[str, ...]:
    packages = (f"{each.value}.protocols" for each in entry_points(group="vosbench.configs"))
    return tuple(package for package in packages if find_spec(package) is not None)


@cache
def _modules_in(packages: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for package, folders in packages:
        stems = {module.name for module in pkgutil.iter_modules(folders)} - INFRASTRUCTURE
        found = {stem.replace("_", "-"): f"{package}.{stem}" for stem in stems} | found
    return found


def _load(module: str) -> Protocol:
    protocol = getattr(importlib.import_module(module), "PROTOCOL", None)
    if not isinstance(protocol, Protocol):
        raise UserError(f"{module} defines no PROTOCOL, an object of the class {__name__}.Protocol")
    return protocol
