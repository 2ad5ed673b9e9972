"""The command `qexp plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qexp.analysis.plots.spec import (
    KINDS,
    LOGS,
    STYLES,
    PlotSpec,
    names_of,
    require_matplotlib,
    size_of,
)
from qexp.cli.options import selection_options
from qexp.cli.output import say
from qexp.cli.terminal_writer import echo

if TYPE_CHECKING:
    from qexp.store.selection.selectors import Selection


@click.command()
@selection_options()
@click.option("--kind", type=click.Choice(KINDS), default="line", show_default=True, help="The kind of picture.")
@click.option("-y", "--metric", required=True, metavar="NAME", help="A result; for a curve, a series.")
@click.option("--x", metavar="NAME", help="The parameter of the horizontal axis; for a scatter, a result too.")
@click.option("--by", metavar="NAME", help="A line, box or colour per value; for a heat map, the vertical axis.")
@click.option("--over", multiple=True, metavar="NAME[,NAME]", help="The replicates.  [default: seed]")
@click.option("--facet", metavar="NAME", help="A panel per value of this parameter.")
@click.option("--log", type=click.Choice(LOGS), default=None, help="Logarithmic axes.")
@click.option("--stat", "statistic", help="mean±std, sem, ci95, iqm or median.  [default: mean±std]")
@click.option(
    "--allow",
    metavar="open|mixed",
    help="Pool experiments that differ in other parameters (open), or in settings or code (mixed).",
)
@click.option("--title", help="A line above the picture.")
@click.option("--size", metavar="WxH", help="Width and height in inches, such as 6x4.")
@click.option(
    "--style", type=click.Choice(STYLES), default="paper", show_default=True, help="Sizes of letters and lines."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A .pdf, .svg or .png file.")
def plot_(
    selection: Selection,
    kind: str,
    metric: str,
    x: str | None,
    by: str | None,
    over: tuple[str, ...],
    facet: str | None,
    log: str | None,
    statistic: str | None,
    allow: str | None,
    title: str | None,
    size: str | None,
    style: str,
    output: Path,
) -> None:
    """
    Draw results over parameters, or series over steps.

    \b
      qexp plot digits -y accuracy --x C --by classifier --log x -o accuracy.pdf
      qexp plot digits --kind box -y accuracy --x classifier -o accuracy.svg
      qexp plot digits --kind curve -y loss --by lr -o loss.png

    The picture shows only done experiments; a line below it counts the others.
    """
    from qexp.client import Client
    from qexp.client.plotting import plot

    inches = size_of(size) if size is not None else None
    replicates = names_of(over) or None
    request = PlotSpec(kind, metric, x, by, replicates, facet, log or "", statistic, title, inches, style, allow or "")
    require_matplotlib()
    from qexp.analysis.plots.figure import check_target

    check_target(output)  # before Postgres is read
    picture = plot(Client(), selection, request)
    picture.save(output)
    for note in picture.notes:
        say(note)
    echo(f"{output}: {kind} of {metric}")
