"""Settings that came later, with the values that do what was done before they existed."""

from collections.abc import Mapping

ADDED = {
    "inference.kernel": "bicubic",
    "inference.first_mask": "nearest",
    "inference.remember": "own",
    "inference.output._target_": "vosbench.inference.output.Output",
    "inference.output.at": "original",
    "inference.output.kernel": "bilinear",
    "inference.output.min_max": "false",
    "inference.output.given": "exact",
    "memory.first_again": "false",
}
OF_DATA = {"resized": "null", "resized_frames": "bilinear"}  # of any data set, wherever it stands


def completed(made: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """The settings that a result was made with, and those of `now` that it could not have said and that change nothing
    for it."""
    return {**made, **{key: value for key, value in now.items() if key not in made and _is_same(key, value)}}


def _is_same(key: str, value: str) -> bool:
    return ADDED.get(key, OF_DATA.get(key.rpartition(".")[2])) == value
