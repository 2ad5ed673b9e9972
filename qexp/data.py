"""Values of Python become data: what JSON can say, with every number of its own kind."""

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

Keys = frozenset[type]
"""Types of keys, beside text, that become text."""
KEYS: Keys = frozenset({int, float, type(None), date, PurePath, UUID})
"""Those that an annotation such as `dict[int, float]` makes of text again."""


class KeyText(str):
    """The text of a mapping's key that was no text."""

    kind = "int"
    """The type that the key had."""


class NotDataError(ValueError):
    """A value is not data; *path* leads to it from the value that was given."""

    def __init__(self, problem: str) -> None:
        self.problem, self.path = problem, list[str | int]()

    def __str__(self) -> str:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).lstrip(".")
        return f"{place}: {self.problem}" if place else self.problem


def to_json(value: Any, finite: bool = False, keys: Keys = frozenset()) -> Json:
    """
    Return data as None, bool, int, float, str, list or dict.

    Dataclasses, pydantic models, namedtuples and pandas Series become mappings. Values of numpy, dates, paths and enums
    become plain values. A set becomes a list in the order of its canonical texts. NUL, which Postgres cannot keep in
    text, and lone surrogates become visible escapes. A key of one of the types *keys* becomes a `KeyText`.

    NotDataError names the place of what is not data, of any other key that is no text, and of a number that Python
    could not read again. With *finite* it names NaN and infinities too.

    >>> to_json({"x": 1e22, "y": (1, {3, 2})})
    {'x': 1e+22, 'y': [1, [2, 3]]}
    """
    try:
        return _of(value, finite, keys)
    except RecursionError as error:
        raise NotDataError("it is nested too deeply, or contains itself") from error


def kept(values: Mapping[str, Any], keys: Keys = frozenset()) -> tuple[dict[str, Json], dict[str, str]]:
    """Return the entries that are data, and why each other one is not, by name."""
    found: dict[str, Json] = {}
    refused: dict[str, str] = {}
    for name, value in values.items():
        shown = str(to_json(str(name)))
        try:
            data = to_json({name: value}, keys=keys)
        except NotDataError as error:
            refused[shown] = str(error)
        except Exception as error:  # noqa: BLE001 - whatever the value's own code raises says nothing of the others
            refused[shown] = f"{shown}: {_name(value)} is not data: it raised {type(error).__name__}"
        else:
            if data.keys() & found.keys():
                refused[shown] = f"{shown}: found the key twice, once it is text; expected keys that differ as text"
            else:
                found |= data
    return found, refused


def parts(value: Any) -> dict[Any, Any] | None:
    """Return the named parts of a value that becomes a mapping; None for any other one."""
    if isinstance(value, Mapping):
        return dict(value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    pydantic, pandas = sys.modules.get("pydantic"), sys.modules.get("pandas")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return dict(value)
    if pandas is not None and isinstance(value, pandas.Series) and value.index.is_unique and not _is_counted(value):
        return dict(value.items())
    return None


def _is_counted(series: Any) -> bool:
    """Say whether the labels of a pandas Series are the numbers from 0 on, so that it is a list."""
    return bool(series.index.equals(sys.modules["pandas"].RangeIndex(len(series))))


def other_keys(hint: Any) -> Keys:
    """
    Return the types of keys, beside text, that an annotation names anywhere inside.

    >>> other_keys(dict[str, dict[int, float]])
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


def _of(value: Any, finite: bool, keys: Keys) -> Json:
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
    if isinstance(value, Mapping):
        return _pairs(value.items(), finite, keys)
    if isinstance(value, list | tuple | deque | range):
        names = getattr(value, "_fields", None)
        if isinstance(value, tuple) and names is not None:
            return _pairs(zip(names, value, strict=True), finite, keys)
        return _items(value, finite, keys)
    if isinstance(value, set | frozenset):
        return sorted(_items(value, finite, keys), key=canonical)
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not _is_pydantic(value):
        pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return _pairs(pairs, finite, keys | _keys_of(type(value)))
    return _of_library(value, finite, keys)


def _items(values: Iterable[Any], finite: bool, keys: Keys) -> list[Json]:
    found: list[Json] = []
    for item in values:
        try:
            found.append(_of(item, finite, keys))
        except NotDataError as error:
            error.path.insert(0, len(found))
            raise
    return found


def _pairs(pairs: Iterable[tuple[Any, Any]], finite: bool, keys: Keys) -> dict[str, Json]:
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


def _key(key: Any, keys: Keys) -> str:
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
def _keys_of(kind: type) -> Keys:
    try:
        return other_keys(kind)
    except Exception:  # noqa: BLE001 - an annotation that cannot be resolved raises what its code raises
        return frozenset()


_LONGEST = 14_284
"""Bits that 4,300 decimal digits hold, the most that Python reads."""


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


def _of_library(value: Any, finite: bool, keys: Keys) -> Json:
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
    except Exception as error:  # whatever a library raises for a value that has no plain form
        reason = " ".join(str(error).split())
        raise NotDataError(f"{_name(value)} is not data: {reason:.200}") from error
    return _of(plain, finite, keys)


def _named_fields(value: Any, unwrapped: Any) -> Any:
    """Return what is inside a numpy value, with the names of a structured one's fields."""
    names = getattr(getattr(value, "dtype", None), "names", None)
    if not names:
        return unwrapped
    if isinstance(unwrapped, tuple):
        return {name: _named_fields(value[name], item) for name, item in zip(names, unwrapped, strict=True)}
    return [_named_fields(row, item) for row, item in zip(value, unwrapped, strict=True)]


def _moment(value: Any) -> str:
    """Return a moment of a library that pydantic does not know in ISO format."""
    if callable(spell := getattr(value, "isoformat", None)):
        return str(spell())
    raise NotDataError(f"{_name(value)} is not data")


def _name(value: Any) -> str:
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    name = kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
