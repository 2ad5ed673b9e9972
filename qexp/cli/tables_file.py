"""`qexp table` with a file of tables, and `qexp table --check`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from qexp.cli.output import say, show_json
from qexp.cli.terminal_writer import echo, printable

if TYPE_CHECKING:
    from qexp.analysis.table import Table
    from qexp.client.paper_tables import FileOutcome

SUFFIXES = (".yaml", ".yml")
"""The suffixes of a file of tables. Names of studies cannot end like this."""
_OPTIONS = ("studies", "only", "check", "macros", "form")
"""The parameters of `qexp table` that are allowed together with a file of tables."""


def tables_file(arguments: Sequence[str]) -> Path | None:
    """Return the file of tables among the arguments. Returns None if they name studies."""
    files = [argument for argument in arguments if argument.lower().endswith(SUFFIXES)]
    if files and len(arguments) > 1:
        raise click.UsageError(f"found {' '.join(arguments)}, expected one file of tables, or studies")
    return Path(files[0]) if files else None


def check_options(path: Path | None, output: Path | None) -> None:
    """Refuse options that do not fit a file of tables, or that need one."""
    context = click.get_current_context()
    given = [
        parameter
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
    ]
    if path is not None:
        _check_with_file(given, path, context.params["form"])
        if context.params["only"] and context.params["macros"] is not None:
            raise click.UsageError("--macros: this file needs the cells of all tables; leave out --only")
        return
    _check_apart(context.params["macros"], [output] if output is not None else [])
    if not context.params["metrics"]:
        raise click.UsageError("Missing option '--metric'.")
    if context.params["only"]:
        raise click.UsageError("--only: expected a file of tables as the argument, such as tables.yaml")
    if context.params["check"] and output is None and context.params["macros"] is None:
        raise click.UsageError("--check: expected a file to check: -o FILE, --macros FILE, or a file of tables")


def _check_with_file(given: Iterable[click.Parameter], path: Path, form: str) -> None:
    for parameter in given:
        if parameter.name not in _OPTIONS:
            option = "/".join([parameter.opts[-1], *parameter.secondary_opts])
            raise click.UsageError(f"{option}: write it into {path}, or name studies instead of {path}")
    if form not in ("table", "json"):
        raise click.UsageError(f"--format: found {form!r}, expected table or json; the formats are those of the files")


def _check_apart(macros: Path | None, files: Iterable[Path]) -> None:
    if macros is not None and macros.resolve() in [file.resolve() for file in files]:
        raise click.UsageError(f"--macros: {macros} is already the file of a table; name another file")


def refresh(path: Path, only: str | None, check: bool, macros: Path | None, form: str) -> int:
    """Write or check all files of a file of tables, print a line for each, and return the exit status."""
    from qexp.analysis.plots import names_of
    from qexp.analysis.tables_file import load
    from qexp.client import Client, paper_tables

    found = load(path)
    _check_apart(macros, [file for planned in found.tables for file in planned.files])
    found = replace(found, macros=macros) if macros else found
    outcome = paper_tables.refresh(Client(), found, names_of(only or ()), check)
    show_files(outcome.files, form)
    for problem in outcome.problems:
        say(f"qexp: {problem.text}")
    return outcome.exit_status


def check(table: Table, name: str, output: Path | None, macros: Path | None) -> int:
    """Check the file of one table and its macros, print a line for each, and return the exit status."""
    from qexp.client import paper_tables

    files = [paper_tables.write_or_check(output, table, check=True)] if output is not None else []
    if macros is not None:
        files.append(paper_tables.write_or_check_macros(macros, {name: table}, check=True))
    show_files(files, "table")
    return int(any(not file.state.is_good for file in files))


def show_files(files: Iterable[FileOutcome], form: str) -> None:
    """Print one line per file: its path, its state and details."""
    if form == "json":
        show_json([{"file": str(one.path), "state": one.state, "detail": one.detail} for one in files])
        return
    for one in files:
        detail = f": {one.detail}" if one.detail else ""
        echo(printable(f"{one.path}  {one.state}{detail}"))
