"""The command `qexp workers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qexp.cli.options import format_option
from qexp.cli.output import console, headings, say, show_json, table
from qexp.model import ago, compact

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from qexp.store.reads.workers import WorkerView

_STOPPED = 20
"""The most stopped workers that are shown."""
_NONE = "no worker is running; start one with 'celery -A qexp worker'"


@click.command()
@click.option("--all", "every", is_flag=True, help=f"Also the {_STOPPED} that stopped last.")
@format_option
def workers_(every: bool, form: str) -> None:
    """
    List the workers: host, state, experiments, last heartbeat.

    A worker is silent if its last heartbeat is older than the setting 'lease'. The leader then counts it as lost, and
    other workers run its experiments.
    """
    from qexp.client import Client

    found = Client().workers(stopped=_STOPPED if every else 0)
    if form == "json":
        show_json(found)
        return
    if found:
        console().print(_table(found))
    if any(worker.leads for worker in found):
        say("* is the leader: it queues experiments that are due and recovers those of silent workers")
    if all(worker.stopped_at for worker in found):
        say(_NONE)


def _table(found: list[WorkerView]) -> Table:
    names = ["name", "state", "since", "last seen", "queues", "running"]
    rows: list[list[str | Text]] = [
        [
            worker.name + " *" * worker.leads,
            _state(worker),
            ago(worker.age),
            ago(worker.silence),
            ",".join(worker.queues),
            ", ".join(f"{study} #{compact(ids)}" for study, ids in worker.running.items()),
        ]
        for worker in found
    ]
    return table(headings(*names, cut=["name", "queues", "running"]), rows)


def _state(worker: WorkerView) -> Text:
    from rich.text import Text

    from qexp.store.reads.workers import WorkerState

    styles = {
        WorkerState.BUSY: "cyan",
        WorkerState.SILENT: "bold red",
        WorkerState.QUARANTINED: "bold red",
        WorkerState.LOST: "red",
        WorkerState.STOPPED: "dim",
    }
    text = f"busy {worker.busy}/{worker.concurrency}" if worker.state is WorkerState.BUSY else worker.state
    return Text(text, style=styles.get(worker.state, ""))
