"""The command `qexp init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qexp.cli.options import format_option
from qexp.cli.output import say, show_json
from qexp.cli.terminal_writer import echo, reserve

if TYPE_CHECKING:
    from qexp.client.starter import Started


@click.command()
@click.argument("function", required=False)
@click.option("-o", "--output", default="grid.yaml", show_default=True, help="The grid to write.")
@format_option
def init_(function: str | None, output: str, form: str) -> None:
    """
    Write a first grid for a function, or an example.

    FUNCTION is FILE:NAME or MODULE:NAME, such as train.py:main. Its parameters become axes with the values that their
    annotations or defaults name. Without a FUNCTION, it also writes experiment.py, and 'qexp run grid.yaml' runs the
    example. It never changes a file.
    """
    from qexp.client.starter import start_from_function, start_from_nothing

    reserve()
    grid = Path(output)
    done = start_from_nothing(grid) if function is None else start_from_function(function, grid)
    if form == "json":
        show_json({"files": [str(file) for file in done.files], "fill_in": dict(done.to_fill_in)})
        return
    echo(f"wrote {' and '.join(str(file) for file in done.files)}")
    _say_next(done, shlex.quote(output))


def _say_next(done: Started, grid: str) -> None:
    if done.to_fill_in:
        places = ", ".join(f"{name} (line {line})" for name, line in done.to_fill_in.items())
        say(f"fill in the values of: {places}")
    commands = {f"qexp enqueue {grid} --dry-run": "show the experiments", f"qexp run {grid}": "run them here"}
    width = max(map(len, commands))
    say("then:" if done.to_fill_in else "next:")
    for command, effect in commands.items():
        say(f"  {command:{width}}   # {effect}")
