"""What the fields of a result record may hold: records are files of other people, and of other versions."""

import re
from collections.abc import Mapping
from typing import Any

from vosbench.runs.trainings import FIELDS as TRAINING
from vosbench.util.plain import misfits
from vosbench.util.wording import printable

Scores = dict[str, float]
Text = str | int  # a data set of one's own may count its splits or resolutions
FIELDS: dict[str, Any] = {
    "schema": int,
    "method": str,
    "algorithm": str | None,
    "supervision": str | None,
    "training_data": str | None,
    "parameters": int | None,
    "checkpoint": str | dict[str, str] | None,
    "training": dict[str, Any] | None,
    "dataset": Text,
    "split": Text,
    "protocol": str,
    "resolution": Text,
    "frames": Text,
    "subset": dict[str, int | None] | None,
    "inference": str | None,
    "propagation": str | None,
    "scores": Scores,
    "objects": dict[str, Scores],
    "speed": dict[str, Any] | None,
    "remarks": list[str],
    "provenance": dict[str, Any] | None,
}
TEXTS = [name for name, kind in FIELDS.items() if kind == Text]
SUBSET = {"videos": int, "of": int, "max_frames": int | None}  # and `every`, if not all frames count
SPEED = {
    "device": str | None,
    "precision": str | None,
    "size": str | None,
    "fps": float | None,
    "fps_sequence_mean": float | None,
    "latency_ms": dict[str, float | None] | None,
    "peak_memory_mb": float | None,
    "peak_memory_kind": str | None,
}
PROVENANCE = {
    "command": str | None,
    "overrides": list[str] | None,
    "seed": int | None,
    "hashes": dict[str, str | None] | None,
    "commits": list[str] | None,
}
PLAIN = bytes([*range(0x20, 0x7F), *b"\n"])
OBJECT = re.compile(r".*_[0-9]{1,9}", re.DOTALL)


def wrong_fields(content: Mapping[str, Any]) -> list[str]:
    """The fields of a record that hold something else than they should, inner ones as `speed.fps`."""
    found = misfits(content, FIELDS)
    for name, kinds in (
        ("subset", SUBSET),
        ("speed", SPEED),
        ("training", TRAINING),
        ("provenance", PROVENANCE),
    ):
        if name not in found and content.get(name) is not None:
            found += [f"{name}.{key}" for key in misfits(content[name], kinds)]
    if "subset" not in found and content["subset"] is not None and not SUBSET.keys() <= content["subset"].keys():
        found.append("subset")
    if "scores" not in found and not content["scores"]:
        found.append("scores (there are none)")
    if "objects" not in found and not all(map(OBJECT.fullmatch, content["objects"])):
        found.append("objects (names are <sequence>_<id>)")
    return found


def is_plain(file: bytes) -> bool:
    """Whether no text of a JSON file has control characters, as is quickly told of most: all is ASCII and nothing is
    escaped."""
    return not file.translate(None, PLAIN) and b"\\" not in file


def cleaned(content: Any) -> Any:
    """The content with the control characters of all texts spelt out: tables, pages and terminals show them."""
    if isinstance(content, str):
        return printable(content)
    if isinstance(content, list):
        return [cleaned(each) for each in content]
    if isinstance(content, dict):
        return {cleaned(key): cleaned(value) for key, value in content.items()}
    return content


def is_curve(name: str) -> bool:
    """Whether an array beside a record has a name such as "<sequence>_<id>/J"."""
    key, slash, measure = name.rpartition("/")
    return bool(slash and measure and OBJECT.fullmatch(key))
