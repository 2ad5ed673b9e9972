"""A file of tables, `tables.yaml`: every table of a paper, under the names of the command line."""

from qexp.analysis.tables_file.model import PlannedTable, TablesFile
from qexp.analysis.tables_file.reading import load
from qexp.analysis.tables_file.schema import json_schema

__all__ = ["PlannedTable", "TablesFile", "json_schema", "load"]
