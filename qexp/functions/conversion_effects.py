"""Whether a key of a value has an effect: without it, the annotation would make something else of the value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qexp.dotted_names import ABSENT
from qexp.functions.converted_parts import accepted_keys, fields
from qexp.functions.user_code import passes
from qexp.model import Json

Path = tuple[str | int, ...]
"""Keys, and indexes of lists, that lead to a part of a value."""
Convert = Callable[[Any], Any]


def replaced(written: Any, keys: Path, other: object) -> Any:
    """Return a value with something else below some keys, without the last key if that is ABSENT."""
    key, *below = keys
    new = other if not below else replaced(written[key], tuple(below), other)
    if isinstance(written, list):
        return [new if index == key else item for index, item in enumerate(written)]
    return {name: new if name == key else item for name, item in written.items() if name != key or new is not ABSENT}


def has_effect(converted: Any, convert: Convert, changed: Any, written: Json) -> bool:
    """Say whether a changed value is converted to something else; what is new each time, such as a UUID, is equal."""
    try:
        other = convert(changed)
        return _differ(converted, other, convert(written))
    except BaseException as error:
        if passes(error):
            raise
        return True


def _differ(one: Any, other: Any, again: Any) -> bool:
    """Say whether *other* differs from *one* where *again*, made of the same value as *one*, does not."""
    if type(one) is not type(other) or type(one) is not type(again):
        return type(one) is type(again)
    if isinstance(one, Mapping):
        return one.keys() != other.keys() or any(_differ(one[key], other[key], again.get(key)) for key in one)
    if isinstance(one, list | tuple):
        if not len(one) == len(other) == len(again):
            return len(one) == len(again)
        return any(_differ(*parts) for parts in zip(one, other, again, strict=True))
    states = [_state(value) for value in (one, other, again)]
    if accepted_keys(one) is not None and all(state is not None for state in states):
        return _differ(*states)
    try:
        return bool(one != other) and bool(one == again)
    except (TypeError, ValueError):  # arrays do not say so in one word
        return repr(one) != repr(other) and repr(one) == repr(again)


def _state(value: Any) -> dict[str, Any] | None:
    """Return all that an object of Python code keeps by name; None if it keeps that elsewhere."""
    own = getattr(value, "__dict__", None)
    if own is None:
        return fields(value)
    hidden = getattr(value, "__pydantic_private__", None) or {}
    return {**own, **(getattr(value, "__pydantic_extra__", None) or {}), **hidden}
