"""The command `qexp debug`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from qexp.cli.options import EXPERIMENT
from qexp.cli.output import say, show_json
from qexp.cli.terminal_writer import echo, reserve
from qexp.errors import FunctionError, SourceError
from qexp.model import Failure

if TYPE_CHECKING:
    from qexp.client.debug_run import DebugRun


@click.command()
@click.argument("experiment", type=EXPERIMENT)
@click.option(
    "--live", is_flag=True, help="Use the code in the grid's folder as it is now, to test a change before a requeue."
)
@click.option("--pdb", is_flag=True, help="Stop in the debugger where an exception is raised.")
def debug_(experiment: int, live: bool, pdb: bool) -> int:
    """
    Run one experiment in this process and write nothing.

    It uses the code, the checkpoints and the context that a worker would use; breakpoint() works. At the end it lists
    the series, rows and artifacts that a real attempt would keep.

    \b
      qexp debug 17
      qexp debug 17 --live --pdb
    """
    from qexp.client.debug_run import DebugRun
    from qexp.functions.guarded_calls import must_propagate

    if not sys.stdout.isatty():  # a debugger needs the terminal as it is
        reserve()
    dry_run = DebugRun(experiment, live=live)
    say(f"{dry_run.claim.study} #{experiment} as attempt {dry_run.claim.attempt}, with {dry_run.code}")
    try:
        result = dry_run.run()
    except (FunctionError, SourceError):
        raise
    except BaseException as error:  # the command shows every exception of the function
        if must_propagate(error):
            raise
        _show(error, dry_run)
        if pdb:
            import pdb as debugger

            debugger.post_mortem(error.__traceback__)
        return 1
    for line in dry_run.records():
        say(line)
    show_json(result)
    return 0


def _show(error: BaseException, dry_run: DebugRun) -> None:
    from qexp.worker.attempt.failure import describe, relocated

    found = describe(error, Failure.ERROR, dry_run.folder)
    text = relocated(found.traceback or "", dry_run.folder, dry_run.claim.folder)
    echo(text.rstrip(), err=True)
