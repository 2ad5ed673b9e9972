"""Values of Python become data: values that JSON can hold; a float stays a float, an int an int."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import types
import typing
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from qexp.model import Json, canonical, storable_text

KeyTypes = frozenset[type]
"""Types of a mapping's keys, beside text, that become text."""
KEY_TYPES: KeyTypes = frozenset({int, float, type(None), date, PurePath, UUID})
"""The types that an annotation such as `dict[int, float]` can convert back from text."""


class KeyText(str):
    """A key of a mapping that was not text, as text."""

    kind = "int"
    """The type that the key had."""


class NotDataError(ValueError):
    """A value is not data; *path* leads to it inside the value that was passed."""

    def __init__(self, problem: str) -> None:
        self.problem, self.path = problem, list[str | int]()

    def __str__(self) -> str:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).lstrip(".")
        return f"{place}: {self.problem}" if place else self.problem


def to_json(value: Any, finite: bool = False, keys: KeyTypes = frozenset()) -> Json:
    """
    Return a value as JSON data: None, bool, int, float, str, list or dict.

    Dataclasses, pydantic models, namedtuples and pandas Series become mappings. Values of numpy, dates, paths and enums
    become plain values. A set becomes a list in the order of its canonical texts. NUL, which Postgres cannot keep in
    text, and lone surrogates become visible escapes. A key of one of the types *keys* becomes a `KeyText`.

    Raises NotDataError for a value that is not data, for any other key that is not text, and for a number that Python
    could not read again. With *finite* it refuses NaN and infinities too. The error names the place of the value.

    >>> to_json({"x": 1e22, "y": (1, {3, 2})})
    {'x': 1e+22, 'y': [1, [2, 3]]}
    """
    try:
        return _of(value, finite, keys)
    except RecursionError as error:
        raise NotDataError("it is nested too deeply, or contains itself") from error


def serializable(values: Mapping[str, Any], keys: KeyTypes = frozenset()) -> tuple[dict[str, Json], dict[str, str]]:
    """Return the entries that are data, and by name the reason why each other entry is not."""
    found: dict[str, Json] = {}
    refused: dict[str, str] = {}
    for name, value in values.items():
        shown = str(to_json(str(name)))
        try:
            data = to_json({name: value}, keys=keys)
        except NotDataError as error:
            refused[shown] = str(error)
        except Exception as error:  # noqa: BLE001 - the value's own code may raise anything; the other values stay
            refused[shown] = f"{shown}: {_name(value)} is not data: it raised {type(error).__name__}"
        else:
            if data.keys() & found.keys():
                refused[shown] = f"{shown}: found the key twice, once it is text; expected keys that differ as text"
            else:
                found |= data
    return found, refused


def named_parts(value: Any) -> dict[Any, Any] | None:
    """Return the parts of a value that becomes a mapping, by name; None for any other value."""
    if (parts := _pairs_in(value)) is not None:
        return dict(parts)
    pydantic, pandas = sys.modules.get("pydantic"), sys.modules.get("pandas")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return dict(value)
    if pandas is not None and isinstance(value, pandas.Series) and value.index.is_unique and not _is_counted(value):
        return dict(value.items())
    return None


