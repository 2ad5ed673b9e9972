"""Write a table as data: CSV and a frame with one line per cell, or JSON."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qexp.analysis.axis_column_names import axis_columns
from qexp.analysis.table.model import Cell, Table
from qexp.model import Json, strict

if TYPE_CHECKING:
    import pandas as pd

_FACTS = ("metric", "n", "expected", "center", "spread", "low", "high", "difference", "p", "bold", "marks")
"""The columns behind the axes."""
_QUOTED = re.compile(r'[",\r\n]')


def _columns(table: Table) -> list[str]:
    """
    Return the columns of a table's data: the row and column axes, then the facts of a cell.

    The axis `metric` of several metrics is the column `metric`; an axis named like another column is `param.NAME`.
    """
    axes = [*table.row_axes, *table.column_axes]
    if (place := _metric_place(table)) is not None:
        del axes[place]
    return [*axis_columns(axes, _FACTS), *_FACTS]


def _metric_place(table: Table) -> int | None:
    """Return the index of the axis of the metrics: the last axis with this name."""
    axes = [*table.row_axes, *table.column_axes]
    if len(table.metrics) < 2 or "metric" not in axes:
        return None
    return len(axes) - 1 - axes[::-1].index("metric")


def records(table: Table) -> Iterator[list[Any]]:
    """Yield one list per cell: the labels of the axes, then the facts. Cells without experiments are left out."""
    place = _metric_place(table)
    for row, cells in zip(table.rows, table.cells, strict=True):
        for column, cell in zip(table.columns, cells, strict=True):
            if cell is not None:
                labels = [*row, *column]
                metric = table.metrics[0].name if place is None else labels.pop(place)
                yield [*labels, metric, *_facts(cell)]


def _facts(cell: Cell) -> list[Any]:
    low, high = cell.interval or (None, None)
    numbers = [_float(number) for number in (cell.center, cell.spread, low, high, cell.difference, cell.p)]
    return [cell.n, cell.expected, *numbers, cell.bold, " ".join(cell.marks)]


def _float(number: float | None) -> float | None:
    """Return a number as a float of Python, because a float of numpy has another repr."""
    return None if number is None else float(number)


def to_csv(table: Table) -> str:
    """
    Return one line per cell below a header: axes, metric, n, expected, center, spread, low, high, difference, p, bold,
    marks. Difference and p are those of the comparison with `--baseline`.

    Numbers have every digit, bold is true or false, marks are separated by spaces, and a missing number is empty.
    """
    lines = [_columns(table), *records(table)]
    return "".join(",".join(map(_csv_field, line)) + "\n" for line in lines)


def _csv_field(value: str | float | bool | None) -> str:
    """Return a value as text for CSV; Python's csv module does not quote a carriage return."""
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def to_frame(table: Table) -> pd.DataFrame:
    """Return a frame with the lines and columns of `to_csv`; missing numbers are NaN."""
    import pandas as pd

    names = _columns(table)
    columns = list(zip(*records(table), strict=True)) or [()] * len(names)
    types = dict.fromkeys(("center", "spread", "low", "high", "difference", "p"), "float64")
    types |= {"n": "int64", "expected": "int64", "bold": "bool"}
    series = [pd.Series(values, dtype=types.get(name, "str")) for name, values in zip(names, columns, strict=True)]
    return pd.DataFrame(dict(zip(names, series, strict=True)))


def to_json(table: Table) -> str:
    """Return `to_data` as strict JSON: NaN is null, infinities are text."""
    return json.dumps(to_data(table), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_data(table: Table) -> dict[str, Json]:
    """
    Return everything that a table has, as JSON data without NaN.

    `cells` has one list per row with one mapping per column, or None if there is no experiment.
    """
    found: dict[str, Json] = {
        "statistic": table.statistic,
        "over": [*table.over],
        "metrics": [{"name": metric.name, "maximize": metric.maximize} for metric in table.metrics],
        "row_axes": [*table.row_axes],
        "column_axes": [*table.column_axes],
        "rows": [[*key] for key in table.rows],
        "columns": [[*key] for key in table.columns],
        "cells": [[_cell_data(cell) for cell in cells] for cells in table.cells],
        "notes": [dataclasses.asdict(note) for note in table.notes],
        "provenance": [*table.provenance],
    }
    data: dict[str, Json] = strict(found)
    return data


def _cell_data(cell: Cell | None) -> Json:
    if cell is None:
        return None
    return {
        "n": cell.n,
        "expected": cell.expected,
        "center": _float(cell.center),
        "spread": _float(cell.spread),
        "interval": None if cell.interval is None else [*map(_float, cell.interval)],
        "text": cell.text,
        "spread_text": cell.spread_text,
        "difference": _float(cell.difference),
        "p": _float(cell.p),
        "bold": cell.bold,
        "marks": [*cell.marks],
    }
