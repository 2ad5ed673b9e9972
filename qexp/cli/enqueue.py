"""The command `qexp enqueue`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from qexp.cli.options import assignments_option, format_option
from qexp.cli.output import say, show_json, wrapped
from qexp.cli.terminal_writer import echo, reserve
from qexp.model import are, counted, them

if TYPE_CHECKING:
    from qexp.client import Enqueued
    from qexp.grid import Grid


@click.command()
@click.argument("grid", type=click.Path())
@assignments_option
@click.option("--dry-run", is_flag=True, help="Check the grid and show its experiments; needs no service.")
@format_option
def enqueue_(grid: str, assignments: tuple[str, ...], dry_run: bool, form: str) -> int:
    """
    Add the experiments of a grid and queue them for the workers.

    Enqueueing the same grid again adds only new experiments.

    \b
      qexp enqueue grid.yaml --dry-run
      qexp enqueue grid.yaml --set lr=1e-3,1e-4 --set settings.epochs=5
    """
    from qexp.cli.dry_run import preview
    from qexp.cli.main import INTERRUPTED
    from qexp.client.function_check import checked
    from qexp.grid import Grid

    reserve()
    loaded = Grid.load(grid, assignments)
    if dry_run:
        preview(checked(loaded), form)
        return 0
    try:
        done = enqueue_with_progress(loaded)
    except KeyboardInterrupt as error:
        say(wrapped(interrupt_text(error)))
        return INTERRUPTED
    if form == "json":
        show_json({**vars(done), "known": done.known})
        return 0
    echo(summary(done))
    if text := _next_step(done, loaded.file.queue):
        say(wrapped(text))
    return 0


def _next_step(done: Enqueued, queue: str) -> str:
    """Say who runs the experiments of an enqueue. Returns an empty text if none waits."""
    from qexp.client.explain import start_worker  # a late import, so that workers can start earlier

    number = done.announced or done.waiting
    if not number:
        return ""
    pending = f"{number:,} {are(number)} pending"
    if done.paused:
        return f"{pending}, as {done.study} is paused; 'qexp resume {done.study}' queues {them(number)}"
    if not done.announced:
        return f"{pending} until the queue has room; see 'qexp status {done.study}'"
    rest = f", {done.waiting:,} follow as workers empty the queue" if done.waiting else ""
    take = f"{counted(done.workers, 'worker')} {'takes' if done.workers == 1 else 'take'} {them(number)}"
    run = take if done.workers else f"run {them(number)} with '{start_worker(queue)}'"
    return f"{number:,} queued{rest}; {run}, watch {them(number)} with 'qexp status {done.study} --watch'"


def interrupt_text(error: KeyboardInterrupt) -> str:
    """Return the line about an interrupt, with its own text about what is stored."""
    return f"qexp: interrupted; {error}" if str(error) else "qexp: interrupted"


def enqueue_with_progress(grid: Grid, then: str = "") -> Enqueued:
    """
    Warn of likely mistakes in a grid, then enqueue it, with a progress bar if it takes long.

    *then* is the command that runs requeued experiments, if a warning should name it.
    """
    from qexp.client import Client
    from qexp.client.enqueue_notices import in_shell, limited, notices
    from qexp.client.function_check import checked
    from qexp.client.study_bars import delayed_bar

    grid = checked(grid)  # warnings depend on the function's annotations
    warn(limited(grid.warnings()))
    with delayed_bar(len(grid)) as progress:
        done = Client(keeps=True).enqueue(grid, progress)
    warn(notices(grid, done, in_shell(done.study, then)))
    if done.unarchived:
        say(wrapped(unarchived(done.study)))
    say_code(done.files, done.left_out)
    return done


def say_code(files: Mapping[str, str], data: Mapping[str, int], study: str = "") -> None:
    """Name the code files that changed, and the data files that a snapshot leaves out; *study* begins the lines."""
    from qexp.source import change_text, left_out_line

    if line := left_out_line(data):
        say(wrapped(f"{study}{line}"))
    if files:
        say(wrapped(f"{study}code that differs from the previous revision: {change_text(files)}"))


def warn(notices: Iterable[str]) -> None:
    for notice in notices:
        say(wrapped(f"warning: {notice}"))


def summary(done: Enqueued) -> str:
    """Return a line about the result of an enqueue."""
    return f"{done.study}: {counted(done.total, 'experiment')}, {done.new:,} new, {done.known:,} already there"


def unarchived(study: str) -> str:
    """Return a line about a study that was archived and has work again."""
    return f"{study} was archived; 'qexp status' shows it again"
