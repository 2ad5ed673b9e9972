"""The command `qexp run`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from qexp.cli.options import CONCURRENCY, assignments_option, format_option
from qexp.cli.output import console, say, show_json
from qexp.cli.terminal_writer import reserve

if TYPE_CHECKING:
    from qexp.client import Client
    from qexp.store.reads.study_progress import StudyProgress

_SHOWN = 50


@click.command()
@click.argument("grid", type=click.Path())
@assignments_option
@click.option("-c", "--concurrency", type=CONCURRENCY, help="Experiments at once; default: one per core.")
@format_option
def run_(grid: str, assignments: tuple[str, ...], concurrency: int | None, form: str) -> int:
    """
    Enqueue a grid, run it on this machine and show the results.

    It starts the embedded services if you have set no others. They keep running; 'qexp down' stops them.
    """
    from qexp import services, settings
    from qexp.cli.enqueue import enqueue_with_progress, summary
    from qexp.cli.progress import wait_with_progress
    from qexp.cli.status import exit_status
    from qexp.client import Client
    from qexp.client.function_check import checked
    from qexp.client.worker_subprocess import LocalWorker, ending_on_signals
    from qexp.grid import Grid

    reserve()
    loaded = Grid.load(grid, assignments)
    checked(loaded)  # before any service starts
    found, notices = services.up(settings.load_with_origins())
    for notice in notices:
        say(notice)
    if started := [service.name for service in found if service.changed]:
        say(f"started {' and '.join(started)}; stop with 'qexp down'")
    client = Client()
    done = enqueue_with_progress(loaded)
    say(summary(done))
    if client.counts(done.study)[0].open:
        children = concurrency or os.cpu_count() or 1
        with ending_on_signals() as interrupted, LocalWorker(client.settings, children, loaded.file.queue) as worker:

            def check() -> None:
                interrupted()
                worker.check()

            wait_with_progress(client, done.study, check=check)
    (counts,) = client.counts(done.study)
    _report(client, counts, form)
    return exit_status(counts)


def _report(client: Client, counts: StudyProgress, form: str) -> None:
    from qexp.cli.experiment_table import experiment_table
    from qexp.cli.listing import names_of
    from qexp.cli.show import experiment_json
    from qexp.cli.status import counts_json, ending
    from qexp.store.selection.selectors import Selection

    views = client.experiments(Selection(counts.study), None if form == "json" else _SHOWN)
    if form == "json":
        show_json({**counts_json(counts), "experiments": [experiment_json(view) for view in views]})
        return
    console().print(experiment_table(views, *names_of(client.studies([counts.study]))))
    if counts.total > len(views):
        say(f"only the first {len(views)} are shown; 'qexp list {counts.study} --limit 0' shows all")
    say(ending(counts))
