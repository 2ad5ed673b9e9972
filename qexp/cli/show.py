"""The commands show, explain, errors and export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qexp.cli.options import EXPERIMENT, data_file_option, format_option, selection_options
from qexp.cli.output import print_csv, say, show_json, wrapped
from qexp.cli.terminal_writer import echo, printable
from qexp.errors import NoTablesError
from qexp.model import compact

if TYPE_CHECKING:
    from qexp.client import ExperimentDetails
    from qexp.store.reads.experiment_rows import ExperimentView
    from qexp.store.reads.running_experiments import RunningExperiment
    from qexp.store.selection.selectors import Selection


_GROUPS = 20
"""The most error groups that are shown if no study was named."""


def experiment_json(view: ExperimentView) -> dict[str, Any]:
    """Return an experiment as data."""
    return {**vars(view), "params": dict(view.params), "result": view.result and dict(view.result)}


def running_json(running: RunningExperiment | None) -> dict[str, Any] | None:
    """Return how far a running experiment is as data, with the line that tables show."""
    return None if running is None else {**asdict(running), "progress": running.progress}


def details_json(one: ExperimentDetails) -> dict[str, Any]:
    """Return everything about an experiment as data."""
    return {
        **experiment_json(one.experiment),
        "function": one.revision.function,
        "settings": one.revision.settings,
        "newest": {"revision": one.newest.number, "function": one.newest.function, "settings": one.newest.settings},
        "attempts": one.attempts,
        "running": running_json(one.running),
    }


@click.command()
@selection_options()
@format_option
def show_(selection: Selection, form: str) -> None:
    """
    Show all about an experiment: parameters, settings, result, attempts and their tracebacks.

    The settings are those of the revision that the last attempt ran, with those of the newest one where they differ.
    Tracebacks leave out frames of qexp.

    \b
      qexp show 17
      qexp show lenet --where "lr = 0.1" --format json
    """
    from qexp.cli.experiment_details import show
    from qexp.client import Client

    shown = Client().show(selection)
    if form == "json":
        show_json([details_json(one) for one in shown])
        return
    if not shown:
        say("no experiment matches")
    for number, one in enumerate(shown):
        if number:
            echo()
        show(one)


@click.command()
@click.argument("experiment", type=EXPERIMENT)
@format_option
def explain_(experiment: int, form: str) -> None:
    """
    Say why an experiment is in its state, and how to change it.

    It works while the broker is down, and writes nothing.
    """
    from qexp.client import Client

    found = Client().explain(experiment)
    if form == "json":
        show_json(found)
        return
    echo(f"{found.study} #{found.id}  {found.status}")
    for sentence in found.sentences:
        echo(wrapped(printable(sentence.text)))
        if sentence.command:
            echo(f"  {sentence.command}  # {sentence.effect}")
    if found.history:
        echo(f"attempts: {wrapped(found.history, len('attempts: '))}")


@click.command()
@selection_options(required=False)
@format_option
def errors_(selection: Selection, form: str) -> None:
    """
    Group failures by error, each with the command to run them again.

    A group is the type of an exception, the functions of your code that it passed through, and the statement that
    raised it. The message is the newest one; others of the same statement follow. Without a name, the largest groups of
    all studies are shown.

    \b
      qexp errors lenet
      qexp errors lenet --since '6 hours' --host 'node*'
    """
    from qexp.client import Client

    try:
        groups = Client().errors(selection)
    except NoTablesError:
        if selection.names_some:
            raise
        groups = []
    if form == "json":
        show_json([{**vars(group), "ids": compact(group.ids)} for group in groups])
    elif groups:
        from qexp.cli.error_listing import print_groups

        shown = groups if selection.names_some else groups[:_GROUPS]
        print_groups(shown)
        if len(shown) < len(groups):
            say(f"only the {len(shown)} largest of {len(groups):,} groups are shown; name a study to see its groups")
    else:
        say("nothing has failed")


@click.command()
@selection_options()
@data_file_option
def export_(selection: Selection, output: str | None) -> None:
    """
    Write experiments to a .csv, .parquet or .json file, or as CSV to standard output: one row each, also failed ones.

    The columns are those of qexp.load: id, parameters, results, status, attempt, revision, host, started_at, duration,
    last_attempt, failure and error.

    \b
      qexp export lenet -o lenet.csv
      qexp export lenet --where "lr > 0.1" -o lenet.parquet
      qexp export lenet -o - | head
    """
    from qexp.client import Client

    if output is None:
        raise click.UsageError("expected a file to write, such as -o results.csv, or -o - for standard output")
    rows, columns = Client().export(selection, print_csv if output == "-" else Path(output))
    if output != "-":
        echo(f"{output}: {rows} experiments, {columns} columns")
