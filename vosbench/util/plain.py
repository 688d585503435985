"""Checks plain data, as JSON holds it, against the annotations of what reads it. No packages: scoring processes import
this."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

LARGEST = 1e15  # beyond it, what is printed or drawn of a number makes no sense


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is what an annotation says, with all that it contains.

    Annotations may be made of Any, None, str, int, float, bool, list, dict, tuple (a list of that length), Literal and
    unions. An int passes as a float, a bool as neither. Numbers must be finite and of at most 15 digits.
    """
    return _test(kind)(value)


@cache
def _test(kind: Any) -> Callable[[Any], bool]:
    """What tells whether a value is of a kind. Made once: records hold thousands of values of one kind."""
    origin, inside = get_origin(kind) or kind, get_args(kind)
    if kind is Any:
        return lambda value: True
    if origin is Literal:
        return lambda value: any(value == each and type(value) is type(each) for each in inside)
    tests = [_test(each) for each in inside]
    if origin in (Union, UnionType):
        return lambda value: any(test(value) for test in tests)
    if origin is list:
        return lambda value: isinstance(value, list) and all(map(tests[0], value))
    if origin is tuple:
        return lambda value: _is_list_of(value, tests)
    if origin is dict:
        return lambda value: (
            isinstance(value, dict) and all(map(tests[0], value)) and all(map(tests[1], value.values()))
        )
    if origin is float:
        return lambda value: type(value) in (int, float) and abs(value) < LARGEST  # not infinite, nor NaN
    if origin is int:
        return lambda value: type(value) is int and abs(value) < LARGEST
    return lambda value: type(value) is (NoneType if origin is None else origin)


def _is_list_of(value: Any, tests: Sequence[Callable[[Any], bool]]) -> bool:
    """Whether a value is a list with as many items as there are tests, each of which passes its own."""
    return (
        isinstance(value, list) and len(value) == len(tests) and all(map(lambda test, item: test(item), tests, value))
    )


def misfits(content: Mapping[str, Any], kinds: Mapping[str, Any]) -> list[str]:
    """The keys whose value is not of its kind. Keys that are missing count as null."""
    return [key for key, kind in kinds.items() if not fits(content.get(key), kind)]
