"""The command `qexp report`."""

from __future__ import annotations

from pathlib import Path

import click

from qexp.cli.terminal_writer import echo
from qexp.units import size_text


@click.command()
@click.argument("study")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="A result; repeatable.  [default: all]")
@click.option("--rows", metavar="NAME[,NAME]", help="The parameters whose values are rows.  [default: by the grid]")
@click.option("--columns", metavar="NAME[,NAME]", help="The parameters whose values are columns.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A .html file.")
def report_(study: str, metrics: tuple[str, ...], rows: str | None, columns: str | None, output: Path) -> None:
    """
    Write all about a study to one .html file: to read, to print, to keep.

    \b
      qexp report digits -o report.html
      qexp report digits --metric accuracy --rows classifier -o report.html

    It needs no network. A table that 'qexp table' would refuse is shown with the reasons.
    """
    from qexp.analysis.plots import names_of
    from qexp.analysis.report import ReportOptions
    from qexp.client import Client, reports

    written = reports.write(
        Client(), ReportOptions(study, metrics, names_of(rows or ()), names_of(columns or ())), output
    )
    echo(f"{output}: {size_text(written)}")
