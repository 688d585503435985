"""Building objects from configuration, with errors that name the key."""

import inspect
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from vosbench.settings import renamed
from vosbench.util.errors import UsageError, UserError, one_line, unknown


def made(settings: Any, place: str, **how: Any) -> Any:
    """The object that `settings` describe: `hydra.utils.instantiate(settings, **how)`. `place` is their key.

    Raises UsageError for a missing or unknown target and for keywords that it does not take. Exceptions of the target
    itself pass unchanged, except that a UserError is given its `place`.
    """
    with placed(place):
        result = instantiate(settings, **how)
    if isinstance(settings, Mapping) and settings.get("_target_") is None:
        raise UsageError(f"{place} names no _target_: choose one of its configs, or say what to make")
    return result


def factory(settings: Any, place: str, **how: Any) -> Callable[..., Any]:
    """A function that makes any number of the objects that `settings` describe. One is made at once, so that errors (as
    in `made`) are raised here and not at the first use."""
    made(settings, place, **how)
    every: Callable[..., Any] = made(settings, place, _partial_=True, **how)
    return every


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Gives errors raised inside the `place` of the settings in use."""
    try:
        yield
        return
    except InstantiationException as error:
        failure = unwrapped(error, place)
    except UserError as error:
        failure = error
    if isinstance(failure, UserError) and "place" not in vars(failure):  # the innermost place is the right one
        failure.place = f"{place}."
    raise failure from failure.__cause__  # keeps its own cause, without Hydra's exception as context


def unwrapped(error: InstantiationException, place: str = "") -> Exception:
    """The exception inside Hydra's error, which wraps what a target raises; a UsageError for a wrong target or call."""
    cause = error.__cause__
    target, inner = (re.search(pattern, str(error)) for pattern in (r"target '([^']+)'", r"full_key: (\S+)"))
    where = ".".join(filter(None, [place, inner[1] if inner else ""]))
    head = f"{where}: " if where else ""
    if not isinstance(cause, Exception):
        return UsageError(f"{head}{one_line(str(error).split('full_key:')[0])}")
    if target and str(error).startswith("Error locating"):
        reason = one_line(cause.__cause__ or cause)
        return UsageError(f"{head}cannot find {target[1]}: {_moved(target[1], reason) or reason}")
    if target and isinstance(cause, TypeError) and _is_call_itself(cause):
        return UsageError(f"{head}{_wrong_call(target[1], cause, where)}")
    if isinstance(cause, UserError) and "place" not in vars(cause) and where:
        cause.place = f"{where}."
    return cause


def _moved(target: str, reason: str) -> str | None:
    """The new location of a target that has moved, or of a moved name that its module imports."""
    name = re.search(r"cannot import name '(\w+)' from '([\w.]+)'", reason)
    module = re.search(r"No module named '([\w.]+)'", reason)
    imported = f"{name[2]}.{name[1]}" if name else module[1] if module else target
    return renamed.importable(target) or renamed.importable(imported)


def _is_call_itself(error: TypeError) -> bool:
    """Whether the call of the target itself failed, as opposed to something inside the target."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals["__name__"]).startswith("hydra.")


def _wrong_call(target: str, error: TypeError, where: str) -> str:
    keyword = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if keyword:
        known = inspect.signature(get_object(target)).parameters
        old = renamed.key(f"{where}.{keyword[1]}", {f"{where}.{name}" for name in known})
        return old or unknown(f"key of {target}", keyword[1], known)
    return one_line(error)
