"""Experiments as columns of numbers: a million of them fit into memory, and reading them takes two seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import and_, case, func, or_, select, text

from qexp.dotted_names import ABSENT
from qexp.model import NON_FINITE, Failure, Json, Origin, Status
from qexp.store.connection import Connection
from qexp.store.reads.observation_sql import ColumnRequest, ValueSource, jsonb_of, statement, text_and_kind
from qexp.store.schema import tables
from qexp.store.schema.expressions import among

_PIECE = 50_000
"""Experiments that one query returns; more would need more memory."""
_SHORT = 2**15
"""Different values that have codes of 16 bits."""


@dataclass
class CodedColumn:
    """A column of JSON values: each experiment has the place of its value in *values*."""

    codes: np.ndarray
    values: list[Json]
    """Each value once; ABSENT stands for experiments without this parameter, None for null."""


@dataclass
class Observations:
    """The experiments of one study that belong to its newest grid or were added by code, in the order of ids."""

    ids: np.ndarray
    status: np.ndarray
    """The place of each experiment's status in `Status`."""
    failure: np.ndarray
    """The place of each failure in `Failure`; -1: none."""
    revision: np.ndarray
    """The revision that ran last; 0: none."""
    flags: np.ndarray
    """The sum of the flags ACCEPTED, ADDED and CONTINUED that apply."""
    axes: dict[str, CodedColumn]
    rest: CodedColumn
    """Codes of all other parameters together; its values are ids of experiments that have them."""
    worker: CodedColumn
    """Its values are ids of experiments that ran on the worker."""
    imported: CodedColumn
    """Its values are ids of experiments whose attempt has this list of imports."""
    metrics: dict[str, np.ndarray]
    """Floats; NaN also stands for a missing value and for one that is no number, see `kinds`."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class _Coder:
    """Gives each distinct hash a small number, and remembers one experiment that has it."""

    places: dict[int, int] = field(default_factory=dict)
    examples: list[int] = field(default_factory=list)

    def encode(self, hashes: np.ndarray, ids: np.ndarray) -> np.ndarray:
        found, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        for value, at in zip(found.tolist(), first.tolist(), strict=True):
            if value not in self.places:
                self.places[value] = len(self.places)
                self.examples.append(int(ids[at]))
        return np.array([self.places[value] for value in found.tolist()], dtype=np.int32)[inverse]


def read(connection: Connection, request: ColumnRequest) -> Observations:
    """Return the experiments of a request, without those that the newest grid leaves out."""
    columns = tables.experiment.c
    chosen = and_(columns.study == request.study, columns.origin != Origin.ORPHANED)
    if request.condition is not None:
        chosen = and_(chosen, request.condition)
    ends = select(func.count(), func.min(columns.id), func.max(columns.id)).where(chosen)
    connection.execute(text("SET LOCAL jit = off"))
    number, first, last = connection.execute(ends).one()
    pieces = max(1, -(-number // _PIECE))
    width = 0 if first is None else -(-(last + 1 - first) // pieces)
    coders = {name: _Coder() for name in _coded_columns(request)}
    found = _Columns(number)
    for low in range(first or 0, (first or 0) + width * pieces, width or 1):
        row = connection.execute(statement(request, chosen, low, low + width)).one()
        found.add(_decode(row, request, coders))
    return _observations(connection, request, found, coders)


def _decode(row: Any, request: ColumnRequest, coders: Mapping[str, _Coder]) -> dict[str, np.ndarray]:
    """Return the columns of one piece in the order of ids; *coders* give hashes their codes."""
    fields = iter(row)
    ids = _integers(next(fields))
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    state = _integers(next(fields))[order]
    found = {
        "ids": ids.astype(np.int64),
        "status": _places(Status, state % 4096),
        "failure": _places(Failure, state // 4096 % 4096),
        "flags": (state // 4096**2 % 8).astype(np.int8),
        "revision": (state // 4096**2 // 8).astype(np.int32),
    }
    for name, coder in coders.items():
        found[name] = coder.encode(_integers(next(fields))[order], ids)
    for name in request.metrics:
        found[f"metric {name}"] = np.frombuffer(next(fields) or b"", dtype=">f8").astype(np.float64)[order]
    return found


def _integers(packed: bytes | None) -> np.ndarray:
    return np.frombuffer(packed or b"", dtype=">i8")


def _places(words: type[Status | Failure], letters: np.ndarray) -> np.ndarray:
    """Return the place of each word in its enumeration, -1: there is no word."""
    places = np.full(4096, -1, dtype=np.int8)
    for place, word in enumerate(words):
        places[ord(word[0]) * 16 + len(word)] = place
    return np.take(places, letters)


def _coded_columns(request: ColumnRequest) -> list[str]:
    optional = {"rest": request.others, "worker": request.with_workers, "imported": request.with_imports}
    return [*(f"axis {name}" for name in request.axes), *(name for name, is_read in optional.items() if is_read)]


class _Columns:
    """Columns that are filled piece by piece: joining pieces at the end would need twice the memory."""

    def __init__(self, size: int) -> None:
        self._size, self._end = size, 0
        self._columns: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return self._end

    def add(self, piece: Mapping[str, np.ndarray]) -> None:
        """Append the values of a piece to each column; there may be more values than were counted before."""
        end = self._end + len(piece["ids"])
        for name, part in piece.items():
            column = self._columns.get(name, np.empty(self._size, part.dtype))
            if end > len(column):
                column = np.concatenate([column, np.empty(end - len(column), part.dtype)])
            column[self._end : end] = part
            self._columns[name] = column
        self._end = end

    def take(self, name: str, dtype: Any) -> np.ndarray:
        """Return a column, as a type that holds its values; it is empty if no piece had it."""
        return self._columns.pop(name, np.empty(0, dtype))[: self._end].astype(dtype, copy=False)


def _observations(
    connection: Connection, request: ColumnRequest, found: _Columns, coders: Mapping[str, _Coder]
) -> Observations:
    ids = found.take("ids", np.int64)

    def coded(name: str, values: list[Json]) -> CodedColumn:
        if name not in coders:
            return CodedColumn(np.zeros(len(ids), dtype=np.int8), values)
        return CodedColumn(found.take(name, np.int16 if len(values) <= _SHORT else np.int32), values)

    def examples(name: str) -> list[Json]:
        return list(coders[name].examples) if name in coders else ids[:1].tolist()

    return Observations(
        ids=ids,
        status=found.take("status", np.int8),
        failure=found.take("failure", np.int8),
        revision=found.take("revision", np.int32),
        flags=found.take("flags", np.int8),
        axes={
            name: coded(f"axis {name}", _values(connection, source, coders[f"axis {name}"].examples))
            for name, source in request.axes.items()
        },
        rest=coded("rest", examples("rest")),
        worker=coded("worker", examples("worker")),
        imported=coded("imported", examples("imported")),
        metrics={name: found.take(f"metric {name}", np.float64) for name in request.metrics},
    )


def kinds(connection: Connection, source: ValueSource, ids: Iterable[int]) -> dict[str, list[int]]:
    """
    Return the given experiments by the kind of their metric: `missing`, `nan` or `other`.

    A number too large for a double counts as `nan`.
    """
    columns, chosen = tables.experiment.c, sorted(ids)
    found: dict[str, list[int]] = {"missing": [], "nan": [], "other": []}
    if source.column == "fact":
        return found | {"missing": chosen}
    value, kind = text_and_kind(source)
    which = case(
        (func.coalesce(kind, "null") == "null", "missing"),
        (or_(kind == "number", and_(kind == "string", value.in_(list(NON_FINITE)))), "nan"),
        else_="other",
    )
    for start in range(0, len(chosen), _PIECE):
        piece = among(columns.id, chosen[start : start + _PIECE])
        query = select(columns.id, which).where(piece).order_by(columns.id)
        for number, word in connection.execute(query):
            found[word].append(number)
    return found


def keys(connection: Connection, study: int, column: str, name: str) -> list[str]:
    """Return the keys of a mapping, as dotted names, from one experiment whose parameter or result *name* is one."""
    columns, value = tables.experiment.c, tables.experiment.c[column][name]
    query = select(value).where(columns.study == study, func.jsonb_typeof(value) == "object").limit(1)
    found = connection.execute(query).scalar()
    return [f"{name}.{path}" for path in _dotted(found or {})]


def _dotted(value: Mapping[str, Json]) -> Iterator[str]:
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield from (f"{key}.{path}" for path in _dotted(item))
        else:
            yield key


def _values(connection: Connection, source: ValueSource, examples: Iterable[int]) -> list[Json]:
    """Return the value of an axis for each of some experiments, or ABSENT."""
    columns, examples, value = tables.experiment.c, list(examples), jsonb_of(source)
    query = select(columns.id, value.is_(None), value).where(among(columns.id, examples))
    found = {row[0]: ABSENT if row[1] else row[2] for row in connection.execute(query)}
    return [found[number] for number in examples]
