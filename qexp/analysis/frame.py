"""Make a pandas frame of experiments."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import pandas as pd

from qexp.model import Json
from qexp.store.reads.experiment_rows import ColumnBlock
from qexp.store.schema.value_columns import FACTS, Column, KeyPath, Shape, Source, columns, value_or_none


def frame(
    blocks: Iterable[ColumnBlock], parameters: Sequence[str], results: Sequence[str], with_study: bool = False
) -> pd.DataFrame:
    """
    Return one row per experiment in the order of ids, indexed from 0.

    The columns are `id`, one per parameter and one per result. Then come status, attempt, revision (missing if it never
    ran), host, started_at (UTC), duration, last_attempt, failure and error. `last_attempt` has the seconds of the last
    attempt; `duration` adds those of the attempts that it continued. A mapping becomes a column per key, such as
    `train.acc`, up to 200 keys. Names that occur twice become `result.NAME` and `param.NAME`. Whole numbers are ints
    (Int64 if some are missing). Failed experiments are included. *with_study* adds the column `study` after `id`.
    """
    return frame_and_sources(blocks, parameters, results, with_study)[0]


def frame_and_sources(
    blocks: Iterable[ColumnBlock], parameters: Sequence[str], results: Sequence[str], with_study: bool = False
) -> tuple[pd.DataFrame, dict[str, Source]]:
    """Return the frame that `frame` returns, and which of its columns are parameters and which are results."""
    ids: list[int] = []
    values: list[list[Json]] = [[] for _ in [*parameters, *results]]
    facts: dict[str, list[Any]] = {name: [] for name in [*_STUDY * with_study, *FACTS]}
    for block in blocks:
        ids += block.ids
        for held, some in zip(values, _values(block, parameters, results), strict=True):
            held += some
        for name, held in facts.items():
            held += block.facts[name]
    found = _SeenValues(parameters, results, with_study)
    found.see(values)
    sources = {column.label: column.source for column, _ in found.columns()}
    return _table(ids, values, facts, found), sources


def frames(
    seen: Iterable[ColumnBlock],
    blocks: Iterable[ColumnBlock],
    parameters: Sequence[str],
    results: Sequence[str],
    with_study: bool = False,
) -> Iterator[pd.DataFrame]:
    """
    Yield the frame that `frame` returns in pieces of the same columns and types, at least one.

    *seen* has the same experiments as *blocks*; it is read first, for columns and types that fit all of them.
    """
    found = _SeenValues(parameters, results, with_study)
    for block in seen:
        found.see(_values(block, parameters, results))
    nothing = ColumnBlock((), (), (), dict.fromkeys([*_STUDY * with_study, *FACTS], ()))
    first = next(blocks := iter(blocks), nothing)
    for block in itertools.chain([first], blocks):
        yield _table(block.ids, _values(block, parameters, results), block.facts, found)


_STUDY = ("study",)
"""The fact that only frames of several studies have; a parameter of this name is `param.study` there."""


class _SeenValues:
    """The types of the values of each parameter and result, with the keys of mappings."""

    def __init__(self, parameters: Sequence[str], results: Sequence[str], with_study: bool) -> None:
        self._reserved = _STUDY * with_study
        self.names: list[tuple[Source, str]] = [*(("params", n) for n in parameters), *(("result", n) for n in results)]
        self._shapes = {name: Shape() for name in self.names}
        self._kinds: dict[tuple[Source, KeyPath], ColumnType] = {
            (source, (name,)): ColumnType(dates=source == "result") for source, name in self.names
        }
        self._counts = Counter[tuple[Source, KeyPath]]()
        """The number of values inside mappings, by column."""
        self._rows = 0

    def see(self, columns: Iterable[Sequence[Json]]) -> None:
        """Add some experiments: a sequence of values for each of the names."""
        rows = 0
        for (source, name), values in zip(self.names, columns, strict=True):
            rows, types = len(values), set(map(type, values))
            kind = self._kinds[source, (name,)]
            if dict in types:
                kind.see([None if _is_nested(value) else value for value in values])
                self._see_inside(source, name, [value for value in values if _is_nested(value)])
            else:
                kind.see(values, types)
        self._rows += rows

    def _see_inside(self, source: Source, name: str, values: Sequence[Json]) -> None:
        shape, found = self._shapes[source, name], defaultdict[KeyPath, list[Json]](list)
        shape.add(values)
        for value in values:
            for path, item in shape.items(value, (name,)):
                found[path].append(item)
        for path, items in found.items():
            if (source, path) not in self._kinds:
                self._kinds[source, path] = ColumnType(dates=source == "result")
            self._kinds[source, path].see(items)
            self._counts[source, path] += len(items)

    def columns(self) -> list[tuple[Column, ColumnType]]:
        """Return the columns of all values so far, in order, with their types."""
        shapes: dict[Source, dict[str, Shape]] = {"params": {}, "result": {}}
        for (source, name), shape in self._shapes.items():
            if self._kinds[source, (name,)].has_values:
                shape.kinds.add("json")
            shape.limit()
            shapes[source][name] = shape
        found = columns(shapes["params"], shapes["result"], self._reserved)
        return [(column, self._kind(column)) for column in found]

    def _kind(self, column: Column) -> ColumnType:
        kind = self._kinds.setdefault((column.source, column.path), ColumnType())
        if column.folds:
            kind.see([{}])
        if column.base:
            kind.join(self._kinds[column.source, column.base])
        if len(column.path) > 1 and self._counts[column.source, column.path] < self._rows:
            kind.see([None])
        return kind


def _is_nested(value: Json) -> bool:
    return type(value) is dict and bool(value)


def _values(block: ColumnBlock, parameters: Sequence[str], results: Sequence[str]) -> Iterator[list[Json]]:
    """Yield the values of each parameter, then of each result."""
    for name in parameters:
        yield [params.get(name) for params in block.params]
    for name in results:
        yield [(result or {}).get(name) for result in block.results]


def _table(
    ids: Sequence[int], values: Iterable[list[Json]], facts: Mapping[str, Sequence[Any]], seen: _SeenValues
) -> pd.DataFrame:
    held = dict(zip(seen.names, values, strict=True))
    table: dict[str, pd.Series[Any]] = {"id": pd.Series(ids, dtype="int64")}
    if "study" in facts:
        table["study"] = pd.Series(facts["study"], dtype="str")
    for column, kind in seen.columns():
        values = held[column.source, column.path[0]]
        if column.splits or len(column.path) > 1:
            values = [value_or_none(column.inside(value)) for value in values]
        if column.base:
            below = (value_or_none(column.inside(v, column.base)) for v in held[column.source, column.base[0]])
            values = [other if value is None else value for value, other in zip(values, below, strict=True)]
        table[column.label] = kind.column(values)
    for name, dtype in FACTS.items():
        if name == "started_at":
            moments = np.array(facts[name], dtype="int64").view("datetime64[us]")
            table[name] = pd.Series(moments).dt.tz_localize("UTC")
        else:
            table[name] = pd.Series(facts[name], dtype=dtype)
    return pd.DataFrame(table)


_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_LARGEST = 2**63


class ColumnType:
    """
    The narrowest type that holds all values of a column: bool, int, float, str or object.

    With *dates*, a column becomes dates if all its texts are dates with times, in UTC if they have offsets.
    """

    def __init__(self, dates: bool = False) -> None:
        self._types: set[type] = set()
        self._lowest = self._highest = 0
        self._dates, self._offsets = dates, set[bool]()

    @property
    def has_values(self) -> bool:
        """Return whether any value is not None."""
        return bool(self._types - {type(None)})

    def join(self, other: ColumnType) -> None:
        """Add all values of another column; neither column holds dates."""
        self._types |= other._types
        self._lowest, self._highest = min(self._lowest, other._lowest), max(self._highest, other._highest)

    def see(self, values: Sequence[Any], types: AbstractSet[type] = frozenset()) -> None:
        """Add some of the column's values; pass their *types* if these are known."""
        types = types or set(map(type, values))
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
        """Return values as a column of this type; `see` has seen them all."""
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
        except ValueError:  # 2026-13-01 matches, and is no date
            return False
        return len(self._offsets) == 1

    def _moments(self, column: pd.Series[Any]) -> pd.Series[Any]:
        utc = True in self._offsets
        return pd.to_datetime(column, format="ISO8601", utc=utc).astype(
            "datetime64[us, UTC]" if utc else "datetime64[us]"
        )


def typed(values: Sequence[Any], dates: bool = False) -> pd.Series[Any]:
    """Return a column of the narrowest type that holds all values; see `ColumnType`."""
    kind = ColumnType(dates)
    kind.see(values)
    return kind.column(values)
