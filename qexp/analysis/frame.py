"""Experiments become a pandas frame."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from qexp.model import Json
from qexp.store.reports import Block

_FACTS = {
    "status": "str",
    "attempt": "int64",
    "host": "str",
    "started_at": "datetime64[us, UTC]",
    "duration": "float64",
    "failure": "str",
    "error": "str",
}
"""The columns that every frame has after the parameters and results, and their types."""


def frame(blocks: Iterable[Block], parameters: Sequence[str], results: Sequence[str]) -> pd.DataFrame:
    """
    Return one row per experiment in the order of ids, indexed from 0.

    Columns: `id`, one per parameter, one per result, then status, attempt, host, started_at (UTC), duration (seconds),
    failure and error. A result named like a parameter or like one of those is `result.NAME`, such a parameter
    `param.NAME`. Whole numbers are integers (Int64 where some are missing), failed rows are included.
    """
    ids: list[int] = []
    columns: list[list[Json]] = [[] for _ in [*parameters, *results]]
    facts: dict[str, list[Any]] = {name: [] for name in _FACTS}
    for block in blocks:
        ids += block.ids
        for held, values in zip(columns, _values(block, parameters, results), strict=True):
            held += values
        for name, held in facts.items():
            held += block.facts[name]
    kinds = _kinds(parameters, results)
    for kind, values in zip(kinds, columns, strict=True):
        kind.see(values)
    return _table(ids, columns, facts, kinds, _labels(parameters, results))


def frames(
    seen: Iterable[Block], blocks: Iterable[Block], parameters: Sequence[str], results: Sequence[str]
) -> Iterator[pd.DataFrame]:
    """
    Yield what `frame` returns in pieces of the same columns and types, at least one.

    *seen* has the same experiments as *blocks*: types are those that all of them need.
    """
    kinds, labels = _kinds(parameters, results), _labels(parameters, results)
    for block in seen:
        for kind, values in zip(kinds, _values(block, parameters, results), strict=True):
            kind.see(values)
    nothing = Block((), (), (), dict.fromkeys(_FACTS, ()))
    first = next(blocks := iter(blocks), nothing)
    for block in itertools.chain([first], blocks):
        yield _table(block.ids, _values(block, parameters, results), block.facts, kinds, labels)


def _labels(parameters: Sequence[str], results: Sequence[str]) -> list[str]:
    """Return the names of the columns of parameters and results."""
    taken = {"id", *_FACTS}
    given = [f"param.{name}" if name in taken else name for name in parameters]
    return given + [f"result.{name}" if name in taken or name in parameters else name for name in results]


def _kinds(parameters: Sequence[str], results: Sequence[str]) -> list[Kind]:
    return [Kind() for _ in parameters] + [Kind(dates=True) for _ in results]


def _values(block: Block, parameters: Sequence[str], results: Sequence[str]) -> Iterator[list[Json]]:
    """Yield what experiments have of each parameter, then of each result."""
    for name in parameters:
        yield [params.get(name) for params in block.params]
    for name in results:
        yield [(result or {}).get(name) for result in block.results]


def _table(
    ids: Sequence[int],
    columns: Iterable[list[Json]],
    facts: Mapping[str, Sequence[Any]],
    kinds: Sequence[Kind],
    labels: Sequence[str],
) -> pd.DataFrame:
    table: dict[str, pd.Series[Any]] = {"id": pd.Series(ids, dtype="int64")}
    for label, kind, values in zip(labels, kinds, columns, strict=True):
        table[label] = kind.column(values)
    for name, dtype in _FACTS.items():
        if name == "started_at":
            moments = np.array(facts[name], dtype="int64").view("datetime64[us]")
            table[name] = pd.Series(moments).dt.tz_localize("UTC")
        else:
            table[name] = pd.Series(facts[name], dtype=dtype)
    return pd.DataFrame(table)


_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_LARGEST = 2**63


class Kind:
    """
    The narrowest type that holds all values of a column: bool, int, float, str, else object.

    With *dates*, texts that all are dates with times, as JSON keeps them, become such; those with offsets become UTC.
    """

    def __init__(self, dates: bool = False) -> None:
        self._types: set[type] = set()
        self._lowest = self._highest = 0
        self._dates, self._offsets = dates, set[bool]()

    def see(self, values: Sequence[Any]) -> None:
        """Take note of some of the column's values."""
        types = set(map(type, values))
        self._types |= types
        if int in types:
            numbers = values if types == {int} else [value for value in values if type(value) is int]
            self._lowest = min([self._lowest, *numbers])
            self._highest = max([self._highest, *numbers])
        if self._dates and not self._types <= {str, type(None)}:
            self._dates = False
        if self._dates and str in types:
            self._dates = self._are_dates([value for value in values if value is not None])

    def column(self, values: Sequence[Any]) -> pd.Series[Any]:
        """Return values, which were seen, as a column of this kind."""
        dtype = self._dtype()
        column = pd.Series(values, dtype=dtype)
        return self._moments(column) if dtype == "str" and self._dates else column

    def _dtype(self) -> str:
        kinds, missing = self._types - {type(None)}, type(None) in self._types
        if kinds == {bool}:
            return "boolean" if missing else "bool"
        if kinds == {int} and self._lowest >= -_LARGEST and self._highest < _LARGEST:
            return "Int64" if missing else "int64"
        if kinds and kinds <= {int, float} and self._lowest >= -_LARGEST and self._highest <= _LARGEST:
            return "float64"
        return "str" if kinds == {str} else "object"

    def _are_dates(self, texts: Sequence[str]) -> bool:
        for text in texts:
            match = _MOMENT.fullmatch(text)
            if match is None:
                return False
            self._offsets.add(bool(match[2]))
        try:
            if len(self._offsets) == 1:
                self._moments(pd.Series(texts, dtype="str"))
        except ValueError:  # 2026-13-01 looks like one
            return False
        return len(self._offsets) == 1

    def _moments(self, column: pd.Series[Any]) -> pd.Series[Any]:
        utc = True in self._offsets
        return pd.to_datetime(column, format="ISO8601", utc=utc).astype(
            "datetime64[us, UTC]" if utc else "datetime64[us]"
        )


def typed(values: Sequence[Any], dates: bool = False) -> pd.Series[Any]:
    """Return a column of the narrowest type that holds all values; see `Kind`."""
    kind = Kind(dates)
    kind.see(values)
    return kind.column(values)
