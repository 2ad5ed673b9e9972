"""Summary tables of experiments, with notes that explain their cells."""

from qexp.analysis.table.model import Cell, Metric, Note, Table

__all__ = ["Cell", "Metric", "Note", "Table"]
