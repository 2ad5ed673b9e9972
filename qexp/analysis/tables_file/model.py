"""The content of a file of tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qexp.analysis.table.spec import TableSpec


@dataclass(frozen=True)
class PlannedTable:
    """One table of a paper: the question, and the files that show the answer."""

    name: str
    file: str
    """The name of the file of tables, without its folder."""
    place: str
    """The place of the table in the file: `tables.yaml, line 4`."""
    spec: TableSpec
    files: tuple[Path, ...]
    siunitx: bool = False
    """LaTeX files use the columns of siunitx."""


@dataclass(frozen=True)
class TablesFile:
    """The tables of a paper, in the order of their file."""

    path: Path
    tables: tuple[PlannedTable, ...]
    macros: Path | None = None
    """The file with a macro for each cell of all tables."""

    @property
    def names(self) -> list[str]:
        """The names of the tables."""
        return [planned.name for planned in self.tables]
