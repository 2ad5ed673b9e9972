"""workers, doctor: who runs experiments, and whether all of it hangs together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from qexp.cli.options import format_option
from qexp.cli.output import console, headings, say, show_json, table, wrapped
from qexp.cli.terminal import printable, visible
from qexp.model import ago, compact

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from qexp.client.doctor import Finding
    from qexp.store.workers import WorkerView

_STOPPED = 20
"""How many of the workers that have stopped are shown."""
_NONE = "no worker is running; start one with 'celery -A qexp worker'"


@click.command()
@click.option("--all", "every", is_flag=True, help=f"Also the {_STOPPED} that stopped last.")
@format_option
def workers_(every: bool, form: str) -> None:
    """
    List the workers: host, start, state, experiments, last heartbeat.

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

    from qexp.store.workers import State

    styles = {
        State.BUSY: "cyan",
        State.SILENT: "bold red",
        State.QUARANTINED: "bold red",
        State.LOST: "red",
        State.STOPPED: "dim",
    }
    text = f"busy {worker.busy}/{worker.concurrency}" if worker.state is State.BUSY else worker.state
    return Text(text, style=styles.get(worker.state, ""))


@click.command()
@format_option
def doctor_(form: str) -> int:
    """
    Check every part of qexp, with the command that repairs it.

    It checks settings, Postgres, broker, embedded services, workers, queues, functions, artifacts and disks. ✓: good,
    !: may become a problem, ✗: a problem, -: skipped, because it needs a part that failed. The doctor writes only a
    small file among the artifacts, and deletes it. No check waits much longer than 'connect_timeout'.

    Exit status: 0 without ✗, 3 if a service does not answer, otherwise 2.
    """
    from qexp.client import doctor

    findings = doctor.examine()
    if form == "json":
        found = list(findings)
        show_json(found)
    else:
        found = list(_shown(findings))
    status = doctor.exit_status(found)
    if not status:
        say("nothing is broken")
    return status


_MARKS = {"ok": ("✓", "green"), "warning": ("!", "bold yellow"), "failed": ("✗", "bold red")}
_NAMES = len("connections")
_INDENT = 2 + _NAMES + 2


def _shown(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Print findings as they come and pass them on; those that were skipped for the same reason share a line."""
    skipped: list[Finding] = []
    for finding in findings:
        if skipped and finding.found != skipped[0].found:
            _print_skipped(skipped)
            skipped = []
        if finding.verdict == "skipped":
            skipped.append(finding)
        else:
            _print(finding)
        yield finding
    if skipped:
        _print_skipped(skipped)


def _print_skipped(skipped: list[Finding]) -> None:
    text = f"{skipped[0].found}: {', '.join(finding.name for finding in skipped)}"
    console().print(f"- {'skipped':{_NAMES}}  {wrapped(text, _INDENT)}", style="dim", soft_wrap=True, highlight=False)


def _print(finding: Finding) -> None:
    from rich.text import Text

    mark, style = _MARKS[finding.verdict]
    line = Text()
    line.append(mark, style=style)
    line.append(f" {finding.name:{_NAMES}}  {wrapped(printable(finding.found), _INDENT)}")
    for title, given in (("expected", finding.expected), ("repair", finding.repair)):
        if given:
            text = visible(given)
            line.append(f"\n{'':{_INDENT}}{title:8}  ", style="dim")
            line.append(wrapped(text, _INDENT + 10) if title == "expected" else text)
    console().print(line, soft_wrap=True)
