"""Write a frame to a file: CSV, Parquet or JSON."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from qexp.analysis.atomic_files import atomic_file, check_target
from qexp.analysis.writers.labels import is_json
from qexp.model import Json, strict

Tables = Iterable[pd.DataFrame]
"""The pieces of a frame in order; at least one, all with the same columns and types."""


Save = Callable[[Tables], None]
"""Writes such a frame."""


def writer(path: Path) -> Save:
    """
    Return the function that writes a frame to *path*; the suffix .csv, .parquet or .json decides the format.

    The file appears complete or not at all. Raises ExportError if it cannot be written, before the frame is made.
    """
    writers = {".csv": _csv, ".parquet": _parquet, ".json": _json}
    check_target(path, writers)
    write = writers[path.suffix.lower()]

    def save(tables: Tables) -> None:
        with atomic_file(path) as draft:
            write(tables, draft)

    return save


def _csv(tables: Tables, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(csv_pieces(tables))


def csv_pieces(tables: Tables) -> Iterator[str]:
    """Yield a frame as CSV, piece by piece."""
    for number, table in enumerate(tables):
        yield _flat(table).to_csv(index=False, header=number == 0)


def _parquet(tables: Tables, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pieces = (pa.Table.from_pandas(_flat(table), preserve_index=False) for table in tables)
    first = next(pieces)
    with pq.ParquetWriter(path, first.schema) as file:
        for piece in itertools.chain([first], pieces):
            file.write_table(piece)


def _json(tables: Tables, path: Path) -> None:
    """Write one object per row with every digit of every number; the writer of pandas keeps ten."""
    with path.open("w", encoding="utf-8") as file:
        before = "[\n"
        for table in tables:
            for record in row_dicts(table):
                file.write(before + json.dumps(record, ensure_ascii=False, allow_nan=False))
                before = ",\n"
        file.write("[]\n" if before == "[\n" else "\n]\n")


def row_dicts(table: pd.DataFrame) -> Iterator[dict[str, Json]]:
    """Yield the rows of a frame as JSON data: moments in ISO format, NaN as None, infinities as text."""
    for row in table.astype("object").itertuples(index=False, name=None):
        yield dict(zip(table.columns, map(_plain, row), strict=True))


def _plain(value: Any) -> Any:
    if value is pd.NA or value is pd.NaT:
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else strict(value)


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with text in columns that hold values of several kinds, lists or mappings."""
    mixed = [name for name in table.columns if table[name].dtype == object]
    return table.assign(**{name: pd.Series(map(_text, table[name]), dtype="str") for name in mixed}) if mixed else table


def _text(value: Any) -> str | None:
    """
    Return a value as JSON; text stays as it is, unless a reader could take it for other JSON or for a missing value.

    >>> list(map(_text, [True, "true", "adam", [0.5, None]]))
    ['true', '"true"', 'adam', '[0.5, null]']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, str):
        return json.dumps(strict(value) if isinstance(value, list | dict) else value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if not value.strip() or is_json(value) else value
