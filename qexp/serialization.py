"""Convert Python values to data, which is what JSON can hold; floats stay floats and ints stay ints."""

from __future__ import annotations

import dataclasses
import functools
import io
import math
import sys
import types
import typing
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any
from uuid import UUID

from qexp.errors import article
from qexp.model import Json, canonical, storable_text
from qexp.truncation import single_line

KeyTypes = frozenset[type]
"""Types of a mapping's keys that become text."""
KEY_TYPES: KeyTypes = frozenset({int, float, type(None), date, PurePath, UUID})
"""The key types that an annotation such as `dict[int, float]` can convert back from text."""


class KeyText(str):
    """The text of a mapping's key that was not text."""

    kind = "int"
    """The type that the key had."""


class NotDataError(ValueError):
    """A value is not data; *path* leads from the converted value to the part that is not data."""

    def __init__(self, problem: str) -> None:
        self.problem, self.path = problem, list[str | int]()

    def __str__(self) -> str:
        place = place_of(self.path)
        return f"{place}: {self.problem}" if place else self.problem


class DepthError(NotDataError):
    """A value is nested too deeply; `to_json` shortens *path* to its first levels."""

    def __init__(self) -> None:
        super().__init__("it is nested too deeply, or contains itself")


def place_of(path: Iterable[str | int]) -> str:
    """
    Return the place inside a value as text.

    >>> place_of(["metrics", 3, "raw"])
    'metrics[3].raw'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def to_json(value: Any, finite: bool = False, keys: KeyTypes = frozenset()) -> Json:
    """
    Return a value as JSON data: None, bool, int, float, str, list or dict.

    Dataclasses, pydantic models, namedtuples and pandas Series become mappings. Values of numpy, dates, paths and enums
    become plain values. A set becomes a list in the order of its canonical texts. NUL, which Postgres cannot store in
    text, and lone surrogates become visible escapes. A key of one of the types *keys* becomes a `KeyText`. *finite* is
    for parameters: it refuses NaN and infinities, and a Decimal becomes text if no float has its digits.

    Raises NotDataError, with the place of the value. It is raised for values that are not data, for other keys that are
    not text, and for numbers that Python cannot read back.

    >>> to_json({"x": 1e22, "y": (1, {3, 2})})
    {'x': 1e+22, 'y': [1, [2, 3]]}
    """
    try:
        return _of(value, finite, keys)
    except DepthError as error:
        del error.path[_NAMED:]
        raise
    except RecursionError as error:
        raise DepthError from error


_NAMED = 2
"""Levels of the path that the error about a deeply nested value names."""


def pairs_in(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return names and parts of a mapping, a namedtuple or a dataclass. Returns None for any other value."""
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return zip(value._fields, value, strict=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return None


def fields_of(value: Any) -> dict[str, Any] | None:
    """Return the fields of a dataclass, a pydantic model or a namedtuple. Returns None for any other value."""
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: getattr(value, field.name) for field in fields if hasattr(value, field.name)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    return None


def is_list_like(series: Any) -> bool:
    """Return whether a pandas Series is like a list: its labels are 0, 1, 2 and so on."""
    return bool(series.index.equals(sys.modules["pandas"].RangeIndex(len(series))))


def key_types(hint: Any) -> KeyTypes:
    """
    Return the types of keys that an annotation names at any depth, except text.

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
        number = _number(float(value), finite)
        return number if isinstance(value, float) or not finite or _is_spelled(number, value) else str(value)
    if isinstance(value, list | deque | range):
        return _items(value, finite, keys)
    if not is_pydantic(value) and (pairs := pairs_in(value)) is not None:
        kind: Any = type(value)
        return _pairs(pairs, finite, keys | keys_of(kind) if dataclasses.is_dataclass(value) else keys)
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
        except RecursionError as error:
            raise _deep(len(found)) from error
    return found


def _pairs(pairs: Iterable[tuple[Any, Any]], finite: bool, keys: KeyTypes) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for key, item in pairs:
        name = key_text(key, keys)
        if name in found:
            raise NotDataError(f"found the key {name!r} twice, once it is text; expected keys that differ as text")
        try:
            found[name] = _of(item, finite, keys)
        except NotDataError as error:
            error.path.insert(0, name)
            raise
        except RecursionError as error:
            raise _deep(name) from error
    return found


def _deep(part: str | int) -> DepthError:
    error = DepthError()
    error.path.append(part)
    return error


def key_text(key: Any, keys: KeyTypes) -> str:
    """Return a key of a mapping as text. Raises NotDataError unless it is text or of one of the types *keys*."""
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
def keys_of(kind: Any) -> KeyTypes:
    """Return the types of keys that the annotations of a class name, except text. Returns none if its code raises."""
    try:
        return key_types(kind)
    except Exception:  # noqa: BLE001 - the code of an annotation may raise anything
        return frozenset()


_LONGEST = 14_284
"""Bits of a number of 4,300 decimal digits, the most that Python reads."""


def _whole(value: int) -> int:
    if value.bit_length() > _LONGEST:
        raise NotDataError("found a whole number of more than 4,300 digits, which Python cannot read back")
    return value


def _is_spelled(number: float, value: Decimal) -> bool:
    """Return whether a float has all digits of a Decimal."""
    text = str(value).lower()
    return repr(number) in (text, f"{text}.0")


def _number(value: float, finite: bool) -> float:
    if finite and not math.isfinite(value):
        raise NotDataError(f"found {value}, expected finite numbers")
    return value


def is_pydantic(value: Any) -> bool:
    """Return whether pydantic has a serializer for a value."""
    return hasattr(type(value), "__pydantic_serializer__")


def _of_library(value: Any, finite: bool, keys: KeyTypes) -> Json:
    """Convert a value of numpy, pandas, torch or pydantic, or of a type that pydantic knows."""
    from pydantic_core import to_jsonable_python

    pandas = sys.modules.get("pandas")
    if pandas is not None and (value is pandas.NA or value is pandas.NaT):
        return None
    if pandas is not None and isinstance(value, pandas.Series):
        return _items(value, finite, keys) if is_list_like(value) else _pairs(_labelled(value, keys), finite, keys)
    if pandas is not None and isinstance(value, pandas.DataFrame):
        raise NotDataError(
            "a pandas.DataFrame is not data; write frame.to_dict('list'), or keep it with context.artifact"
        )
    if isinstance(value, io.IOBase):
        raise NotDataError(f"{name_of(value)} is not data; read it, or keep the file with context.artifact")
    if isinstance(value, bytes | bytearray | memoryview | complex):
        raise NotDataError(f"{name_of(value)} is not data")
    try:
        if callable(unwrap := getattr(value, "tolist", None)) and not isinstance(value, type):
            return _of(_named_fields(value, unwrap()), finite, keys)
        if isinstance(value, Iterator):
            return _items(_finite(value), finite, keys)
        plain = to_jsonable_python(value, fallback=_moment)
    except (NotDataError, RecursionError):
        raise
    except Exception as error:  # libraries raise many types for a value that they cannot convert
        reason = single_line(error)
        raise NotDataError(f"{name_of(value)} is not data: {reason:.200}") from error
    return _of(plain, finite, keys)


def _labelled(series: Any, keys: KeyTypes) -> Iterable[tuple[Any, Any]]:
    """Return labels and values of a pandas Series. Raises NotDataError if a label cannot be a key."""
    for label in series.index:
        try:
            key_text(label, keys)
        except NotDataError as error:
            raise NotDataError(
                f"found a pandas.Series with the label {label!r:.60}, expected labels that are text; "
                "write {str(label): item for label, item in series.items()}, or series.tolist()"
            ) from error
    return series.items()  # type: ignore[no-any-return]


MOST_VALUES = 5_000_000
"""The most values of an iterator; one with more counts as endless, since data of 8 MB holds fewer."""


def _finite(values: Iterator[Any]) -> Iterator[Any]:
    yield from islice(values, MOST_VALUES)
    for _ in values:
        raise NotDataError(f"{name_of(values)} of more than {MOST_VALUES:,} values is not data")


def _named_fields(value: Any, unwrapped: Any) -> Any:
    """Return the content of a numpy value; a structured value becomes a mapping of its fields."""
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
    raise NotDataError(f"{name_of(value)} is not data")


def name_of(value: Any) -> str:
    """Return the type of a value for messages, with an article and its package."""
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    if kind in (bytes, complex):
        return "a complex number" if kind is complex else "a bytes object"
    return article(kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}")
