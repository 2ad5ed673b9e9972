"""requeue, accept, resume, pause, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qexp.cli.options import format_option, selection_options, yes_option
from qexp.cli.output import confirm, say, show_json
from qexp.cli.terminal import echo
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
    echo(f"{len(done.ids)} requeued{': ' + compact(done.ids) if done.ids else ''}")
    if done.still_open:
        say(f"{done.still_open} left alone: pending, queued or running already")


@click.command()
@selection_options()
@yes_option
@format_option
def accept_(selection: Selection, yes: bool, form: str) -> None:
    """
    Accept the kept parts of failed experiments as their results.

    An attempt fails if a part of its result is not data; the other parts are kept. If you need not run it again, accept
    them: they become the result, and the experiment is done. This also takes parts that a function recorded before it
    failed for another reason. The attempts keep their errors.

    \b
      qexp accept digits --error a1b2c3
      qexp accept 17,19-23
    """
    import dataclasses

    from qexp.client import Client
    from qexp.errors import SelectorError
    from qexp.model import Status
    from qexp.store.selectors import require_group

    require_group(selection)
    if selection.statuses not in ((), (Status.FAILED,)):
        raise SelectorError(f"--status: found {', '.join(selection.statuses)}, expected failed or nothing")
    client = Client()
    number, _ = client.size(dataclasses.replace(selection, statuses=(Status.FAILED,)))
    confirm(f"{number} experiments would be done, with the results that they have kept.", number, yes)
    done = client.accept(selection)
    if form == "json":
        show_json({"accepted": done.ids, "without_result": done.empty})
        return
    echo(f"{len(done.ids)} accepted{': ' + compact(done.ids) if done.ids else ''}")
    if done.empty:
        say(f"{len(done.empty)} unchanged, since they have kept nothing: {compact(done.empty)}")


@click.command()
@selection_options()
@yes_option
@format_option
def resume_(selection: Selection, yes: bool, form: str) -> None:
    """
    Let a paused study, or experiments that have paused, go on.

    A study's name alone does both; the checkpoints of experiments that have paused themselves are there.
    """
    import dataclasses

    from qexp.client import Client
    from qexp.model import Status

    client = Client()
    study = selection.study if not selection.is_narrow and selection.study and client.resume(selection.study) else None
    paused = dataclasses.replace(selection, statuses=(Status.PAUSED,))
    number, _ = client.size(paused)
    confirm(f"{number} experiments would go on.", number, yes)
    done = client.requeue(paused)
    if form == "json":
        show_json({"study": study, "resumed": done.ids})
        return
    if study is not None:
        echo(f"{study} goes on")
    if study is not None and not done.ids:
        return
    echo(f"{len(done.ids)} resumed{': ' + compact(done.ids) if done.ids else ''}")


@click.command()
@click.argument("study")
@click.option("--reason", help="What 'qexp status' and 'qexp explain' say.")
@format_option
def pause_(study: str, reason: str | None, form: str) -> None:
    """
    Let a study rest: nothing of it begins, what runs is given back.

    Attempts that run are asked to save and leave, and ended a few seconds later; nothing is charged. 'qexp resume
    STUDY' lets it go on.
    """
    from qexp.client import Client

    client = Client()
    new = client.pause(study, reason)
    if form == "json":
        show_json({"study": study, "paused": new})
        return
    echo(f"{study} rests{'' if new else ' already'}; 'qexp resume {study}' lets it go on")


@click.command()
@selection_options()
@click.option("--reason", help="What 'qexp show' says of them.")
@yes_option
@format_option
def cancel_(selection: Selection, reason: str | None, yes: bool, form: str) -> None:
    """
    End experiments that wait or run; what has ended stays as it is.

    Attempts that run are asked to leave, and ended a few seconds later. 'qexp requeue STUDY --status cancelled' takes
    them back.
    """
    from qexp.client import Client

    client = Client()
    _, still_open = client.size(selection)
    confirm(f"{still_open} experiments would be cancelled.", still_open, yes)
    done = client.cancel(selection, reason)
    if form == "json":
        show_json({"cancelled": done.ids, "running": done.running})
        return
    echo(f"{len(done.ids)} cancelled{': ' + compact(done.ids) if done.ids else ''}")
    if done.running:
        say(f"{len(done.running)} of them running; their workers end them within seconds")
