"""Whether configured values are of the types that the code asks for: those of a task's Options, and of any `_target_`.

Only what YAML can say is judged (numbers, truth values, text, null, choices, lists, mappings). Where an annotation asks
for something else, such as a tensor, every value will do.
"""

import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra._internal.utils import _locate  # hydra.utils.get_object also logs what it does not find

from vosbench.util.errors import UsageError
from vosbench.util.options import Hint

LISTS = (list, tuple, Sequence, Collection, Iterable)
MAPPINGS = (dict, Mapping)
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "text", NoneType: "null"}


def fit(values: Mapping[str, Any], taker: Any, place: str = "") -> dict[str, Any]:
    """Keyword arguments for `taker`, a class or function, as its annotations want them; so for all targets inside.

    A number or truth value where text is wanted becomes its text: `name=123`. An int will do for a float, but neither
    a bool for a number nor text for a list. `place` goes before the keys. Raises UsageError naming the first key whose
    value is of another type, and what is wanted. Keys that the taker does not have are left as they are.
    """
    kinds, hints = _kinds(taker), _hints(taker)
    fitted = {}
    for key, value in values.items():
        try:
            fitted[key] = _fit(value, kinds.get(key, Any), f"{place}{key}")
        except UsageError as error:
            if key in hints:
                raise UsageError(f"{error}; {hints[key].format(place=place)}") from error
            raise
    return fitted


def _kinds(taker: Any, *, include_extras: bool = False) -> dict[str, Any]:
    """The annotations of a callable's parameters; none where they cannot be evaluated outside of a type checker."""
    try:
        return get_type_hints(taker.__init__ if inspect.isclass(taker) else taker, include_extras=include_extras)
    except (NameError, TypeError, AttributeError):
        return {}


def _hints(taker: Any) -> dict[str, str]:
    """By parameter, what else to say where its value is of the wrong type."""
    annotations = _kinds(taker, include_extras=True).items()
    extras = {key: getattr(annotation, "__metadata__", ()) for key, annotation in annotations}
    return {key: extra.text for key, found in extras.items() for extra in found if isinstance(extra, Hint)}


def _fit(value: Any, hint: Any, key: str) -> Any:
    if isinstance(value, dict) and "_target_" in value:
        return fit(value, _target(value["_target_"]), f"{key}.")
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for kind in kinds:
        if _is(value, kind):
            return _fit_inside(value, kind, key)
    if isinstance(value, bool | int | float) and {str, Path} & set(kinds):
        return _text(value)
    wanted = " or ".join(dict.fromkeys(map(_described, kinds)))
    raise UsageError(f"{key}={_text(value)}: give {wanted}")


def _target(target: Any) -> Any:
    """What a `_target_` names; None where there is no such thing, which is said when it is made."""
    try:
        return _locate(target)
    except (ImportError, ValueError, AttributeError):
        return None


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind, contents aside."""
    origin = get_origin(kind) or kind
    if origin in (int, float):
        return isinstance(value, int | origin) and not isinstance(value, bool)
    if origin in NAMES:
        return isinstance(value, str if origin is Path else origin)
    if origin is Literal:
        return value in get_args(kind)
    if origin in LISTS or origin in MAPPINGS:
        return isinstance(value, list if origin in LISTS else dict)
    return True


def _fit_inside(value: Any, kind: Any, key: str) -> Any:
    """A value of a kind with its contents fitted. Mappings are searched for targets, whatever else they may hold."""
    if isinstance(value, dict):
        return {name: _fit(inner, Any, f"{key}.{name}") for name, inner in value.items()}
    if isinstance(value, list):
        same, *others = (*get_args(kind), Any) if get_origin(kind) in LISTS else (Any,)
        element = same if others in ([Any], [..., Any]) else Any
        return [_fit(inner, element, f"{key}[{index}]") for index, inner in enumerate(value)]
    return value


def _described(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin is Literal:
        return " or ".join(map(_text, get_args(kind)))
    return NAMES.get(origin, "a list such as [a,b]" if origin in LISTS else "keys and values")


def _text(value: Any) -> str:
    """A value as it is typed on the command line."""
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case list():
            return f"[{','.join(map(_text, value))}]"
        case dict():
            return "{" + ",".join(f"{key}:{_text(inner)}" for key, inner in value.items()) + "}"
    return str(value)
