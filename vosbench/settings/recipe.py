"""Which settings are part of a result: reads their declarations, from a verb's Options down into every `_target_`."""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from hydra._internal.utils import _locate  # hydra.utils.get_object also logs what it does not find

from vosbench.settings.options import Keywords, Role
from vosbench.util.files import content_digest
from vosbench.util.hub import local


def settings(values: Mapping[str, Any], taker: Any) -> dict[str, str]:
    """The settings that are part of the result, as text by dotted key: those that are neither WHERE nor PLACED.

    values  keyword arguments of `taker`, a class or function; a mapping with a `_target_` holds arguments of the target

    A file declared CONTENT counts by its content, also one on the Hub, which is downloaded for that. A folder does not
    count here: its reader fingerprints its files.
    """
    found = {}
    for key, value, role in _leaves(values, taker, Role.RESULT, ""):
        if role is Role.RESULT:
            found[key] = text(value)
        elif role is Role.CONTENT and not (isinstance(value, str) and Path(value).is_dir()):
            found[key] = _content(value)
    return found


def role_of(key: str, values: Mapping[str, Any], taker: Any) -> Role:
    """The declared role of a dotted key, or of the nearest key above it that declares one."""
    role, inner = Role.RESULT, values
    for part in key.split("."):
        hint = hints(taker).get(part, Any)
        role = _declared(hint) or role
        value = inner.get(part) if isinstance(inner, Mapping) else None
        inner, taker = (value, _taker(value, hint)) if isinstance(value, Mapping) else ({}, _taker({}, hint))
    return role


def hint_of(key: str, values: Mapping[str, Any], taker: Any) -> Any:
    """The annotation of a dotted key; Any if nothing declares it."""
    inner, hint = values, Any
    for part in key.split("."):
        hint = hints(taker).get(part, _of_values(hint))
        value = inner.get(part) if isinstance(inner, Mapping) else None
        inner = value if isinstance(value, Mapping) else {}
        taker = _taker(inner, hint)
    return hint


def targets(values: Any) -> Iterator[str]:
    """Every `_target_` in a configuration."""
    if isinstance(values, Mapping):
        if isinstance(target := values.get("_target_"), str):
            yield target
        for inner in values.values():
            yield from targets(inner)
    elif isinstance(values, list | tuple):
        for inner in values:
            yield from targets(inner)


def modules(values: Any) -> list[str]:
    """The modules in which the targets of a configuration are defined."""
    found = (getattr(target(name), "__module__", None) for name in targets(values))
    return sorted({module for module in found if isinstance(module, str)})


def hints(taker: Any) -> dict[str, Any]:
    """The annotations of a callable's parameters or of a TypedDict's keys, with their `Annotated` metadata.

    Empty if they cannot be evaluated at run time. A mapping is returned as it is.
    """
    if isinstance(taker, Mapping):
        return dict(taker)
    try:
        plain = not inspect.isclass(taker) or is_typeddict(taker)
        return get_type_hints(taker if plain else taker.__init__, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def target(name: Any) -> Any:
    """What a `_target_` names; None if it does not exist, which is reported when it is instantiated."""
    try:
        return _locate(name)
    except (ImportError, ValueError, AttributeError):
        return None


def text(value: Any) -> str:
    """A value as it is typed on the command line."""
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case list() | tuple():
            return f"[{','.join(map(text, value))}]"
        case dict():
            return "{" + ",".join(f"{key}:{text(inner)}" for key, inner in value.items()) + "}"
    return str(value)


def _leaves(values: Mapping[str, Any], taker: Any, above: Role, place: str) -> Iterator[tuple[str, Any, Role]]:
    """Every value that is not a mapping, with its dotted key and its role."""
    known = hints(taker)
    for key, value in values.items():
        hint = known.get(key, Any)
        role = _declared(hint) or above
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, _taker(value, hint), role, f"{place}{key}.")
        else:
            yield f"{place}{key}", value, role


def _taker(value: Mapping[str, Any], hint: Any) -> Any:
    """What a mapping holds arguments for: its target, or what its annotation declares."""
    if "_target_" in value:
        return target(value["_target_"])
    declared = next((kind for kind in _kinds(hint) if is_typeddict(kind)), None)
    beside = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return declared or next((extra.taker for extra in beside if isinstance(extra, Keywords)), None)


def _declared(hint: Any) -> Role | None:
    if get_origin(hint) is not Annotated:
        return None
    return next((role for role in get_args(hint)[1:] if isinstance(role, Role)), None)


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The types that an annotation allows."""
    if get_origin(hint) is Annotated:
        return _kinds(get_args(hint)[0])
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _of_values(hint: Any) -> Any:
    """The annotation of a mapping's values; Any for anything else."""
    mapping = next((kind for kind in _kinds(hint) if get_origin(kind) in (dict, Mapping)), None)
    return get_args(mapping)[1] if mapping else Any


def _content(value: Any) -> str:
    if not isinstance(value, str) or not (file := local(value)).is_file():
        return text(value)
    return f"sha256 {content_digest(file)[:16]}"
