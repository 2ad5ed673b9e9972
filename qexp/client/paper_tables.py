"""Write or check the tables of a paper, which a file of tables describes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from qexp.analysis.table.build import build
from qexp.analysis.tables_file import load
from qexp.analysis.writers import check_macros_file, check_table_file, encoded, render, save, to_macros
from qexp.analysis.writers.text_diff import difference, macro_difference
from qexp.argument_spelling import spelled
from qexp.client.client import Client
from qexp.client.tables_and_comparisons import snapshot
from qexp.errors import DatabaseTablesError, ExportError, OptionError, QexpError, RefusedError, ServiceError, nearest

if TYPE_CHECKING:
    from qexp.analysis.table import Table
    from qexp.analysis.tables_file import PlannedTable, TablesFile


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper, or the error that prevents it."""

    planned: PlannedTable
    table: Table | None
    error: QexpError | None = None


class FileState(StrEnum):
    """The state of a file of a paper after a write or a check."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    DIFFERS = "differs"
    MISSING = "missing"
    REFUSED = "refused"
    """The table would be wrong; the file did not change."""
    FAILED = "failed"
    """The table cannot be made; the file did not change."""
    SKIPPED = "skipped"

    @property
    def is_good(self) -> bool:
        """Whether the file agrees with the database, or was skipped."""
        return self in (FileState.WRITTEN, FileState.UNCHANGED, FileState.SKIPPED)


@dataclass(frozen=True)
class FileOutcome:
    """One file of a paper, its state, and details as text."""

    path: Path
    state: FileState
    detail: str = ""


@dataclass(frozen=True)
class PaperProblem:
    """The reason why a table, or the file of macros, cannot be made; several lines for a refused table."""

    text: str
    exit_status: int


@dataclass(frozen=True)
class PaperOutcome:
    """All files of a paper, and the problems of tables that could not be made."""

    files: tuple[FileOutcome, ...]
    problems: tuple[PaperProblem, ...]

    @property
    def exit_status(self) -> int:
        """The exit status of the worst problem, 1 if a file differs, or 0."""
        differs = any(not file.state.is_good for file in self.files)
        return max([int(differs), *(problem.exit_status for problem in self.problems)])


@dataclass(frozen=True)
class _Text:
    """The text that a file should have."""

    path: Path
    text: str
    table: Table | None = None
    """None for the file of macros."""

    def difference(self, old: str) -> str:
        if self.table is None:
            return macro_difference(old, self.text)
        return difference(old, self.text, self.path.suffix.lower().removeprefix("."), self.table)


def tables(path: str | Path, *, client: Client | None = None) -> dict[str, Table]:
    """
    Return the tables of a file of tables by name, all from one snapshot of the database; write nothing.

    Raises a `qexp.QexpError`, whose notes name the table, if a table cannot be made.
    """
    made = make_tables(client or Client(), load(Path(path)).tables)
    for one in made:
        if one.error is not None:
            one.error.add_note(f"{one.planned.place}: table {one.planned.name}")
            raise one.error
    return {one.planned.name: one.table for one in made if one.table is not None}


def make_tables(client: Client, planned: Iterable[PlannedTable]) -> list[PaperTable]:
    """Make tables from one snapshot of the database. An error of one table does not stop the others."""
    made = []
    with snapshot(client) as connection:
        for one in planned:
            try:
                made.append(PaperTable(one, _with_source(build(connection, one.spec), one)))
            except (ServiceError, DatabaseTablesError):
                raise
            except QexpError as error:
                made.append(PaperTable(one, None, error))
    return made


def _with_source(table: Table, planned: PlannedTable) -> Table:
    """Add the file of tables and the table's name to the provenance of a table."""
    return replace(table, provenance=(*table.provenance, f"file: {planned.file}, table {planned.name}"))


def selected_tables(paper: TablesFile, names: Sequence[str]) -> list[PlannedTable]:
    """Return the tables with these names, or all if there are no names. Raises OptionError for an unknown name."""
    for name in names:
        if name not in paper.names:
            hint = nearest(name, paper.names) or f"; there are {', '.join(paper.names)}"
            raise OptionError(f"--only: there is no table {name!r} in {paper.path}{hint}")
    return [planned for planned in paper.tables if not names or planned.name in names]


