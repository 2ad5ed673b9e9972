"""Tables of papers for the tests of writers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np

from qexp.analysis.table import Cell, Metric, Note, Table

NASTY = (
    "a_b", "50%", "$x$", "é", "<b>&amp;", "a|b", 'x"y', "two\nlines", "α→β", "🎉", "", "[64, 32]", "*", "\\", "~^#{}",
    "--lr", "`code`", "{'a': 1}", " spaced  out ", "ﬁ Ω ≥ 3 ± ½", "a\x1b[31m", "\u202eabc", "日本語",
    "@user #12 :smile:", "-->",
)  # fmt: skip
"""Labels with special characters of the formats."""


def cell(center: float | None = 0.91, spread: float | None = 0.02, n: int = 5, expected: int | None = None, **facts):
    """Return a cell with two decimals."""
    text = "" if center is None else f"{center:.2f}"
    spread_text = "" if spread is None or center is None else f"{spread:.2f}"
    values = np.array([center or 0.0] * n)
    given = {"text": text, "spread_text": spread_text, "values": values, **facts}
    return Cell(n, n if expected is None else expected, center, spread, **given)


def table(
    rows: Iterable[str | tuple[str, ...]] = ("SVC", "tree"),
    columns: Iterable[str | tuple[str, ...]] = ("digits", "iris"),
    cells=None,
    row_axes: tuple[str, ...] = ("classifier",),
    column_axes: tuple[str, ...] = ("dataset",),
    metrics: tuple[str, ...] = ("accuracy",),
    **facts,
) -> Table:
    """Return a table; without *cells*, each has another number."""
    rows = tuple((row,) if isinstance(row, str) else row for row in rows)
    columns = tuple((column,) if isinstance(column, str) else column for column in columns)
    if cells is None:
        numbers = itertools.count(1)
        cells = [[cell(next(numbers) / 7) for _ in columns] for _ in rows]
    return Table(
        row_axes, column_axes, rows, columns, tuple(map(tuple, cells)), tuple(Metric(name, True) for name in metrics),
        **{"statistic": "mean ± std", "over": ("seed",), **facts},
    )  # fmt: skip


def rich_table() -> Table:
    """Return a table with two row axes, two column axes, bold and missing cells, marks and notes."""
    rows = list(itertools.product(("SVC", "decision tree"), ("raw", "scaled")))
    columns = list(itertools.product(("digits", "iris"), ("accuracy", "loss")))
    cells = [
        [cell(0.912, 0.0213), cell(12.3, 0.51), cell(0.5, 0.1, 4, 5, marks=("a",)), cell(-1.5, 0.25)],
        [cell(0.951, 0.0113, bold=True), cell(9.75, 0.5), cell(None, None, 0, 5, marks=("a", "b")), cell(0.25, 0.1)],
        [cell(0.883, None, 1, 5, spread_text="—"), cell(10.5, 11.25), cell(0.7, 0.1), None],
        [
            cell(0.9, 0.0),
            cell(math.nan, math.nan),
            cell(0.75, 0.1, bold=True),
            cell(2.0),
        ],
    ]
    notes = (
        Note("statistic", "mean ± std over 5 seeds; bold: best of its column"),
        Note("missing", "SVC / raw / iris: 1 of 5 failed", "a", "qexp requeue lenet --failed --where 'x > 1'"),
        Note("open", "SVC / scaled / iris: 5 are queued", "b", "qexp wait lenet"),
    )
    provenance = ("study lenet, revision 3, source 1f2e3d", "made by: qexp table lenet --metric accuracy,loss")
    return table(
        rows, columns, cells, ("classifier", "features"), ("dataset", "metric"), ("accuracy", "loss"),
        notes=notes, provenance=provenance,
    )  # fmt: skip


def nasty_table() -> Table:
    """Return a table whose labels, axes, marks and notes have special characters."""
    cells = [[cell(0.5, marks=("†", "a_b")) for _ in NASTY] for _ in NASTY]
    notes = tuple(Note("warning", text, text, text) for text in NASTY)
    return table(NASTY, NASTY, cells, ("a_b",), ("50%",), ("$x$",), notes=notes, provenance=NASTY)


def big_table(size: int = 100) -> Table:
    """Return a table of size × size cells."""
    cells = [[cell(float(size * row + column)) for column in range(size)] for row in range(size)]
    return table([f"row_{n}" for n in range(size)], [f"column_{n}" for n in range(size)], cells)
