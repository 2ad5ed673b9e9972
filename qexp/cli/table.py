"""table: the table of a paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qexp.cli.options import Command
from qexp.cli.output import console, say
from qexp.cli.terminal import data, exact

if TYPE_CHECKING:
    from qexp.analysis.table import Table

_FORMATS = ("table", "json", "csv", "md", "tex", "html")
_NAMES = "NAME[,NAME]"


def _list_option(name: str, help_: str) -> Callable[[Command], Command]:
    return click.option(name, metavar=_NAMES, help=help_)


@click.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@click.option(
    "--metric", "metrics", multiple=True, required=True, metavar="NAME", help="The result to show; repeatable."
)
@_list_option("--rows", "The parameters whose values are rows; study: one row per study.")
@_list_option("--columns", "The parameters whose values are columns.")
@_list_option("--over", "The parameters whose values are replicates.  [default: seed]")
@_list_option("--average", "Parameters to average over within each replicate, such as fold.")
@click.option("--stat", "statistic", help="mean±std, sem, ci95, iqm or median.  [default: mean±std]")
@click.option("--max/--min", "maximize", default=None, help="Larger or smaller is better.  [default: by the name]")
@_list_option("--best", "Parameters of which each cell shows the best value, chosen by --by.")
@click.option("--by", metavar="NAME", help="The metric by which --best chooses, such as val_accuracy.")
@click.option("--bold", type=click.Choice(["best", "tied", "none"]), help="Which cells are bold.  [default: best]")
@click.option("--baseline", metavar="ROW", help="Test every row against this one.")
@click.option("--test", type=click.Choice(["wilcoxon", "permutation", "ttest"]), help="[default: wilcoxon]")
@click.option("--correct", "correction", type=click.Choice(["holm", "fdr", "none"]), help="[default: holm]")
@click.option("--scale", type=float, help="Multiply the values: 100 for percent.")
@click.option("--digits", metavar="auto|N", help="Decimals.  [default: auto]")
@click.option("--transpose", is_flag=True, help="Exchange rows and columns.")
@click.option("--sort", metavar="ORDER", help="grid, name, value, or a column: its best row first.  [default: grid]")
@click.option("--where", metavar="CONDITION", help='Only experiments with such parameters: "lr < 0.1".')
@_list_option("--allow", "Show the table although something is: missing, mixed, nan, open.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A .tex, .md, .html, .csv or .json file.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="table", show_default=True, help="How to print it."
)
def table_(studies: tuple[str, ...], output: Path | None, form: str, **options: Any) -> None:
    """
    Show a metric over parameters, as mean ± std over seeds.

    Each cell has all replicates of the newest grid, of the same settings and code, or the table is refused: exit
    status 1, with a line for each reason and the command that completes it.
    """
    from qexp.analysis.writers import check_table_file, write
    from qexp.client import Client
    from qexp.client.summaries import make, spec_of

    options["metrics"] = ",".join(options["metrics"])
    given = {name: value for name, value in options.items() if value not in (None, (), False) or name == "maximize"}
    if digits := given.get("digits"):
        given["digits"] = int(digits) if digits.isdigit() else digits
    spec = spec_of({"studies": studies, **given})
    if output is not None:
        check_table_file(output)
    made = make(Client(), spec)
    if output is not None:
        write(made, output)
        say(f"{output}: {len(made.rows)} rows, {len(made.columns)} columns")
    else:
        show(made, form)


def show(made: Table, form: str) -> None:
    """Print a table."""
    from qexp.analysis.writers import render
    from qexp.cli.paper_tables import summary_table

    if form == "table":
        console().print(summary_table(made))
    elif form == "json":
        data(render(made, form))
    else:
        exact(render(made, form))
