"""Summary tables: experiments become cells of a paper's table, with the notes that say what each cell stands for."""

from qexp.analysis.table.model import Cell, Metric, Note, Table

__all__ = ["Cell", "Metric", "Note", "Table"]