def _pairs_in(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return names and parts of a mapping, a namedtuple or a dataclass; None for any other value."""
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return zip(value._fields, value, strict=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return None


def _is_counted(series: Any) -> bool:
    """Say whether a pandas Series is a list: its labels count from 0."""
    return bool(series.index.equals(sys.modules["pandas"].RangeIndex(len(series))))


def key_types(hint: Any) -> KeyTypes:
    """
    Return the types of keys, beside text, that an annotation names anywhere inside.

    >>> key_types(dict[str, dict[int, float]])
    frozenset({<class 'int'>})
    """
    found: set[type] = set()
    seen: list[Any] = []
    pending = [hint]
    while pending:
        here = pending.pop()
        if any(here is known for known in seen):
            continue
        seen.append(here)
        origin, arguments = typing.get_origin(here), typing.get_args(here)
        if isinstance(origin, type) and issubclass(origin, Mapping) and arguments:
            found |= {kind for kind in _options(arguments[0]) if isinstance(kind, type) and not issubclass(kind, str)}
        pending += arguments
        if isinstance(here, type) and dataclasses.is_dataclass(here):
            pending += typing.get_type_hints(here).values()
    return frozenset(found)


def _options(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the annotation alone."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _of(value: Any, finite: bool, keys: KeyTypes) -> Json:
    if type(value) is float:  # most values of long lists
        return _number(value, finite) if finite else value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _of(value.value, finite, keys)
    if isinstance(value, str):
        return storable_text(str(value))
    if isinstance(value, int):
        return _whole(int(value))
    if isinstance(value, float | Decimal):
        return _number(float(value), finite)
    if isinstance(value, list | deque | range):
        return _items(value, finite, keys)
    if not _is_pydantic(value) and (pairs := _pairs_in(value)) is not None:
        kind: Any = type(value)
        return _pairs(pairs, finite, keys | _keys_of(kind) if dataclasses.is_dataclass(value) else keys)
    if isinstance(value, tuple):
        return _items(value, finite, keys)
    if isinstance(value, set | frozenset):
        return sorted(_items(value, finite, keys), key=canonical)
    return _of_library(value, finite, keys)


def _items(values: Iterable[Any], finite: bool, keys: KeyTypes) -> list[Json]:
    found: list[Json] = []
    for item in values:
        try:
            found.append(_of(item, finite, keys))
        except NotDataError as error:
            error.path.insert(0, len(found))
            raise
    return found


def _pairs(pairs: Iterable[tuple[Any, Any]], finite: bool, keys: KeyTypes) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for key, item in pairs:
        name = _key(key, keys)
        if name in found:
            raise NotDataError(f"found the key {name!r} twice, once it is text; expected keys that differ as text")
        try:
            found[name] = _of(item, finite, keys)
        except NotDataError as error:
            error.path.insert(0, name)
            raise
    return found


def _key(key: Any, keys: KeyTypes) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return storable_text(str(key))
    if not any(isinstance(key, kind) for kind in keys):
        raise NotDataError(f"found the key {key!r:.60}, expected text")
    plain = to_json(key)
    text = KeyText(plain if isinstance(plain, str) else canonical(plain))
    text.kind = type(key).__name__
    return text


@functools.lru_cache(maxsize=256)
def _keys_of(kind: Any) -> KeyTypes:
    try:
        return key_types(kind)
    except Exception:  # noqa: BLE001 - the code of an annotation may raise anything
        return frozenset()


_LONGEST = 14_284
"""Bits of a number of 4,300 decimal digits; Python reads no longer ones."""


def _whole(value: int) -> int:
    if value.bit_length() > _LONGEST:
        raise NotDataError("found a whole number of more than 4,300 digits, which Python does not read again")
    return value


def _number(value: float, finite: bool) -> float:
    if finite and not math.isfinite(value):
        raise NotDataError(f"found {value}, expected finite numbers")
    return value


def _is_pydantic(value: Any) -> bool:
    return hasattr(type(value), "__pydantic_serializer__")


def _of_library(value: Any, finite: bool, keys: KeyTypes) -> Json:
    """Return data of numpy, pandas, torch or pydantic, or of a type that pydantic knows."""
    from pydantic_core import to_jsonable_python

    pandas = sys.modules.get("pandas")
    if pandas is not None and (value is pandas.NA or value is pandas.NaT):
        return None
    if pandas is not None and isinstance(value, pandas.Series):
        return _items(value, finite, keys) if _is_counted(value) else _pairs(value.items(), finite, keys)
    if pandas is not None and isinstance(value, pandas.DataFrame):
        raise NotDataError(
            "a pandas.DataFrame is not data; write frame.to_dict('list'), or keep it with context.artifact"
        )
    if isinstance(value, bytes | bytearray | memoryview | complex):
        raise NotDataError(f"{_name(value)} is not data")
    try:
        if callable(unwrap := getattr(value, "tolist", None)) and not isinstance(value, type):
            return _of(_named_fields(value, unwrap()), finite, keys)
        plain = to_jsonable_python(value, fallback=_moment)
    except (NotDataError, RecursionError):
        raise
    except Exception as error:  # libraries raise many kinds for a value that has no plain form
        reason = " ".join(str(error).split())
        raise NotDataError(f"{_name(value)} is not data: {reason:.200}") from error
    return _of(plain, finite, keys)


def _named_fields(value: Any, unwrapped: Any) -> Any:
    """Return the content of a numpy value; a structured one becomes a mapping by its fields."""
    names = getattr(getattr(value, "dtype", None), "names", None)
    if not names:
        return unwrapped
    if isinstance(unwrapped, tuple):
        return {name: _named_fields(value[name], item) for name, item in zip(names, unwrapped, strict=True)}
    return [_named_fields(row, item) for row, item in zip(value, unwrapped, strict=True)]


def _moment(value: Any) -> str:
    """Return a date or time of a type that pydantic does not know, in ISO format."""
    if callable(spell := getattr(value, "isoformat", None)):
        return str(spell())
    raise NotDataError(f"{_name(value)} is not data")


def _name(value: Any) -> str:
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    name = kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
