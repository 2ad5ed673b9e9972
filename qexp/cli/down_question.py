"""Ask before the services are stopped under running experiments, or wait for the end of these."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from qexp.cli.output import say, wrapped
from qexp.model import compact, counted
from qexp.truncation import listed

if TYPE_CHECKING:
    from qexp.store.reads.workers import WorkerView

_NAMED = 3
"""The most studies whose experiments are named."""
_INTERVAL = 0.5


def confirm_stop(
    workers: Sequence[WorkerView], reread: Callable[[], Sequence[WorkerView]], wait: bool
) -> Sequence[WorkerView]:
    """
    Return the workers when the services may stop: none is busy, or the person agrees.

    Raises UsageError if a worker is busy and there is no terminal to ask. With *wait*, it waits instead.
    """
    if not (number := _running(workers)):
        return workers
    who = f"{counted(len(_busy(workers)), 'worker')} {'runs' if len(_busy(workers)) == 1 else 'run'} "
    what = f"{who}{counted(number, 'experiment')}: {_experiments(workers)}"
    if wait:
        with _stopping_nothing():
            say(wrapped(f"{what}; waiting for the end of all experiments that workers take, Ctrl-C stops waiting"))
            while _running(workers):
                time.sleep(_INTERVAL)
                workers = reread()
        return workers
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what}; wait for them with --wait, or stop the services now with -y")
    with _stopping_nothing():
        say(wrapped(f"{what}. They continue without the services, and their results wait in files until 'qexp up'."))
        agreed = click.confirm("Stop the services now?", err=True)
    if not agreed:
        say("nothing was stopped; 'qexp down --wait' waits for the experiments")
        raise SystemExit(2)
    return workers


@contextmanager
def _stopping_nothing() -> Iterator[None]:
    """Say after an interrupt that the services still run, and exit."""
    from qexp.cli.main import INTERRUPTED

    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        say("qexp: interrupted; the services still run")
        raise SystemExit(INTERRUPTED) from None


def say_what_remains(workers: Sequence[WorkerView]) -> None:
    """Say that workers continue without services."""
    if workers:
        names = listed([worker.name for worker in workers], _NAMED)
        verb = "waits" if len(workers) == 1 else "wait"
        say(wrapped(f"{counted(len(workers), 'worker')} {verb} for the services of the next 'qexp up': {names}"))


def _busy(workers: Sequence[WorkerView]) -> list[WorkerView]:
    return [worker for worker in workers if worker.busy]


def _running(workers: Sequence[WorkerView]) -> int:
    return sum(worker.busy for worker in workers)


def _experiments(workers: Sequence[WorkerView]) -> str:
    """Name the running experiments, by study."""
    found: dict[str, list[int]] = {}
    for worker in workers:
        for study, ids in worker.running.items():
            found.setdefault(study, []).extend(ids)
    return listed([f"{study} #{compact(sorted(ids))}" for study, ids in found.items()], _NAMED)