def refresh(client: Client, paper: TablesFile, only: Sequence[str] = (), check: bool = False) -> PaperOutcome:
    """
    Write those files of a paper that differ; with *check*, write nothing and report the differences.

    Raises ExportError, before it reads Postgres, if a file cannot be written. If a table cannot be made, its files and
    the file of macros do not change. With *only* some tables, the macros do not change either.
    """
    planned = selected_tables(paper, only)
    if not check:
        _check_writable(planned, None if only else paper.macros)
    made = make_tables(client, planned)
    files = [outcome for one in made for outcome in _files(one, check)]
    problems = [_problem(one.planned, one.error) for one in made if one.error is not None]
    if paper.macros is not None and only:
        files.append(FileOutcome(paper.macros, FileState.SKIPPED, "it has the cells of all tables"))
    elif paper.macros is not None:
        files.append(_macros(made, paper.macros, check, problems))
    return PaperOutcome(tuple(files), tuple(problems))


def write_or_check(path: Path, table: Table, check: bool, siunitx: bool = False) -> FileOutcome:
    """Write one table to a file, or *check* the file."""
    text = render(table, path.suffix.lower().removeprefix("."), siunitx)
    return _write_or_check(_Text(path, text, table), check)


def write_or_check_macros(path: Path, named: dict[str, Table], check: bool) -> FileOutcome:
    """Write a macro for each cell of some tables, given by name, to a file, or *check* the file."""
    return _write_or_check(_Text(path, to_macros(named)), check)


def _problem(planned: PlannedTable, error: QexpError) -> PaperProblem:
    text = str(error)
    if isinstance(error, RefusedError):
        # the key in a file of tables
        text = text.replace(spelled(error.advice), error.advice.replace("--allow ", "allow: "))
    return PaperProblem(f"{planned.place}: table {planned.name}: {text}", error.exit_status)


def _check_writable(planned: Iterable[PlannedTable], macros: Path | None) -> None:
    for one in planned:
        for path in one.files:
            check_table_file(path)
    if macros is not None:
        check_macros_file(macros)


def _files(made: PaperTable, check: bool) -> Iterator[FileOutcome]:
    for path in made.planned.files:
        if made.table is None:
            yield _unwritten(
                path, FileState.REFUSED if isinstance(made.error, RefusedError) else FileState.FAILED, check
            )
        else:
            yield write_or_check(path, made.table, check, made.planned.siunitx)


def _macros(made: Sequence[PaperTable], path: Path, check: bool, problems: list[PaperProblem]) -> FileOutcome:
    """Write or check the file of macros, which needs all tables; add a problem if two cells would share a name."""
    lacking = [one.planned.name for one in made if one.table is None]
    if lacking:
        left = _unwritten(path, FileState.REFUSED, check)
        reason = f"it needs {', '.join(lacking)}"
        return FileOutcome(path, left.state, f"{left.detail}; {reason}" if left.detail else reason)
    try:
        tables = {one.planned.name: one.table for one in made if one.table is not None}
        return write_or_check_macros(path, tables, check)
    except ExportError as error:
        problems.append(PaperProblem(str(error), error.exit_status))
        return _unwritten(path, FileState.FAILED, check)


def _unwritten(path: Path, state: FileState, check: bool) -> FileOutcome:
    """Return the outcome of a file that was not written."""
    return FileOutcome(path, state, "" if check else "left as it was" if path.exists() else "not written")


def _write_or_check(wanted: _Text, check: bool) -> FileOutcome:
    """Write or check a file that does not have the wanted text yet."""
    old = _bytes(wanted.path)
    if old == encoded(wanted.text):
        return FileOutcome(wanted.path, FileState.UNCHANGED)
    if not check:
        save(wanted.text, wanted.path)
        return FileOutcome(wanted.path, FileState.WRITTEN)
    if old is None:
        return FileOutcome(wanted.path, FileState.MISSING)
    return FileOutcome(wanted.path, FileState.DIFFERS, wanted.difference(old.decode("utf-8", "replace")))


def _bytes(path: Path) -> bytes | None:
    """Return the content of a file. Returns None if it does not exist."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ExportError(f"{path}: {(error.strerror or str(error)).lower()}") from error
