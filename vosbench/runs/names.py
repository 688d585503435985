"""Names of run folders: the same settings always give the same folder, and different ones never share it."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping

LENGTH = 80


def key_of(override: str) -> str:
    """The key or group that a Hydra override sets: `++memory.every=3` and `~memory.every` give `memory.every`."""
    return override.lstrip("+~").split("=", 1)[0].split("@", 1)[0]


def subject_group(overrides: Iterable[str]) -> str:
    """The config group whose choice names the folder above the run's."""
    return "experiment" if "experiment" in map(key_of, overrides) else "method"


def run_name(overrides: Iterable[str], is_named: Callable[[str], bool]) -> str:
    """`default`, or the overrides that change the result, readably, and 8 digits of a hash of all of them.

    is_named  whether a key or group is part of the name

    Order does not matter, and the last of two overrides of one key counts, as in Hydra. The readable part has at most
    80 characters. All characters are safe in a path, in a shell and in another override (`checkpoint=<run folder>`).
    """
    named = {override.split("=", 1)[0]: override for override in overrides if is_named(key_of(override))}
    if not named:
        return "default"
    ordered = [named[key] for key in sorted(named)]
    readable = "+".join(re.sub(r"[^A-Za-z0-9_.-]+", "-", override).strip("-.") for override in ordered)[:LENGTH]
    return f"{readable}-{hashlib.sha256(chr(0).join(ordered).encode(errors='surrogateescape')).hexdigest()[:8]}"


def stage_name(overrides: Iterable[str], shared: Iterable[str], is_named: Callable[[str], bool]) -> str:
    """The name of an earlier stage's run, which has the same overrides of the keys that both stages share (and of keys
    below these). A typed `name=` overrides it."""
    overrides = list(overrides)
    typed = [override.split("=", 1)[1] for override in overrides if key_of(override) == "name"]
    keys = tuple(f"{key}." for key in shared)
    return typed[-1] if typed else run_name((o for o in overrides if f"{key_of(o)}.".startswith(keys)), is_named)


def subject(choices: Mapping[str, str | None], verb: str) -> str:
    """The folder above the run's: its experiment, else its method, else its verb. `choices`: config group → option."""
    choice = choices.get("experiment") or choices.get("method")
    return choice.replace("/", "-") if choice and choice != "null" else verb
