"""requeue, resume, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qexp.cli.options import format_option, selection_options, yes_option
from qexp.cli.output import confirm, say, show_json
from qexp.model import compact

if TYPE_CHECKING:
    from qexp.store.selectors import Selection


@click.command()
@selection_options()
@click.option("--fresh", is_flag=True, help="Begin anew, without the checkpoints of earlier attempts.")
@yes_option
@format_option
def requeue_(selection: Selection, fresh: bool, yes: bool, form: str) -> None:
    """
    Run experiments again that have ended; their earlier attempts and traces stay.

    \b
      qexp requeue digits --failed
      qexp requeue digits --error a1b2c3
      qexp requeue 17,19-23
    """
    from qexp.client import Client
    from qexp.store.selectors import require_narrow

    require_narrow(selection)
    client = Client()
    closed, _ = client.size(selection)
    confirm(f"{closed} experiments would run again.", closed, yes)
    done = client.requeue(selection, fresh)
    if form == "json":
        show_json({"requeued": done.ids, "still_open": done.still_open})
        return
    click.echo(f"{len(done.ids)} requeued{': ' + compact(done.ids) if done.ids else ''}")
    if done.still_open:
        say(f"{done.still_open} left alone: pending, queued or running already")


@click.command()
@selection_options()
@yes_option
@format_option
def resume_(selection: Selection, yes: bool, form: str) -> None:
    """Let experiments go on that have paused themselves; their checkpoints are there."""
    import dataclasses

    from qexp.client import Client
    from qexp.model import Status

    client = Client()
    paused = dataclasses.replace(selection, statuses=(Status.PAUSED,))
    number, _ = client.size(paused)
    confirm(f"{number} experiments would go on.", number, yes)
    done = client.requeue(paused)
    if form == "json":
        show_json({"resumed": done.ids})
        return
    click.echo(f"{len(done.ids)} resumed{': ' + compact(done.ids) if done.ids else ''}")


@click.command()
@selection_options()
@yes_option
@format_option
def cancel_(selection: Selection, yes: bool, form: str) -> None:
    """
    Take experiments out of the line that nothing runs yet; what runs comes to its end.

    'qexp requeue STUDY --status cancelled' takes them back.
    """
    from qexp.client import Client

    client = Client()
    _, waiting = client.size(selection)
    confirm(f"Up to {waiting} experiments would be cancelled.", waiting, yes)
    cancelled, running = client.cancel(selection)
    if form == "json":
        show_json({"cancelled": cancelled, "running": running})
        return
    click.echo(f"{len(cancelled)} cancelled{': ' + compact(cancelled) if cancelled else ''}")
    if running:
        say(f"{running} running come to their end")
