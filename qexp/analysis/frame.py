"""Experiments become a pandas frame, and a frame becomes a file."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from qexp.errors import ExportError
from qexp.model import NON_FINITE, Json, encode_float
from qexp.store.reports import ExperimentView

FACTS: Mapping[str, Callable[[ExperimentView], Any]] = {
    "status": lambda view: str(view.status),
    "attempt": lambda view: view.attempt,
    "host": lambda view: view.host,
    "started_at": lambda view: view.started_at,
    "duration": lambda view: view.duration,
    "failure": lambda view: view.failure,
    "error": lambda view: view.error,
}
"""The columns that every frame has after the parameters and results."""
_TYPES = {
    "id": "int64",
    "status": "str",
    "attempt": "int64",
    "host": "str",
    "started_at": "datetime64[us, UTC]",
    "duration": "float64",
    "failure": "str",
    "error": "str",
}


def frame(views: Iterable[ExperimentView], parameters: Sequence[str], results: Sequence[str]) -> pd.DataFrame:
    """
    Return one row per experiment in the order of ids, indexed from 0.

    Columns: `id`, one per parameter, one per result, then status, attempt, host, started_at (UTC), duration (seconds),
    failure and error. A result named like a parameter or like one of those is `result.NAME`, such a parameter
    `param.NAME`. Whole numbers are integers (Int64 where some are missing), failed rows are included.
    """
    ids: list[int] = []
    given: dict[str, list[Json]] = {name: [] for name in parameters}
    found: dict[str, list[Json]] = {name: [] for name in results}
    facts: dict[str, list[Any]] = {name: [] for name in FACTS}
    for view in views:
        ids.append(view.id)
        for name, values in given.items():
            values.append(view.params.get(name))
        for name, values in found.items():
            values.append(decoded((view.result or {}).get(name)))
        for name, fact in FACTS.items():
            facts[name].append(fact(view))
    columns = {"id": pd.Series(ids, dtype=_TYPES["id"])}
    taken = {"id", *FACTS}
    for name, values in given.items():
        columns[f"param.{name}" if name in taken else name] = typed(values)
    for name, values in found.items():
        columns[f"result.{name}" if name in taken or name in given else name] = moments(typed(values))
    columns |= {name: pd.Series(values, dtype=_TYPES[name]) for name, values in facts.items()}
    return pd.DataFrame(columns)


def decoded(value: Json) -> Json:
    """Return data with the floats that JSON had to keep as text; a text "NaN" is one of them."""
    if isinstance(value, dict):
        return {key: decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decoded(item) for item in value]
    return NON_FINITE.get(value, value) if isinstance(value, str) else value


_LARGEST = 2**63


def typed(values: list[Any]) -> pd.Series[Any]:
    """Return a column of the narrowest type that holds all values: bool, int, float, str, else object."""
    kinds = {type(value) for value in values if value is not None}
    missing = any(value is None for value in values)
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean" if missing else "bool")
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values if value is not None):
        return pd.Series(values, dtype="Int64" if missing else "int64")
    if kinds and kinds <= {int, float} and all(abs(value) <= _LARGEST for value in values if type(value) is int):
        return pd.Series(values, dtype="float64")
    if kinds == {str}:
        return pd.Series(values, dtype="str")
    return pd.Series(values, dtype="object")


_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")


def moments(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of dates with times, which JSON keeps as text, as such; with offsets they become UTC."""
    found = [_MOMENT.fullmatch(text) for text in column.dropna()] if column.dtype == "str" else []
    offsets = {match is not None and bool(match[2]) for match in found}
    if len(offsets) != 1 or None in found:
        return column
    try:
        return pd.to_datetime(column, format="ISO8601", utc=offsets == {True}).astype(
            "datetime64[us, UTC]" if offsets == {True} else "datetime64[us]"
        )
    except ValueError:  # 2026-13-01 looks like one
        return column


def writer(path: Path) -> Callable[[pd.DataFrame], None]:
    """
    Return what writes a frame to *path*, by its suffix .csv, .parquet or .json; checked before there is a frame.

    The file appears complete or not at all. ExportError says what stands in the way.
    """
    writers = {".csv": _csv, ".parquet": _parquet, ".json": _json}
    write = writers.get(path.suffix.lower())
    if write is None:
        raise ExportError(f"{path}: found the suffix {path.suffix!r}, expected one of {', '.join(writers)}")
    if path.is_dir():
        raise ExportError(f"{path}: is a folder, expected a file to write")
    if not path.parent.is_dir():
        raise ExportError(f"{path}: there is no folder {path.parent}; make it with 'mkdir -p {path.parent}'")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ExportError(f"{path}: may not be written by this user")

    def save(table: pd.DataFrame) -> None:
        try:
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
                draft = Path(folder) / path.name
                write(table, draft)
                draft.replace(path)
        except OSError as error:
            raise ExportError(f"{path}: {(error.strerror or str(error)).lower()}") from error

    return save


def _csv(table: pd.DataFrame, path: Path) -> None:
    _flat(table, everything=False).to_csv(path, index=False)


def _parquet(table: pd.DataFrame, path: Path) -> None:
    _flat(table, everything=True).to_parquet(path, index=False, engine="pyarrow")


def _json(table: pd.DataFrame, path: Path) -> None:
    """Write one object a row with every digit of every number; pandas's own writer keeps ten."""
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(table.astype("object").itertuples(index=False, name=None)):
            record = dict(zip(table.columns, map(_plain, row), strict=True))
            file.write(("[\n" if number == 0 else ",\n") + json.dumps(record, ensure_ascii=False))
        file.write("\n]\n" if len(table) else "[]\n")


def _plain(value: Any) -> Any:
    if isinstance(value, list | dict):
        return value
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else encode_float(value)
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


def _flat(table: pd.DataFrame, everything: bool) -> pd.DataFrame:
    """Return a frame whose mixed columns are text: lists and mappings as JSON, and, with *everything*, all values."""
    mixed = [name for name in table.columns if table[name].dtype == object]
    flat = {
        name: pd.Series(
            [_text(value, everything) for value in table[name]], dtype="object" if not everything else "str"
        )
        for name in mixed
    }
    return table.assign(**flat) if flat else table


def _text(value: Any, everything: bool) -> Any:
    if value is None or (isinstance(value, str) and not everything):
        return value
    if everything or isinstance(value, list | dict):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value
