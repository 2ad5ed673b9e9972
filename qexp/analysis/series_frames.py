"""Make pandas frames of the series and lists of experiments."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pandas as pd

from qexp.analysis.frame import typed
from qexp.model import Json

COLUMNS = {
    "id": "int64",
    "attempt": "int64",
    "name": "str",
    "step": "int64",
    "value": "float64",
    "at": "datetime64[us, UTC]",
}


def long_frame(points: Iterable[tuple[int, int, str, int, float, datetime]]) -> pd.DataFrame:
    """Return one row per point: id (of the experiment), attempt, name, step, value and at (UTC)."""
    columns: list[list[Any]] = [[] for _ in COLUMNS]
    for point in points:
        for column, value in zip(columns, point, strict=True):
            column.append(value)
    pairs = zip(COLUMNS.items(), columns, strict=True)
    return pd.DataFrame({name: pd.Series(values, dtype=kind) for (name, kind), values in pairs})


def with_parameters(points: pd.DataFrame, parameters: pd.DataFrame) -> pd.DataFrame:
    """
    Return points with the parameters of their experiments as further columns.

    *parameters* has a row for each experiment of the points, in the order of ids. A parameter whose name is a column of
    points gets the prefix `param.`.
    """
    taken, names = {*points.columns, *parameters.columns}, {}
    for name in parameters.columns.intersection(points.columns).drop("id"):
        free = f"param.{name}"
        while free in taken:
            free = f"param.{free}"
        names[name] = free
        taken.add(free)
    places = pd.Index(parameters["id"]).get_indexer(pd.Index(points["id"]))
    added = parameters.drop(columns="id").rename(columns=names).take(places)
    return pd.concat([points, added.set_axis(points.index)], axis=1)


def list_frame(rows: Iterable[tuple[int, int, datetime, Json]]) -> pd.DataFrame:
    """Return one row per row of a list: id, attempt, at (UTC), then a column per key in order of appearance."""
    rows = list(rows)
    keys = list(dict.fromkeys(key for row in rows for key in row[3]))
    facts = {name: COLUMNS[name] for name in ("id", "attempt", "at")}
    frame = {
        name: pd.Series([row[index] for row in rows], dtype=kind) for index, (name, kind) in enumerate(facts.items())
    }
    for key in keys:
        frame[f"row.{key}" if key in facts else key] = typed([row[3].get(key) for row in rows], dates=True)
    return pd.DataFrame(frame)
