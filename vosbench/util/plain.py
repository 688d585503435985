"""Checks plain data, as JSON holds it, against the annotations of what reads it. No packages: scoring processes import
this."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

LARGEST = 1e15  # beyond it, what is printed or drawn of a number makes no sense


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is what an annotation says, with all that it contains.

    Annotations may be made of Any, None, str, int, float, bool, list, dict, tuple (a list of that length), Literal and
    unions. An int passes as a float, a bool as neither. Numbers must be finite and of at most 15 digits.
    """
    origin, inside = get_origin(kind) or kind, get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in inside)
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in inside)
    if origin is list:
        return isinstance(value, list) and all(fits(each, inside[0]) for each in value)
    if origin is tuple:
        return isinstance(value, list) and len(value) == len(inside) and all(map(fits, value, inside))
    if origin is dict:
        return isinstance(value, dict) and all(fits(k, inside[0]) and fits(v, inside[1]) for k, v in value.items())
    if origin is float:
        return type(value) in (int, float) and abs(value) < LARGEST  # not infinite, nor NaN
    if origin is int:
        return type(value) is int and abs(value) < LARGEST
    return type(value) is (NoneType if origin is None else origin)


def misfits(content: Mapping[str, Any], kinds: Mapping[str, Any]) -> list[str]:
    """The keys whose value is not of its kind. Keys that are missing count as null."""
    return [key for key, kind in kinds.items() if not fits(content.get(key), kind)]
