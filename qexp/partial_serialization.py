"""Keep the parts of a value that are data, and name the other parts with reasons."""

from __future__ import annotations

import dataclasses
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qexp.model import SCALARS, Json
from qexp.serialization import (
    DepthError,
    KeyTypes,
    NotDataError,
    is_list_like,
    is_pydantic,
    key_text,
    keys_of,
    name_of,
    pairs_in,
    place_of,
    to_json,
)

_PLAIN = frozenset(SCALARS)
_NOTHING: Any = object()
"""Stands for a value without any part that is data."""


@dataclasses.dataclass(frozen=True)
class Refusal:
    """The reason why a part of a value is not data, and the type of the part."""

    reason: str
    kind: str


@dataclasses.dataclass(frozen=True)
class PartialData:
    """The parts of a value that are data."""

    data: Json
    """None if no part is data."""
    refused: Mapping[str, Refusal]
    """The parts that are not data, by place such as `metrics.model`; the place of the whole value is empty."""


def partial_data(value: Any, keys: KeyTypes = frozenset()) -> PartialData:
    """
    Convert a value as `to_json` does, but keep the parts that are data if others are not.

    A mapping at any depth loses its entries that are not data. It is refused if no entry is left. A list is refused if
    one of its items is refused. Each part is converted once, so that iterators can be parts. Raises the exceptions of
    the code of the value itself.

    >>> partial_data({"metrics": {"acc": 0.9, "raw": b""}, "hours": 2}).data
    {'metrics': {'acc': 0.9}, 'hours': 2}
    """
    converter = _PartialConverter()
    data = converter.convert(value, keys)
    return PartialData(None if data is _NOTHING else data, converter.refused)


def _parts(value: Any, keys: KeyTypes) -> Iterable[tuple[Any, Any]] | None:
    """Return the parts of a value that becomes a mapping. Returns None for any other value."""
    if (parts := pairs_in(value)) is not None:
        return parts
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, pandas.Series) or is_list_like(value) or not value.index.is_unique:
        return None
    try:
        for label in value.index:
            key_text(label, keys)
    except NotDataError:
        return None
    return value.items()  # type: ignore[no-any-return]


class _PartialConverter:
    """Converts one value and notes its refused parts."""

    def __init__(self) -> None:
        self.refused: dict[str, Refusal] = {}
        self._path: list[str | int] = []

    def convert(self, value: Any, keys: KeyTypes) -> Any:
        try:
            return self._of(value, keys)
        except NotDataError as error:
            return self._refuse(value, error)
        except RecursionError:
            return self._refuse(value, DepthError())

    def _of(self, value: Any, keys: KeyTypes) -> Any:
        if type(value) in SCALARS or (type(value) is list and _PLAIN.issuperset(map(type, value))):  # most values
            return to_json(value, keys=keys)
        if is_pydantic(value):
            return self._pydantic(value, keys)
        if (parts := _parts(value, keys)) is not None:
            kind: Any = type(value)
            return self._mapping(value, parts, keys | keys_of(kind))
        return self._list(value, keys) if isinstance(value, list | deque | tuple) else to_json(value, keys=keys)

    def _mapping(self, value: Any, parts: Iterable[tuple[Any, Any]], keys: KeyTypes) -> Any:
        found: dict[str, Json] = {}
        is_whole = True
        for key, item in parts:
            try:
                name = key_text(key, keys)
                if name in found:
                    raise NotDataError(
                        f"found the key {name!r} twice, once it is text; expected keys that differ as text"
                    )
            except NotDataError as error:
                is_whole = False
                self._refuse_key(value, key, item, error)
            else:
                data = item if type(item) is float else self._entry(name, item, keys)
                if data is _NOTHING:
                    is_whole = False
                else:
                    found[name] = data
        return found if found or is_whole else _NOTHING

    def _entry(self, name: str | int, item: Any, keys: KeyTypes) -> Any:
        """Return the data of one part, and note its refused parts."""
        noted = len(self.refused)
        self._path.append(name)
        try:
            return self._of(item, keys)
        except (DepthError, RecursionError):
            if len(self._path) > 1:
                raise  # so that the error names the top-level part
            self._forget(noted)
            return self._refuse(item, DepthError())
        except NotDataError as error:
            self._forget(noted)
            return self._refuse(item, error)
        except Exception as error:  # noqa: BLE001 - the value's own code may raise anything; the other parts stay
            self._forget(noted)
            return self._refuse(item, NotDataError(f"{name_of(item)} is not data: it raised {type(error).__name__}"))
        finally:
            self._path.pop()

    def _list(self, value: Any, keys: KeyTypes) -> Any:
        noted = len(self.refused)
        found = []
        for index, item in enumerate(value):
            data = item if type(item) is float else self._entry(index, item, keys)
            if data is _NOTHING:
                refusal = [*self.refused.values()][noted]
                self._forget(noted)
                self.refused[place_of(self._path)] = Refusal(refusal.reason, type(value).__name__)
                return _NOTHING
            found.append(data)
        return found

    def _pydantic(self, value: Any, keys: KeyTypes) -> Any:
        try:
            return to_json(value, keys=keys)
        except DepthError:
            raise
        except Exception:  # convert the parts one by one
            parts = pairs_in(value)
            if parts is None and isinstance(value, sys.modules["pydantic"].BaseModel):
                parts = dict(value).items()
            if parts is None:
                raise
            return self._mapping(value, self._unread(parts), keys)

    def _unread(self, parts: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        """Yield the parts that can be converted again, and refuse iterators, which have been read."""
        for name, item in parts:
            if isinstance(item, Iterator):
                self._path.append(name)
                self._refuse(item, NotDataError(f"{name_of(item)} beside what is not data is not kept; make it a list"))
                self._path.pop()
            else:
                yield name, item

    def _refuse(self, value: Any, error: NotDataError) -> Any:
        error.path[:0] = self._path
        self.refused[place_of(self._path)] = Refusal(str(error), type(value).__name__)
        return _NOTHING

    def _refuse_key(self, value: Any, key: Any, item: Any, error: NotDataError) -> None:
        """Note a key that is not text: by its own place at the top, otherwise once for its mapping."""
        shown = str(to_json(str(key)))
        error.path[:0] = self._path or [shown]
        place = place_of(self._path) or shown
        self.refused.setdefault(place, Refusal(str(error), type(value if self._path else item).__name__))

    def _forget(self, noted: int) -> None:
        for place in [*self.refused][noted:]:
            del self.refused[place]
