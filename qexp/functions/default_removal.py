"""Remove default fields from values, so that an experiment is the same with and without them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from qexp.default_field_marks import DefaultKey
from qexp.dotted_names import ABSENT
from qexp.functions.key_effects import Convert, Path, has_effect, replaced
from qexp.model import Json


def without_defaults(value: Json, convert: Convert) -> Json:
    """
    Return a value without each `DefaultKey` that its conversion does not need.

    A conversion needs a field that tells the classes of a union apart. Without an annotation, all fields are needed.
    """
    paths = list(_defaults(value, ()))
    if not paths:
        return value
    try:
        converted = convert(value)
    except ValueError:
        return value  # the caller converts it again and reports the error
    fewer = value
    for path in reversed(paths):
        fewer = replaced(fewer, path, ABSENT)
    if has_effect(converted, convert, fewer, value):
        fewer = value
        for path in reversed(paths):  # keys of inner mappings first
            without = replaced(fewer, path, ABSENT)
            if not has_effect(converted, convert, without, value):
                fewer = without
    return fewer


def unmarked(argument: Json, names: Iterable[str]) -> Json:
    """Return an argument with plain keys instead of `DefaultKey`s where dotted *names* set the values."""
    for name in names:
        argument = _unmarked(argument, name.split(".")[1:])
    return argument


def _unmarked(value: Json, keys: Sequence[str]) -> Json:
    if not keys or not isinstance(value, dict):
        return value
    return {
        str(key) if key == keys[0] else key: _unmarked(item, keys[1:]) if key == keys[0] else item
        for key, item in value.items()
    }


def own_without_defaults(name: str, value: Json, argument: Json, names: Collection[str]) -> Json:
    """Return the value of a name without each `DefaultKey` that its argument lacks or that longer *names* set."""
    for path in reversed(list(_defaults(value, ()))):
        if ".".join([name, *map(str, path)]) in names or _lacks(argument, [*name.split(".")[1:], *path]):
            value = replaced(value, path, ABSENT)
    return value


def _lacks(argument: Any, path: Sequence[str | int]) -> bool:
    for key in path:
        if isinstance(argument, dict) and key not in argument:
            return True
        argument = argument[key]
    return False


def _defaults(value: Any, path: Path) -> Iterator[Path]:
    """Yield the path of each `DefaultKey`, the outer ones first."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, DefaultKey):
                yield (*path, str(key))
            yield from _defaults(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                yield from _defaults(item, (*path, index))
