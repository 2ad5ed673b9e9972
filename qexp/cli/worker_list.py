"""The command `qexp workers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qexp.analysis.column_fitting import TableColumn
from qexp.analysis.text_layout import StyledText
from qexp.cli.options import format_option
from qexp.cli.output import console, say, show_json, table, wrapped
from qexp.model import ago, compact

if TYPE_CHECKING:
    from rich.console import RenderableType

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
        say(wrapped("* marks the leader: this worker also queues experiments, and recovers those of silent workers"))
    if all(worker.stopped_at for worker in found):
        say(_NONE)


def _table(found: list[WorkerView]) -> RenderableType:
    running = [", ".join(f"{study} #{compact(ids)}" for study, ids in worker.running.items()) for worker in found]
    return table(
        [
            TableColumn("name", [worker.name + " *" * worker.leads for worker in found], cut=True),
            TableColumn("state", [_state(worker) for worker in found]),
            TableColumn("since", [ago(worker.age) for worker in found], 3),
            TableColumn("last seen", [ago(worker.silence) for worker in found], 2),
            TableColumn("queues", [",".join(worker.queues) for worker in found], 4, cut=True),
            TableColumn("running", running, 1, cut=True),
        ]
    )


def _state(worker: WorkerView) -> StyledText:
    from qexp.store.reads.workers import WorkerState

    styles = {
        WorkerState.BUSY: "cyan",
        WorkerState.SILENT: "bold red",
        WorkerState.QUARANTINED: "bold red",
        WorkerState.LOST: "red",
        WorkerState.STOPPED: "dim",
    }
    text = f"busy {worker.busy}/{worker.concurrency}" if worker.state is WorkerState.BUSY else worker.state
    return StyledText(text, styles.get(worker.state, ""))
