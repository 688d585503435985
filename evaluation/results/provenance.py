"""The provenance of a result: the command, the code, the packages and the inputs."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import vosbench
from vosbench.runs.code import commit

PACKAGES = ("torch", "torchvision", "lightning", "numpy", "opencv-python-headless", "pillow")


def provenance(
    verb: str,
    overrides: Sequence[str],
    seed: int | None,
    hashes: Mapping[str, str],
    commits: Sequence[str] = (),
) -> dict[str, Any]:
    """The `provenance` of a record, made by `vosbench <verb> <overrides>`.

    `commit` is the checkout's, or None if the code is installed. `commits` are those whose code made the label maps, or
    the checkout's if they are unknown. `time` is UTC.
    """
    now = commit()
    return {
        "command": shlex.join(["vosbench", verb, *overrides]),
        "overrides": list(overrides),
        "commit": now,
        "commits": list(commits) or ([] if now is None else [now]),
        "versions": {"vosbench": vosbench.__version__, "python": sys.version.split()[0], **_versions()},
        "seed": seed,
        "hashes": dict(hashes),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _versions() -> dict[str, str]:
    """Versions of the packages that affect numbers, without importing them."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
