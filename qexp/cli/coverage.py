"""The command `qexp coverage`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qexp.cli.options import NAMES, format_option
from qexp.cli.output import console, say, show_json, show_lines

if TYPE_CHECKING:
    from qexp.analysis.coverage import Coverage

_SUFFIXES = (".pdf", ".svg", ".png", ".csv", ".json")


@click.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@click.option("--rows", metavar=NAMES, help="The parameters whose values are rows; study: one row per study.")
@click.option("--columns", metavar=NAMES, help="The parameters whose values are columns.")
@click.option("--over", metavar=NAMES, help="Count values of these parameters, such as seed.  [default: experiments]")
@click.option("--metric", multiple=True, metavar="NAME", help="Count results with this metric; repeatable.")
@click.option("--where", metavar="CONDITION", help='Only experiments with such parameters: "lr < 0.1".')
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A .pdf, .svg, .png, .csv or .json file.")
@format_option
def coverage_(studies: tuple[str, ...], output: Path | None, form: str, **options: Any) -> int:
    """
    Count the done experiments of each cell, with reasons for gaps and the commands that fill them.

    The newest grid gives the expected experiments. --rows and --columns default to the two parameters with the most
    values. The exit status is 0 if everything is done, otherwise 1.

    \b
      qexp coverage lenet --rows lr --columns layers
    """
    from qexp.analysis.atomic_files import check_target
    from qexp.client import Client
    from qexp.client.tables_and_comparisons import coverage

    if output is not None:
        check_target(output, _SUFFIXES)
    found = coverage(studies, client=Client(), **{name: value for name, value in options.items() if value})
    if output is not None:
        _write(found, output)
    elif form == "json":
        show_json(found.data())
    else:
        show_lines(found.lines(console().width))
    return 0 if found.is_complete else 1


def _write(found: Coverage, path: Path) -> None:
    from qexp.analysis.coverage.export import write

    write(found, path)
    say(f"{path}: {found.summary}")
