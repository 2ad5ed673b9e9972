"""The commands diff and grid."""

from __future__ import annotations

import click

from qexp.cli.options import assignments_option, format_option
from qexp.cli.output import say, show_json, wrapped
from qexp.cli.terminal_writer import echo, reserve
from qexp.model import plain
from qexp.truncation import shortened


@click.command()
@click.argument("grid", type=click.Path())
@assignments_option
@format_option
def diff_(grid: str, assignments: tuple[str, ...], form: str) -> None:
    """
    Show what enqueueing a grid would change; writes nothing.

    \b
      qexp diff grid.yaml
      qexp diff grid.yaml --set lr=1e-3,1e-4
    """
    from qexp.client import Client
    from qexp.client.enqueue_notices import in_shell, orphans
    from qexp.grid import Grid
    from qexp.source import change_text

    reserve()
    found = Client().compare(Grid.load(grid, assignments))
    if form == "json":
        show_json(vars(found))
        return
    echo(f"{found.study}: {found.new} new, {found.kept} kept, {found.orphaned} no longer in the grid")
    for name, (before, after) in found.changes.items():
        if name != "text":
            echo(f"  {name}: {_shown(before)} -> {_shown(after)}")
    if found.files:
        echo(f"    {wrapped(change_text(found.files), indent=6)}")
    if found.texts:
        echo(f"  {wrapped(f'files that are no code: {change_text(found.texts)}', indent=4)}")
    if found.orphaned:
        say(wrapped(f"once this grid is enqueued, {orphans(found.orphans, in_shell(found.study))}"))


def _shown(value: object) -> str:
    return "nothing" if value is None else shortened(plain(value), 60)


@click.group()
def grid_() -> None:
    """Help with writing grid files."""


@grid_.command(short_help="Print the JSON schema of grid files, for editors.")
def schema() -> None:
    """Print the JSON schema of grid files, with which editors complete and check them."""
    from qexp.grid import json_schema

    show_json(json_schema())
