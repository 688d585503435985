"""The files of sweeps: what varies in a table, and how each of its rows is trained and scored.

params     lists of values by key; there is a job for each combination
rows       sets of overrides by name: a list, or one for each verb (`train`, `benchmark`). `propagation=*_vip` completes
           the option that was typed (see `completed`)
train, benchmark   overrides that all rows share with this verb; with `train`, lists of overrides are those of trainings
before     overrides of a training that the others start from
scales     by name, what another size of the experiment has instead, such as `mini`
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vosbench.util.errors import UsageError, unknown

CHOOSING = ("row", "scale")  # words of a command that choose within the file
SHARED = ("train", "benchmark")
KEYS = ("params", "rows", *SHARED, "before", "scales")


@dataclass(frozen=True)
class Row:
    """A row of a table: overrides by verb, or under "" for any."""

    overrides: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of(self, verb: str) -> list[str]:
        """Its overrides with this verb."""
        return [*self.overrides.get(verb, []), *self.overrides.get("", [])]

    def verbs(self, verb: str) -> list[str]:
        """The verbs that it has overrides for, and `verb`."""
        return list(dict.fromkeys([verb, *filter(None, self.overrides)]))


@dataclass(frozen=True)
class SweepFile:
    """What a sweep's file says. params: lists of values, as they are typed."""

    params: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Row] = field(default_factory=dict)
    shared: Mapping[str, Sequence[str]] = field(default_factory=dict)
    before: Sequence[str] = ()

    @classmethod
    def read(cls, sweep: DictConfig | None, params: Mapping[str, Any], scale: str | None) -> "SweepFile":
        """From a composed `sweep`, None if there is none, and Hydra's own parameters.

        Raises UsageError for an unknown scale, and if the file has other keys, or values of other types.
        """
        content = _contents(sweep, scale)
        for key in ("params", "rows"):
            if not isinstance(content.get(key, {}), dict):
                raise UsageError(f"sweep.{key}={content[key]}: give keys and values")
        shared = {verb: _overrides(content[verb], f"sweep.{verb}") for verb in SHARED if verb in content}
        rows = {str(name): _row(row, f"sweep.rows.{name}", shared) for name, row in content.get("rows", {}).items()}
        before = _overrides(content.get("before", []), "sweep.before")
        return cls({**params, **content.get("params", {})}, rows, shared, before)

    @property
    def is_trained(self) -> bool:
        """Whether its rows are trainings, which `benchmark` scores."""
        return "train" in self.shared

    def chosen(self, names: Sequence[str]) -> list[Row]:
        """The named rows, or all, with what all share; one row if there are none. Raises UsageError for an unknown
        name."""
        for name in names:
            if name not in self.rows:
                raise UsageError(unknown("row", name, self.rows))
        found = [self.rows[name] for name in names or self.rows] or [Row()]
        return [Row({**row.overrides, **_joined(self.shared, row)}) for row in found]


def _joined(shared: Mapping[str, Sequence[str]], row: Row) -> dict[str, list[str]]:
    return {verb: [*words, *row.overrides.get(verb, [])] for verb, words in shared.items()}


def _contents(sweep: DictConfig | None, scale: str | None) -> dict[str, Any]:
    """The keys of the file, at a scale."""
    content = OmegaConf.to_container(sweep, resolve=False) if sweep is not None else {}
    assert isinstance(content, dict)
    _check_keys(content, KEYS, "sweep")
    scales = content.pop("scales", {})
    if scale is None:
        return {str(key): value for key, value in content.items()}
    if scale not in scales:
        raise UsageError(unknown("scale", scale, scales) if scales else f"scale={scale}: this sweep has no other scale")
    _check_keys(scales[scale], KEYS[:-1], f"sweep.scales.{scale}")
    merged = {**content, **scales[scale]}
    for key in ("params", "rows"):
        if key in scales[scale]:
            merged[key] = {**content.get(key, {}), **scales[scale][key]}
    return merged


def _check_keys(content: Mapping[Any, Any], known: Sequence[str], place: str) -> None:
    for key in content:
        if key not in known:
            raise UsageError(unknown("key", f"{place}.{key}", [f"{place}.{each}" for each in known]))


def _row(row: Any, place: str, shared: Mapping[str, Any]) -> Row:
    if isinstance(row, dict):
        _check_keys(row, SHARED, place)
        return Row({str(verb): _overrides(words, f"{place}.{verb}") for verb, words in row.items()})
    return Row({"train" if "train" in shared else "": _overrides(row, place)})


def _overrides(words: Any, place: str) -> list[str]:
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"{place}: give a list of overrides: {place.rpartition('.')[2]}: [key=value, …]")
    return words
