"""A computed table before its layout: the parts that `build` computes and the notes read."""

from __future__ import annotations

from dataclasses import dataclass

from qexp.analysis.table.cell_statistics import BestValues, CellStatistics
from qexp.analysis.table.comparison import ComparedCells
from qexp.analysis.table.model import Key, Metric
from qexp.analysis.table.refusal_reasons import Problem
from qexp.analysis.table.replicates import Replicates
from qexp.analysis.table.spec import TableSpec
from qexp.analysis.table.table_experiments import TableExperiments


@dataclass(frozen=True)
class ComputedTable:
    """The parts of a table before its layout."""

    spec: TableSpec
    observed: TableExperiments
    units: Replicates
    choice: BestValues
    metrics: tuple[Metric, ...]
    figures: dict[str, CellStatistics]
    compared: dict[str, ComparedCells]
    problems: tuple[Problem, ...]
    rows: list[Key]
    columns: list[Key]
    by_maximize: bool = True
    """A larger value of the metric in `--by` is better."""
