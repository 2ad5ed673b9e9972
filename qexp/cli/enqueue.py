"""enqueue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qexp.cli.options import format_option
from qexp.cli.output import say, show_json
from qexp.model import describe

if TYPE_CHECKING:
    from qexp.client import Enqueued
    from qexp.grid import Grid


@click.command()
@click.argument("grid", type=click.Path())
@click.option("--dry-run", is_flag=True, help="Only check the grid and show what it holds; needs no service.")
@format_option
def enqueue_(grid: str, dry_run: bool, form: str) -> None:
    """
    Add the experiments of a grid and announce them to the workers.

    Enqueueing the same grid again adds only what is new.
    """
    from qexp.client.checking import checked
    from qexp.grid import Grid

    loaded = Grid.load(grid)
    if dry_run:
        _preview(checked(loaded), form)
        return
    done = enqueue_with_progress(loaded)
    if form == "json":
        show_json({**vars(done), "known": done.known})
        return
    click.echo(summary(done))
    if done.announced:
        say(
            f"{done.announced} announced; run them with 'celery -A qexp worker', "
            f"watch them with 'qexp status {done.study} --watch'"
        )


def enqueue_with_progress(grid: Grid) -> Enqueued:
    """Enqueue a grid, saying first what in it looks like a mistake."""
    from qexp.client import Client

    for warning in grid.warnings():
        say(f"warning: {warning}")
    return Client().enqueue(grid)


def summary(done: Enqueued) -> str:
    """Return the line that says what enqueueing did."""
    return f"{done.study}: {done.total} experiments, {done.new} new, {done.known} already there"


def _preview(grid: Grid, form: str) -> None:
    rows = list(grid)
    if form == "json":
        show_json({"study": grid.study, "total": len(rows), "first": rows[0], "last": rows[-1]})
        return
    for warning in grid.warnings():
        say(f"warning: {warning}")
    click.echo(f"{grid.study}: {len(rows)} experiments (dry run, nothing written)")
    click.echo(f"  first  {describe(rows[0])}")
    click.echo(f"  last   {describe(rows[-1])}")
