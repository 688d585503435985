"""Names of run folders: the same settings always give the same folder, and different ones never share it."""

import hashlib
import re
from collections.abc import Iterable, Mapping

# Keys that say where and on what to work, and all keys under them: one run folder holds the results on many data sets.
UNNAMED = {
    *("dataset", "data", "input", "mask", "output", "predictions", "checkpoint", "paths", "runs", "name"),
    *("record", "licence", "notes", "labels", "kinds"),
    *(
        "trainer",
        "device",
        "workers",
        "overwrite",
        "save_every",
        "scorer",
        "format",
        "cache",
        "pictures",
        "logger",
        "overlay",
        "fps",
        "protocol",
        "sweep",
        "hydra",
    ),
}
LENGTH = 80


def key_of(override: str) -> str:
    """The key or group that a Hydra override sets: `++memory.every=3` and `~memory.every` give `memory.every`."""
    return override.lstrip("+~").split("=", 1)[0].split("@", 1)[0]


def is_named(override: str, subject_group: str) -> bool:
    """Whether an override changes the result and is not what names the folder above (a choice of `subject_group`)."""
    key = key_of(override)
    return key != subject_group and re.split(r"[./:]", key)[0] not in UNNAMED


def run_name(overrides: Iterable[str]) -> str:
    """`default`, or the overrides that change the result, readably, and 8 digits of a hash of all of them.

    Order does not matter, and of two overrides of one key the last counts, as in Hydra. At most 80 characters and
    the hash, all of them safe in a path, in a shell and in another override (`checkpoint=<run folder>`).
    """
    overrides = list(overrides)
    subject_group = "experiment" if "experiment" in map(key_of, overrides) else "method"
    named = {o.split("=", 1)[0]: o for o in overrides if is_named(o, subject_group)}
    if not named:
        return "default"
    ordered = [named[key] for key in sorted(named)]
    readable = "+".join(re.sub(r"[^A-Za-z0-9_.-]+", "-", override).strip("-.") for override in ordered)[:LENGTH]
    return f"{readable}-{hashlib.sha256(chr(0).join(ordered).encode()).hexdigest()[:8]}"


def stage_name(overrides: Iterable[str], shared: Iterable[str]) -> str:
    """The name of an earlier stage's run: with the same overrides of the keys that both stages share (and of what is
    under these); the name that was typed, if one was."""
    overrides = list(overrides)
    typed = [o.split("=", 1)[1] for o in overrides if key_of(o) == "name"]
    keys = tuple(f"{key}." for key in shared)
    return typed[-1] if typed else run_name(o for o in overrides if f"{key_of(o)}.".startswith(keys))


def subject(choices: Mapping[str, str | None], verb: str) -> str:
    """The folder above the run's: its experiment, else its method, else its verb. `choices`: config group → option."""
    choice = choices.get("experiment") or choices.get("method")
    return choice.replace("/", "-") if choice and choice != "null" else verb
