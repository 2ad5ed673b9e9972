"""A file of tables, `tables.yaml`: every table of a paper, under the names of the command line."""

from qexp.analysis.tables_file.model import PlannedTable, TablesFile
from qexp.analysis.tables_file.reading import load

__all__ = ["PlannedTable", "TablesFile", "load"]
