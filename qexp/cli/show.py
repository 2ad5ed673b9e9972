"""The commands list, show, explain, errors and export."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qexp.cli.options import EXPERIMENT, WholeNumber, format_option, selection_options
from qexp.cli.output import console, say, show_json, status_text, wrapped
from qexp.cli.terminal_writer import echo, printable
from qexp.model import Status, compact, duration, plain
from qexp.units import size_text

if TYPE_CHECKING:
    from qexp.client import Client, ExperimentDetails
    from qexp.store.reads.experiment_rows import AttemptView, ExperimentView
    from qexp.store.selection.selectors import Selection


_SHOWN = 50


@click.command()
@selection_options()
@click.option(
    "--limit",
    type=WholeNumber("a whole number, or 0 for all", 0),
    help="The most to show; 0: all.  [default: 50 in a table]",
)
@click.option("--sort", multiple=True, metavar="NAME[,NAME]", help="By these columns; -NAME: the largest first.")
@format_option
def list_(selection: Selection, limit: int | None, sort: tuple[str, ...], form: str) -> None:
    """List experiments with their parameters and results."""
    from qexp.cli.listing_tables import experiment_table
    from qexp.client import Client

    client = Client()
    if form == "json":
        show_json([experiment_json(view) for view in client.experiments(selection, limit or None, sort)])
        return
    limit = _SHOWN if limit is None else limit
    views = client.experiments(selection, limit + 1 if limit else None, sort)
    if not views:
        say("no experiment matches")
        return
    shown = views[:limit] if limit else views
    parameters, results = names_of(client, shown)
    console().print(experiment_table(shown, parameters, results))
    if len(views) > len(shown):
        say(f"only the first {limit} are shown; --limit 0 shows all")


def names_of(client: Client, views: list[ExperimentView]) -> tuple[list[str], list[str]]:
    """Return the parameters and results that the studies of some experiments have, in order."""
    found = client.studies({view.study for view in views})
    parameters = dict.fromkeys(name for study in found for name in study.parameters)
    return list(parameters), list(dict.fromkeys(name for study in found for name in study.results))


def experiment_json(view: ExperimentView) -> dict[str, Any]:
    """Return an experiment as data."""
    return {**vars(view), "params": dict(view.params), "result": view.result and dict(view.result)}


@click.command()
@selection_options()
@format_option
def show_(selection: Selection, form: str) -> None:
    """Show all about an experiment: parameters, result, attempts and their tracebacks."""
    from qexp.client import Client

    shown = Client().show(selection)
    if form == "json":
        show_json([{**experiment_json(one.experiment), "attempts": one.attempts} for one in shown])
        return
    if not shown:
        say("no experiment matches")
    for number, one in enumerate(shown):
        if number:
            echo()
        _show(one)


def _show(one: ExperimentDetails) -> None:
    view = one.experiment
    out = console()
    head = status_text(view.status)
    if view.failure:
        head.append(f" ({view.failure})")
    out.print(f"[bold]{view.study} #{view.id}[/]  ", head, sep="", highlight=False)
    for title, values in (("parameters", view.params), ("result", view.result)):
        if values:
            echo(f"\n{title}")
            width = min(40, max(map(len, values)))
            for name, value in values.items():
                echo(f"  {name:{width}}  {shortened(plain(value))}")
    for attempt in one.attempts:
        echo(f"\n{attempt_line(attempt)}")
        echo(f"  {usage_line(attempt)}")
        if attempt.traceback:
            echo("  " + attempt.traceback.rstrip().replace("\n", "\n  "))
        elif attempt.error_type:
            echo(f"  {attempt.error_type}: {attempt.error_message}")
    if view.duration != view.last_attempt:
        last = duration(view.last_attempt)
        total = f"{duration(view.duration)} with the attempts whose checkpoints it used"
        echo(f"\nduration: {total}; the last attempt took {last}")
    if view.reason:
        echo(f"\n{view.status}: {view.reason}")
    if view.status is Status.PENDING and view.not_before:
        echo(f"\nthe next attempt is due at {view.not_before:%Y-%m-%d %H:%M:%S %Z}")
    if view.status is Status.RUNNING:
        echo(f"\nattempt {view.attempt}: running on {view.host} since {view.started_at:%Y-%m-%d %H:%M:%S %Z}")


_LONGEST = 2000


def shortened(text: str) -> str:
    """Return a value's text, cut to about a screen."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}… ({len(text):,} characters; --format json has all of them)"


def usage_line(attempt: AttemptView) -> str:
    """Return the resources and the code of an attempt on one line."""
    facts = [
        attempt.cpu_seconds is not None and f"cpu {duration(attempt.cpu_seconds)}",
        attempt.peak_memory is not None and f"memory {size_text(attempt.peak_memory)}",
        attempt.gpu_memory is not None and f"gpu memory {size_text(attempt.gpu_memory)}",
        attempt.energy_kwh is not None and f"energy {attempt.energy_kwh:.3g} kWh",
        attempt.exit_signal and f"ended by {attempt.exit_signal}",
        attempt.source and f"code {attempt.source[:12]}",
        attempt.git_commit and f"git {attempt.git_commit[:10]}{' with changes' * bool(attempt.git_dirty)}",
        attempt.python and f"Python {attempt.python}",
    ]
    return ", ".join(fact for fact in facts if fact)


def attempt_line(attempt: AttemptView) -> str:
    """Return an attempt's outcome, place and time on one line."""
    began = f"{attempt.started_at:%Y-%m-%d %H:%M:%S %Z}"
    return (
        f"attempt {attempt.number}: {attempt.outcome}, {began}, {duration(attempt.duration)} "
        f"on {attempt.host}, revision {attempt.revision}"
    )


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
@selection_options()
@format_option
def errors_(selection: Selection, form: str) -> None:
    """
    Group failures by error, each with the command to run them again.

    A group is the type of an exception and the lines of your code that it passed through.
    """
    from qexp.cli.listing_tables import error_blocks
    from qexp.client import Client

    groups = Client().errors(selection)
    plain = dataclasses.replace(selection, statuses=(), error=None)  # the selection without its filters for failures
    target = "" if plain.is_narrow else shlex.join(selection.targets)
    if form == "json":
        show_json([{**vars(group), "ids": compact(group.ids)} for group in groups])
    elif groups:
        console().print(error_blocks(groups, target))
    else:
        say("nothing has failed")


@click.command()
@selection_options()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A .csv, .parquet or .json file.")
def export_(selection: Selection, output: Path) -> None:
    """
    Write experiments to a .csv, .parquet or .json file: one row each, failed ones included.

    The columns are those of qexp.load: id, parameters, results, status, attempt, revision, host, started_at, duration,
    last_attempt, failure and error.
    """
    from qexp.client import Client

    rows, columns = Client().export(selection, output)
    echo(f"{output}: {rows} experiments, {columns} columns")
