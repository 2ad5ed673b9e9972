"""The commands requeue, accept, resume, pause and cancel."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from qexp.cli.enqueue import unarchived
from qexp.cli.nothing_changed import say_why
from qexp.cli.options import format_option, is_one_name, selection_options, split_names, yes_option
from qexp.cli.output import confirm, say, show_json, wrapped
from qexp.cli.terminal_writer import echo
from qexp.errors import SelectorError
from qexp.model import CLOSED, OPEN, Status, compact
from qexp.truncation import listed

if TYPE_CHECKING:
    from qexp.client import Client
    from qexp.store.selection.selectors import Selection


@click.command()
@selection_options()
@click.option("--fresh", is_flag=True, help="Start from the beginning, without the checkpoints of earlier attempts.")
@yes_option
@format_option
def requeue_(selection: Selection, fresh: bool, yes: bool, form: str) -> None:
    """
    Run finished experiments again; their earlier attempts and tracebacks are kept.

    \b
      qexp requeue digits --failed
      qexp requeue digits --error a1b2c3
      qexp requeue 17,19-23
    """
    from qexp.cli.enqueue import say_code
    from qexp.client import Client
    from qexp.client.explain import start_worker
    from qexp.store.selection.selectors import require_narrow

    require_narrow(selection)
    client = Client()
    closed = client.count_by_status(selection).closed
    confirm(f"Run {closed} experiments{_of(client, selection)} again?", closed, yes)
    done = client.requeue(selection, fresh)
    if form == "json":
        show_json({"requeued": done.ids, "still_open": done.still_open, "code": done.code})
        return
    for code in done.code:
        say_code(code.files, code.left_out, f"{code.study}: ")
    echo(f"{len(done.ids)} requeued{': ' + compact(done.ids) if done.ids else ''}")
    for study in done.unarchived:
        say(unarchived(study))
    if not done.ids:
        say_why(client, selection, CLOSED, "requeued")
    elif done.note:
        say(done.note)
    for queue in done.unserved_queues:
        say(wrapped(f"no worker takes them; start one with '{start_worker(queue)}', or run their grid with 'qexp run'"))


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
    from qexp.client import Client
    from qexp.store.selection.selectors import require_group

    require_group(selection)
    if selection.statuses not in ((), (Status.FAILED,)):
        raise SelectorError(f"--status: found {', '.join(selection.statuses)}, expected failed or nothing")
    client = Client()
    number = client.count_by_status(dataclasses.replace(selection, statuses=(Status.FAILED,))).total
    confirm(
        f"Accept the kept parts of {number} experiments{_of(client, selection)} as their results?",
        number,
        yes,
    )
    done = client.accept(selection)
    if form == "json":
        show_json({"accepted": done.ids, "without_result": done.empty})
        return
    echo(f"{len(done.ids)} accepted{': ' + compact(done.ids) if done.ids else ''}")
    if not done.ids and not done.empty:
        say_why(client, selection, (Status.FAILED,), "accepted")
    if done.note:
        say(done.note)


@click.command()
@selection_options()
@yes_option
@format_option
def resume_(selection: Selection, yes: bool, form: str) -> None:
    """
    Resume paused studies, or experiments that paused themselves.

    A study's name alone does both. Experiments that paused themselves continue from their checkpoints.

    \b
      qexp resume lenet
      qexp resume 17,19-23
    """
    from qexp.client import Client

    client = Client()
    named = [] if selection.is_narrow or not selection.targets else client.matching(selection.targets)
    resumed = [study.name for study in named if client.resume(study.name)]
    paused = dataclasses.replace(selection, statuses=(Status.PAUSED,))
    number = client.count_by_status(paused).total
    confirm(f"Resume {number} experiments{_of(client, selection)}?", number, yes)
    done = client.requeue(paused)
    if form == "json":
        alone = resumed[0] if selection.study is not None and resumed else None
        show_json({"study": alone, "studies": resumed, "resumed": done.ids})
        return
    for study in resumed:
        echo(f"{study} is resumed")
    if resumed and not done.ids:
        return
    echo(f"{len(done.ids)} resumed{': ' + compact(done.ids) if done.ids else ''}")
    for row in named:
        say(f"the study {row.name} was not paused")
    if not done.ids:
        say_why(client, selection, (Status.PAUSED,), "resumed")


@click.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@click.option("--reason", help="The reason that 'qexp status' and 'qexp explain' show.")
@format_option
def pause_(studies: tuple[str, ...], reason: str | None, form: str) -> None:
    """
    Pause studies: their running experiments are given back.

    Workers start none of its experiments. Running attempts may save, and end a few seconds later; this costs no
    retry. 'qexp resume STUDY' resumes it.
    """
    from qexp.client import Client
    from qexp.store.selection.selectors import Selection

    client = Client()
    done = {study.name: client.pause(study.name, reason) for study in client.matching(split_names(studies))}
    if form == "json":
        found = [{"study": study, "paused": new} for study, new in done.items()]
        show_json(found[0] if is_one_name(studies) else found)
        return
    for study, new in done.items():
        echo(f"{study} is {'' if new else 'already '}paused; resume it with 'qexp resume {study}'")
        if not client.count_by_status(Selection(study)).open:
            say(f"none of the experiments of {study} waits or runs now")


@click.command()
@selection_options()
@click.option("--reason", help="The reason that 'qexp show' gives.")
@yes_option
@format_option
def cancel_(selection: Selection, reason: str | None, yes: bool, form: str) -> None:
    """
    Cancel experiments that wait or run; finished ones stay as they are.

    Running attempts are told to stop, and are killed a few seconds later. 'qexp requeue STUDY --status cancelled'
    runs the experiments again.

    \b
      qexp cancel lenet --where "lr > 0.1"
      qexp cancel lenet --orphaned
    """
    from qexp.client import Client

    client = Client()
    still_open = client.count_by_status(selection).open
    confirm(f"Cancel {still_open} experiments{_of(client, selection)}?", still_open, yes)
    done = client.cancel(selection, reason)
    if form == "json":
        show_json({"cancelled": done.ids, "running": done.running})
        return
    echo(f"{len(done.ids)} cancelled{': ' + compact(done.ids) if done.ids else ''}")
    if not done.ids:
        say_why(client, selection, OPEN, "cancelled")
    if done.note:
        say(done.note)


def _of(client: Client, selection: Selection) -> str:
    """Name the studies that a pattern or several names chose, in a question before a change."""
    if not selection.studies:
        return ""
    names = [study.name for study in client.matching(selection.studies)]
    return f" of {'the study' if len(names) == 1 else 'the studies'} {listed(names, 5)}"
