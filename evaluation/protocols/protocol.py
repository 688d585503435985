"""The scoring protocols: what a module of this folder offers to be one, and finding it by name."""

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, cast

from vosbench.evaluation.metrics import Curves, Pair
from vosbench.util.errors import UserError


class ScoringProtocol(Protocol):
    """What a module of this folder offers to be named by `protocol=`; `davis.py` is the model.

    It may also say ANY_SIZE (it resizes predictions itself) and UNOFFICIAL (why its numbers are not the official ones).
    """

    def score(self, pairs: Iterable[Pair], sequence: str) -> dict[int, Curves]: ...

    def summarise(self, curves: Curves) -> dict[str, float]: ...

    def aggregate(self, objects: Mapping[str, Mapping[str, float]]) -> dict[str, float]: ...


def protocol_named(name: str) -> ScoringProtocol:
    """The protocol's module: `davis-unsupervised` is davis_unsupervised.py. Raises UserError listing what exists."""
    here = {path.stem for path in Path(__file__).parent.glob("*.py")}
    stem = name.replace("-", "_")
    if stem not in here or not _is_protocol(stem):
        known = ", ".join(sorted(stem.replace("_", "-") for stem in here if _is_protocol(stem)))
        raise UserError(f"protocol={name} does not exist: choose from {known}")
    return cast(ScoringProtocol, importlib.import_module(f"vosbench.evaluation.{stem}"))


def described(protocol: str) -> str:
    """The name of a protocol as tables print it, with a mark where its numbers are not the official ones."""
    return f"{protocol} (unofficial)" if why_unofficial(protocol) else protocol


def why_unofficial(protocol: str) -> str | None:
    """Why a protocol's numbers are not the official ones, if so. Records may name protocols that are not here."""
    known = (Path(__file__).parent / f"{protocol.replace('-', '_')}.py").is_file()
    return getattr(protocol_named(protocol), "UNOFFICIAL", None) if known else None


def _is_protocol(stem: str) -> bool:
    module = importlib.import_module(f"vosbench.evaluation.{stem}")
    return all(hasattr(module, function) for function in ("score", "summarise", "aggregate"))
