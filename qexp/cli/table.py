"""The command `qexp table`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qexp.cli.options import NAMES, Command, Number
from qexp.cli.output import say
from qexp.cli.terminal_writer import data, exact

if TYPE_CHECKING:
    from qexp.analysis.table import Table
    from qexp.client import Client

_FORMATS = ("table", "json", "csv", "md", "tex", "html")


def _list_option(name: str, help_: str) -> Callable[[Command], Command]:
    return click.option(name, metavar=NAMES, help=help_)


@click.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY... | tables.yaml")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="The result to show; repeatable.")
@_list_option("--rows", "The parameters whose values are rows; study: one row per study.")
@_list_option("--columns", "The parameters whose values are columns.")
@_list_option("--over", "The parameters whose values are replicates.  [default: seed]")
@_list_option("--average", "Parameters to average over within each replicate, such as fold.")
@click.option("--stat", "statistic", help="mean±std, sem, ci95, iqm or median.  [default: mean±std]")
@click.option("--max/--min", "maximize", default=None, help="Larger or smaller is better.  [default: by the name]")
@_list_option("--best", "Each cell shows the best value of these parameters, chosen by --by.")
@click.option("--by", metavar="NAME", help="The metric by which --best chooses, such as val_accuracy.")
@click.option("--bold", type=click.Choice(["best", "tied", "none"]), help="Which cells are bold.  [default: best]")
@click.option("--baseline", metavar="ROW", help="Test every row against this one.")
@click.option("--test", type=click.Choice(["wilcoxon", "permutation", "ttest"]), help="[default: wilcoxon]")
@click.option("--correct", "correction", type=click.Choice(["holm", "fdr", "none"]), help="[default: holm]")
@click.option("--scale", type=Number("a number, such as 100"), help="Multiply the values: 100 for percent.")
@click.option("--digits", metavar="auto|N", help="Decimals.  [default: auto]")
@click.option("--transpose", is_flag=True, help="Exchange rows and columns.")
@click.option("--sort", metavar="ORDER", help="grid, name, value, or a column: its best row first.  [default: grid]")
@click.option("--where", metavar="CONDITION", help='Only experiments with such parameters: "lr < 0.1".')
@_list_option("--allow", "Show the table although results are missing, mixed or nan, or an axis is open.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A .tex, .md, .html, .csv or .json file.")
@click.option("--macros", type=click.Path(path_type=Path), help="A .tex file with a macro for each cell.")
@click.option("--check", is_flag=True, help="Write nothing; exit status 1 if a file differs from the database.")
@_list_option("--only", "Only these tables of tables.yaml.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="table", show_default=True, help="The output format."
)
def table_(
    studies: tuple[str, ...],
    output: Path | None,
    form: str,
    macros: Path | None,
    check: bool,
    only: str | None,
    **options: Any,
) -> int:
    """
    Show a metric over parameters, as mean ± std over seeds.

    Each cell needs all replicates of the newest grid, of the same settings and code. Otherwise qexp refuses the table,
    with exit status 1, a line for each reason, and the command that completes it.

    A file of tables, such as tables.yaml, describes all tables of a paper; qexp writes each into its files.

    \b
      qexp table lenet --metric accuracy --rows lr --columns layers
      qexp table tables.yaml --check
    """
    from qexp.cli import tables_file

    path = tables_file.tables_file(studies)
    tables_file.check_options(path, output)
    if path is not None:
        return tables_file.refresh(path, only, check, macros, form)
    if not check:
        _check_writable(output, macros)
    from qexp.client import Client
    from qexp.client.tables_and_comparisons import named

    client = Client()
    names = named(client, studies)
    made, name = _make(client, names, options), "-".join(names)
    if check:
        return tables_file.check(made, name, output, macros)
    if output is None and macros is None:
        show(made, form)
    _write(made, name, output, macros)
    return 0


def _make(client: Client, studies: Sequence[str], options: dict[str, Any]) -> Table:
    from qexp.client.tables_and_comparisons import make, spec_of

    options["metrics"] = ",".join(options["metrics"])
    given = {name: value for name, value in options.items() if is_given(name, value)}
    if digits := given.get("digits"):
        given["digits"] = int(digits) if digits.isdigit() else digits
    return make(client, spec_of({"studies": studies, **given}))


def is_given(name: str, value: Any) -> bool:
    """Return whether an option is on the command line; 0 is a value."""
    return name == "maximize" or not (value is None or value is False or value == ())


def _check_writable(output: Path | None, macros: Path | None) -> None:
    from qexp.analysis.writers import check_macros_file, check_table_file

    if output is not None:
        check_table_file(output)
    if macros is not None:
        check_macros_file(macros)


def _write(made: Table, name: str, output: Path | None, macros: Path | None) -> None:
    from qexp.analysis.writers import save, to_macros, write

    text = to_macros({name: made}) if macros is not None else ""  # before any write, since names of macros may clash
    if output is not None:
        write(made, output)
        say(f"{output}: {len(made.rows)} rows, {len(made.columns)} columns")
    if macros is not None:
        save(text, macros)
        say(f"{macros}: a macro for each of {sum(cell is not None for row in made.cells for cell in row):,} cells")


def show(made: Table, form: str) -> None:
    """Print a table."""
    from qexp.analysis.writers import render
    from qexp.cli.summary_table import show_summary

    if form == "table":
        show_summary(made)
    elif form == "json":
        data(render(made, form))
    else:
        exact(render(made, form))
