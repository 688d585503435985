"""Checks configured values against the annotations of a task's Options and of every `_target_`.

Only types that YAML can express are checked (numbers and their range, booleans, text, null, choices, lists, mappings).
If an annotation asks for anything else, such as a tensor, every value passes; functions and classes of vosbench need a
`_target_`.
"""

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Required, Union, get_args, get_origin, is_typeddict

from vosbench.settings.options import Hint, Keywords, Range
from vosbench.settings.recipe import hints, target, text
from vosbench.util.errors import UsageError, unknown

LISTS = (list, tuple, Sequence, Collection, Iterable)
MAPPINGS = (dict, Mapping)
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "text", NoneType: "null"}


class _Kind(NamedTuple):
    """One of the types that an annotation allows, with its `Annotated` metadata."""

    type: Any
    beside: tuple[Any, ...]


def fit(values: Mapping[str, Any], taker: Any, place: str = "", *, least: float = -math.inf) -> dict[str, Any]:
    """Keyword arguments for `taker`, a class or function, converted to its annotations; likewise for all targets
    inside.

    A number or boolean becomes text if text is wanted: `name=123`. An int passes as a float, and 1e3 as a whole number,
    but a bool does not pass as a number, nor text as a list. Numbers without a declared Range must be `least` or more.
    Keys that the taker does not have stay unchanged. `place` is a prefix of the keys in messages. Raises UsageError for
    the first value of the wrong type or out of range, with its key and what is wanted.
    """
    known = hints(taker)
    return {key: _fit_one(value, known.get(key, Any), place, key, least) for key, value in values.items()}


def _fit_one(value: Any, hint: Any, place: str, key: str, least: float) -> Any:
    try:
        return _fit(value, hint, f"{place}{key}", least)
    except UsageError as error:
        more = next((extra for extra in get_args(hint)[1:] if isinstance(extra, Hint)), None)
        if get_origin(hint) is not Annotated or more is None:
            raise
        raise UsageError(f"{error}; {more.text.format(place=place)}") from error


def _fit(value: Any, hint: Any, key: str, least: float = -math.inf) -> Any:
    if isinstance(value, dict) and "_target_" in value:
        return fit(value, target(value["_target_"]), f"{key}.")
    kinds = _sayable(kinds_of(hint))
    for kind in kinds:
        if _is(value, kind.type):
            return _fit_inside(value, kind, key, least)
    if isinstance(value, float) and value.is_integer() and any(kind.type is int for kind in kinds):
        return _fit(int(value), hint, key, least)
    if isinstance(value, bool | int | float) and {str, Path} & {kind.type for kind in kinds}:
        return text(value)
    raise UsageError(f"{key}={text(value)}: give {_wanted(kinds)}")


def kinds_of(hint: Any) -> list[_Kind]:
    """The types that an annotation allows, each with its own `Annotated` metadata and that of the whole."""
    if get_origin(hint) is Annotated:
        inner, *beside = get_args(hint)
        return [_Kind(kind.type, (*kind.beside, *beside)) for kind in kinds_of(inner)]
    if get_origin(hint) in (Required, NotRequired):
        return kinds_of(*get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return [kind for part in get_args(hint) for kind in kinds_of(part)]
    return [_Kind(hint, ())]


def _sayable(kinds: list[_Kind]) -> list[_Kind]:
    """The kinds that YAML can express, or all if there are none. In `float | Tensor`, the tensor would let any value
    pass."""
    said = [kind for kind in kinds if _is_sayable(kind.type)]
    return said if any(kind.type is not NoneType for kind in said) else kinds


def _is_sayable(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return origin in NAMES or origin is Literal or origin in LISTS or origin in MAPPINGS or is_typeddict(kind)


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind, regardless of its contents."""
    origin = get_origin(kind) or kind
    if origin in (int, float):
        return isinstance(value, int | origin) and not isinstance(value, bool)
    if origin in NAMES:
        return isinstance(value, str if origin is Path else origin)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(kind))
    if is_typeddict(kind) or origin in MAPPINGS:
        return isinstance(value, dict)
    if origin in LISTS:
        return isinstance(value, list)
    return value is None or not _needs_target(origin)


def _needs_target(kind: Any) -> bool:
    """Whether only a `_target_` can make an instance of this kind."""
    return kind is Callable or (inspect.isclass(kind) and kind.__module__.partition(".")[0] == "vosbench")


def _fit_inside(value: Any, kind: _Kind, key: str, least: float) -> Any:
    """A value of a kind, with its range checked and its contents converted. Mappings are always searched for
    targets."""
    if isinstance(value, dict):
        return _fit_mapping(value, kind, key)
    if isinstance(value, list):
        return [_fit(each, hint, f"{key}[{i}]") for i, (each, hint) in enumerate(_elements(value, kind.type, key))]
    if isinstance(value, int | float) and not isinstance(value, bool):
        allowed = next((beside for beside in kind.beside if isinstance(beside, Range)), Range(least))
        if value not in allowed:
            raise UsageError(f"{key}={text(value)}: give {allowed}")
    return value


def _fit_mapping(value: dict[str, Any], kind: _Kind, key: str) -> dict[str, Any]:
    declared = {}
    if is_typeddict(kind.type):
        keys = hints(kind.type)
        declared = {name: each for name, each in value.items() if name in keys}
        declared = fit({**dict.fromkeys(kind.type.__required_keys__), **declared}, kind.type, f"{key}.")
    keywords = next((beside for beside in kind.beside if isinstance(beside, Keywords)), None)
    if keywords is not None:
        return _fit_keywords(value, keywords, key, declared)
    if is_typeddict(kind.type):
        return {**value, **declared}
    _, inner = get_args(kind.type) if get_origin(kind.type) in MAPPINGS else (str, Any)
    return {name: _fit(each, inner, f"{key}.{name}") for name, each in value.items()}


def _fit_keywords(value: dict[str, Any], keywords: Keywords, key: str, declared: dict[str, Any]) -> dict[str, Any]:
    """Converts keywords; `declared` ones are done already. Raises UsageError also for unknown and missing keys."""
    parameters = inspect.signature(keywords.taker).parameters.items()
    known = {name: parameter for name, parameter in parameters if name not in keywords.given}
    for name in value:
        if name not in known:
            raise UsageError(f"{key}: {unknown('key', name, known)}")
    for name, parameter in known.items():
        if name not in value and parameter.default is parameter.empty:
            raise UsageError(f"{key}: there is no {name}: add +{key}.{name}=…")
    others = {name: each for name, each in value.items() if name not in declared}
    return {**value, **declared, **fit(others, keywords.taker, f"{key}.")}


def _elements(value: list[Any], kind: Any, key: str) -> list[tuple[Any, Any]]:
    """The elements of a list, each with its annotation."""
    kinds = get_args(kind) if get_origin(kind) in LISTS else ()
    if get_origin(kind) is tuple and Ellipsis not in kinds:
        if len(kinds) != len(value):
            raise UsageError(f"{key}={text(value)}: give a list of {len(kinds)}")
        return list(zip(value, kinds, strict=True))
    return [(each, kinds[0] if kinds else Any) for each in value]


def _wanted(kinds: list[_Kind]) -> str:
    return " or ".join(dict.fromkeys(_described(kind.type) for kind in kinds))


def _described(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin is Literal:
        return " or ".join(map(text, get_args(kind)))
    if _needs_target(origin):
        return "keys with a _target_"
    return NAMES.get(origin, "a list such as [a,b]" if origin in LISTS else "keys and values")
