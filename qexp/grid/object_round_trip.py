"""Check that objects given as parameters in Python are equal after conversion to data and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from qexp.grid.parameter_sets import ParameterSets
from qexp.grid.yaml_source import Location, Part
from qexp.model import Json
from qexp.serialization import KEY_TYPES, NotDataError, fields_of, key_text, to_json

_SECTIONS = ("parameters", "zip", "when", "include", "settings")
_ABSENT: Any = object()


def instances_in(data: Mapping[str, Any]) -> dict[Location, Any]:
    """Return the objects among the parameters of a grid from Python, by their locations."""
    found: dict[Location, Any] = {}
    for section in _SECTIONS:
        if section in data:
            found.update(_inside(data[section], (section,)))
    return found


def _inside(value: Any, location: Location) -> Iterator[tuple[Location, Any]]:
    if isinstance(value, Decimal) or _is_secret(value) or fields_of(value) is not None:
        yield location, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _inside(item, (*location, key_text(key, KEY_TYPES)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if type(item) is not float:
                yield from _inside(item, (*location, index))


def check_instances(grid: ParameterSets, convert: Callable[[str, Json], Any]) -> None:
    """
    Raise GridError if an object from Python is not equal after its argument is converted.

    *grid* is bound. An annotation without fields may ask for another type; then no check is needed.
    """
    for location, given in grid.instances.items():
        if (found := _value_at(grid, location, given)) is None:
            continue
        name, value, rest = found
        try:
            arrived = _part_of(convert(name, value), rest)
        except ValueError:
            continue
        if arrived is not _ABSENT and _is_changed(given, arrived):
            kind = type(arrived).__name__
            repair = f"annotate {name!r} as Decimal, or write a float" if isinstance(given, Decimal) else _REPAIR
            raise grid.source.error(
                f"found {given!r:.80}, which comes back from its data as an unequal {kind}; {repair}", *location
            )


_REPAIR = "write its fields as a mapping, annotate its own class, or make it inside the function"


def _value_at(grid: ParameterSets, location: Location, given: Any) -> tuple[str, Json, Location] | None:
    """Return the name and value of an object's parameter, and the path inside. Returns None if it was replaced."""
    written = _part_of(grid.source.data, location)
    if written is _ABSENT or written != to_json(given, finite=True, keys=KEY_TYPES):
        return None  # an assignment has replaced it
    section, *path = location
    if section == "settings":
        return _named(grid.settings, path)
    if section == "include":
        return _named(grid.include[int(path[0])], path[1:]) if path else None
    for axis in grid.axes:
        for name, start, column in zip(axis.names, axis.locations, axis.columns, strict=True):
            if location[: len(start)] == tuple(start) and "." not in name:
                rest = location[len(start) :]
                if rest[:1] == ("values",):
                    rest = rest[1:]
                is_item = isinstance(_part_of(grid.source.data, location[: len(location) - len(rest)]), list)
                index = int(rest[0]) if is_item and rest else 0
                return (name, column[index], rest[1:] if is_item else rest) if index < len(column) else None
    return None


def _named(row: Mapping[str, Json], path: Sequence[Part]) -> tuple[str, Json, Location] | None:
    if not path:
        return None  # the object is the whole row
    name = str(path[0])
    return None if "." in name or name not in row else (name, row[name], tuple(path[1:]))


def _part_of(value: Any, path: Sequence[Part]) -> Any:
    for part in path:
        try:
            is_item = isinstance(value, Mapping) or isinstance(part, int)
            value = value[part] if is_item else getattr(value, str(part))
        except (LookupError, TypeError, AttributeError):
            return _ABSENT
    return value


def _is_changed(given: Any, arrived: Any) -> bool:
    """Return whether an object has changed. A mapping in its place is no change: the annotation asks for it."""
    if isinstance(given, Decimal):
        return isinstance(arrived, str)
    return (_is_secret(given) or fields_of(arrived) is not None) and not _is_same(given, arrived)


def _is_same(given: Any, arrived: Any) -> bool:
    if _is_secret(given):
        return _is_secret(arrived) and bool(given.get_secret_value() == arrived.get_secret_value())
    if (fields := fields_of(given)) is not None:
        others = fields_of(arrived) if type(arrived) is type(given) else None
        return others is not None and all(_is_same(fields[name], others.get(name, _ABSENT)) for name in fields)
    if isinstance(given, Mapping) and isinstance(arrived, Mapping) and given.keys() == arrived.keys():
        return all(_is_same(item, arrived[key]) for key, item in given.items())
    if isinstance(given, list | tuple) and isinstance(arrived, list | tuple) and len(given) == len(arrived):
        return all(map(_is_same, given, arrived))
    try:
        return bool(given == arrived or _data(given) == _data(arrived))
    except ValueError:  # arrays have no single truth value
        return bool(_data(given) == _data(arrived))


def _data(value: Any) -> Json:
    try:
        return to_json(value, finite=True, keys=KEY_TYPES)
    except NotDataError:
        return None


def _is_secret(value: Any) -> bool:
    return callable(getattr(value, "get_secret_value", None))
