"""One spelling for equal values: each scalar of a grid's value is converted by its annotation."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

from qexp.dotted_names import ABSENT
from qexp.functions.converted_parts import fields, inner, items
from qexp.model import SCALARS, Json, canonical
from qexp.serialization import KEY_TYPES, KeyText, to_json


def canonical_value(written: Json, converted: Any, convert: Callable[[Json], Any]) -> Json:
    """
    Return a value in one spelling: all values that *convert* makes equal have the same.

    Mappings and lists keep only their written parts: defaults are not added, so they change no fingerprint. Sets are
    sorted. The value stays as written if the spelling is not data, or would not convert to the same value again.
    """
    spelled = _spelled(written, converted)
    if spelled is written:
        return written
    try:
        again = convert(spelled)
    except ValueError:
        return written
    return spelled if _alike(spelled, converted, again) else written


def _spelled(written: Json, converted: Any) -> Json:
    """Return a value spelled as its converted value. Returns the same object if nothing changes."""
    converted = inner(converted)
    if isinstance(written, dict):
        entries = {key: _spelled(item, part) for key, item, part in _entries(written, converted)}
        if len(entries) < len(written):
            raise ValueError(f"found the keys {', '.join(written)}, expected keys that differ once they are converted")
        same = zip(written.items(), entries.items(), strict=True)
        return written if all(type(k) is str and k == key and v is item for (k, v), (key, item) in same) else entries
    if not isinstance(written, list):
        return _scalar(written, converted)
    if isinstance(converted, Set):
        return _sorted_set(written, converted)
    parts = [_spelled(item, part) for item, part in zip(written, items(written, converted), strict=True)]
    return written if all(new is old for new, old in zip(parts, written, strict=True)) else parts


def _scalar(written: Json, converted: Any) -> Json:
    """Return the converted scalar. Returns it as written if the converted value is not a scalar or not data."""
    if type(converted) in SCALARS and type(converted) is type(written) and converted == written:
        return written
    if converted is ABSENT or callable(converted) or inspect.ismodule(converted):
        return written
    if isinstance(converted, float):
        return to_json(converted, finite=True)
    if isinstance(converted, Mapping | Set | tuple | list) or dataclasses.is_dataclass(converted):
        return written
    data = _data(converted)
    return data if type(data) in SCALARS else written


def _data(converted: Any) -> Json:
    """Return a value as data, or ABSENT if it is not data."""
    try:
        return to_json(converted, finite=True)
    except ValueError:
        kind: Any = type(converted)
        dump = _dumper(kind)
    try:
        return ABSENT if dump is None else dump(converted)
    except ValueError:
        return ABSENT


@functools.lru_cache(maxsize=64)
def _dumper(kind: type) -> Callable[[Any], Json] | None:
    """Return the function that makes data of a type that only pydantic knows, such as an IP address. None: unknown."""
    from pydantic import PydanticUserError, TypeAdapter

    try:
        return functools.partial(TypeAdapter(kind).dump_python, mode="json")
    except PydanticUserError:
        return None


def _sorted_set(written: list[Json], converted: Set[Any]) -> list[Json]:
    """Return a set in the order of its canonical texts: its own order depends on the process."""
    try:
        members = [_member(item) for item in converted]
    except ValueError:
        members = [_spelled(item, ABSENT) for item in written]
    return [item for _, item in sorted({canonical(item): item for item in members}.items())]


def _member(member: Any) -> Json:
    """Return a member of a set as data. Raises ValueError unless it is a scalar, or a tuple or set of scalars."""
    if isinstance(member, Set):
        return [item for _, item in sorted((canonical(item), item) for item in map(_member, member))]
    if isinstance(member, tuple) and not hasattr(member, "_fields"):
        return [_member(item) for item in member]
    data = _data(member)
    if callable(member) or type(data) not in SCALARS:
        raise ValueError("a member that is no scalar")
    return data


def _entries(written: dict[str, Json], converted: Any) -> Iterator[tuple[str, Json, Any]]:
    """Yield the entries of a mapping: the spelling of the key, the item, and the converted item."""
    if isinstance(converted, Mapping):
        keys = _keys(written, converted)
    else:
        parts = fields(converted)
        keys = [key if key in parts else ABSENT for key in written]
        converted = parts
    for (key, item), found in zip(written.items(), keys, strict=True):
        is_text = found is ABSENT or isinstance(found, str)
        if isinstance(key, KeyText) and is_text:
            raise ValueError(
                f"found the key {key}, expected text; quote it, or annotate the parameter as dict[{key.kind}, …]"
            )
        spelled = str(key) if found is ABSENT else found if type(found) is str else _key_text(found)
        yield spelled, item, ABSENT if found is ABSENT else converted[found]


def _keys(written: dict[str, Json], converted: Mapping[Any, Any]) -> list[Any]:
    """Return the converted keys in the order of the written ones. Raises ValueError if two have become one."""
    if all(key in converted for key in written):
        return [str(key) for key in written]
    if len(converted) == len(written):
        return list(converted)
    if any(not isinstance(key, str) for key in converted):
        raise ValueError(f"found the keys {', '.join(written)}, expected keys that differ once they are converted")
    return [str(key) if key in converted else ABSENT for key in written]  # a TypedDict drops keys that it ignores


def _key_text(key: Any) -> str:
    return str(next(iter(to_json({key: None}, keys=KEY_TYPES))))


def _alike(spelled: Json, one: Any, other: Any) -> bool:
    """Return whether two conversions agree in each written part. Defaults may differ, such as a new UUID."""
    one, other = inner(one), inner(other)
    if isinstance(spelled, dict):
        first, second = list(_entries(spelled, one)), list(_entries(spelled, other))
        return all(_alike(a[1], a[2], b[2]) for a, b in zip(first, second, strict=True))
    if isinstance(spelled, list) and not isinstance(one, Set):
        parts = zip(spelled, items(spelled, one), items(spelled, other), strict=True)
        return all(_alike(item, a, b) for item, a, b in parts)
    try:
        return type(one) is type(other) and bool(one == other)
    except (TypeError, ValueError):  # arrays compare element by element
        return False
