"""Default rows and columns of a coverage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qexp.analysis.table.name_resolution import STUDY
from qexp.analysis.table.table_experiments import TableExperiments

_MOST = 60
"""The most values of a parameter in a readable table."""


@dataclass(frozen=True)
class RowsAndColumns:
    """The axes of the rows and of the columns, and the reason for this choice."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    text: str = ""
    """The choice in words; empty if a person made it."""


def choose(observed: TableExperiments, parameters: Sequence[str], over: Sequence[str]) -> RowsAndColumns:
    """
    Choose the two parameters with the most values, except those in *over*; the larger one becomes the rows.

    Parameters with more than 60 values are left out. With several studies, the rows are the studies.
    """
    sizes = {name: len(observed.axes[name].values) for name in parameters if name not in over}
    usable = {name: size for name, size in sizes.items() if 1 < size <= _MOST}
    ranked = sorted(usable, key=lambda name: -usable[name])
    if len(observed.studies) > 1:
        ranked = [STUDY, *ranked]
    rows, columns = tuple(ranked[:1]), tuple(ranked[1:2])
    return RowsAndColumns(
        rows, columns, "; ".join(_in_words(sizes, rows, columns, [name for name in parameters if name in over]))
    )


def _in_words(
    sizes: Mapping[str, int], rows: Sequence[str], columns: Sequence[str], over: Sequence[str]
) -> Iterator[str]:
    chosen = [f"{role} {names[0]}" for role, names in (("--rows", rows), ("--columns", columns)) if names]
    if chosen:
        left = f", {', '.join(over)} left out" if over else ""
        noun = "parameter" if len(chosen) == 1 else "parameters"
        yield f"chosen: {' '.join(chosen)}: the {noun} with the most values{left}"
    else:
        yield "no parameter has 2 to 60 values, so there is one cell; choose with --rows and --columns"
    if large := [f"{name} ({size:,} values)" for name, size in sizes.items() if size > _MOST]:
        yield f"not chosen: {', '.join(large)}"
