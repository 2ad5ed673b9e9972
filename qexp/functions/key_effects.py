"""Whether a key of a value has an effect: whether the annotation converts the value differently without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qexp.dotted_names import ABSENT
from qexp.functions.converted_parts import accepted_keys, fields
from qexp.functions.guarded_calls import must_propagate
from qexp.model import Json

Path = tuple[str | int, ...]
"""Keys, and indexes of lists, that lead to a part of a value."""
Convert = Callable[[Any], Any]


def replaced(written: Any, keys: Path, other: object) -> Any:
    """Return a value with *other* at the path *keys*, or without the last key if *other* is ABSENT."""
    key, *below = keys
    new = other if not below else replaced(written[key], tuple(below), other)
    if isinstance(written, list):
        return [new if index == key else item for index, item in enumerate(written)]
    return {name: new if name == key else item for name, item in written.items() if name != key or new is not ABSENT}


def has_effect(converted: Any, convert: Convert, changed: Any, written: Json) -> bool:
    """Return whether a changed value converts differently. Parts that always change, such as a UUID, do not count."""
    try:
        other = convert(changed)
        return _differ(converted, other, convert(written))
    except BaseException as error:
        if must_propagate(error):
            raise
        return True


def _differ(one: Any, other: Any, again: Any) -> bool:
    """Return whether *other* differs from *one*; parts that also differ in a second conversion *again* do not count."""
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
    except (TypeError, ValueError):  # arrays compare element by element
        return repr(one) != repr(other) and repr(one) == repr(again)


def _state(value: Any) -> dict[str, Any] | None:
    """Return the attributes of an object by name. Returns None if it keeps them outside of Python."""
    own = getattr(value, "__dict__", None)
    if own is None:
        return fields(value)
    hidden = getattr(value, "__pydantic_private__", None) or {}
    return {**own, **(getattr(value, "__pydantic_extra__", None) or {}), **hidden}
