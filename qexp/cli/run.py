"""The command `qexp run`."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from qexp.cli.options import CONCURRENCY, assignments_option, format_option
from qexp.cli.output import console, say, show_json, wrapped
from qexp.cli.terminal_writer import reserve
from qexp.errors import NoTablesError, ServiceError, UnknownStudyError

if TYPE_CHECKING:
    from qexp.client import Client, Enqueued
    from qexp.store.reads.study_progress import StudyProgress
    from qexp.store.reads.waiting_beside import WaitingBeside

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

    Its worker runs this grid only, also if experiments of other studies wait on the same queue. Ctrl-C stops it:
    running experiments have 2 s to finish, then they are given back. A second Ctrl-C does not wait.
    """
    from qexp import services, settings
    from qexp.cli.enqueue import enqueue_with_progress, interrupt_text, summary
    from qexp.cli.main import INTERRUPTED
    from qexp.cli.status import exit_status
    from qexp.client import Client
    from qexp.client.function_check import checked
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
    command = _command(grid, assignments, concurrency, form)
    try:
        done = enqueue_with_progress(loaded, then=command)
        say(summary(done))
        _work(client, done, concurrency or os.cpu_count() or 1)
    except KeyboardInterrupt as error:
        if str(error):  # it says what the enqueue has stored
            say(wrapped(f"{interrupt_text(error)}; go on with '{command}'"))
            return INTERRUPTED
        return _interrupted(client, loaded.study, command)
    counts = _of_grid(client, loaded.study)
    _report(client, counts, form)
    return exit_status(counts)


def _of_grid(client: Client, study: str) -> StudyProgress:
    """Return the progress of a study without the experiments that its grid no longer has."""
    from qexp.store.selection.selectors import Selection

    (counts,) = client.counts(study)
    return dataclasses.replace(counts, counts=client.count_by_status(Selection(study, current=True)))


def _work(client: Client, enqueued: Enqueued, children: int) -> None:
    """Run the open experiments of a study, unless it is paused."""
    from qexp.cli.progress import wait_with_progress
    from qexp.client.worker_subprocess import INTERRUPTED_FINISH_TIME, LocalWorker, ending_on_signals
    from qexp.model import CLOSED, Counts

    study = enqueued.study
    if client.counts(study)[0].is_settled:
        return
    if text := _beside(client.waiting_beside(study)):
        say(wrapped(text))
    with (
        ending_on_signals(once=True) as interrupted,
        LocalWorker(client.settings, children, study, interrupted) as worker,
    ):

        def check() -> None:
            interrupted()
            worker.check()

        try:
            ended = Counts({status: enqueued.orphans[status] for status in CLOSED})
            wait_with_progress(client, study, check=check, left_out=ended)
        except KeyboardInterrupt:
            finish = f"running experiments have {INTERRUPTED_FINISH_TIME:g} s to finish, then they are given back"
            say(wrapped(f"stopping: {finish}; Ctrl-C again ends at once"))
            raise


def _beside(found: WaitingBeside) -> str:
    """Return a line about the experiments of other studies on the same queue. Returns an empty text if none waits."""
    from qexp.model import DEFAULT_QUEUE, counted, them

    if not found.experiments:
        return ""
    many, whom = counted(found.experiments, "experiment"), them(found.experiments)
    others = "1 other study" if found.studies == 1 else f"{found.studies:,} other studies"
    waits = "waits" if found.experiments == 1 else "wait"
    option = "" if found.queue == DEFAULT_QUEUE else f" -q {found.queue}"
    hint = f"; the workers of this queue run {whom} too" if found.served else f"; 'qexp worker{option}' runs {whom}"
    return f"{many} of {others} {waits} on queue {found.queue}{hint}"


def _command(grid: str, assignments: Sequence[str], concurrency: int | None, form: str) -> str:
    """Return the command line of this run."""
    options = [part for assignment in assignments for part in ("--set", assignment)]
    options += [] if concurrency is None else ["-c", str(concurrency)]
    options += [] if form == "table" else ["--format", form]
    return shlex.join(["qexp", "run", grid, *options])


def _interrupted(client: Client, study: str, command: str) -> int:
    """Say how many experiments of a study are left and how to go on, and return the exit status."""
    from qexp.cli.main import INTERRUPTED
    from qexp.cli.status import ending

    try:
        counts = _of_grid(client, study)
    except (UnknownStudyError, NoTablesError):
        say("qexp: interrupted; nothing was enqueued")
        return INTERRUPTED
    except ServiceError:  # the study may be there, but this run cannot know
        say(f"qexp: interrupted; go on with {command!r}")
        return INTERRUPTED
    left = f"{counts.open} of {counts.total} experiments {'is' if counts.open == 1 else 'are'} left"
    say(wrapped(f"{study}: {left}; go on with '{command}'") if counts.open else ending(counts))
    return INTERRUPTED


def _report(client: Client, counts: StudyProgress, form: str) -> None:
    from qexp.cli.experiment_table import experiment_table
    from qexp.cli.show import experiment_json
    from qexp.cli.status import counts_json, ending
    from qexp.client import missing_results
    from qexp.store.reads.study_rows import value_names
    from qexp.store.selection.selectors import Selection

    views = client.experiments(Selection(counts.study, current=True), None if form == "json" else _SHOWN)
    if form == "json":
        show_json({**counts_json(counts), "experiments": [experiment_json(view) for view in views]})
        return
    console().print(experiment_table(views, *value_names(client.studies([counts.study]))))
    if counts.total > len(views):
        say(f"only the first {len(views)} are shown; 'qexp list {counts.study} --current --limit 0' shows all")
    say(ending(counts))
    if text := missing_results.note(client, counts.study):
        say(wrapped(text))
