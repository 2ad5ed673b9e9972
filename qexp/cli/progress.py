"""Progress bars on stderr, of an enqueue and of a running study."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qexp.cli.output import console, say
from qexp.client import Client
from qexp.model import Status, duration, rate
from qexp.store.reads.study_progress import StudyProgress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_QUIET_INTERVAL = 30.0
"""Seconds between two lines if stderr is not a terminal."""


@contextmanager
def counting(total: int) -> Iterator[Callable[[str, int], None]]:
    """Yield a function that receives the progress of an enqueue; after a second it shows a bar on a terminal."""
    began = time.monotonic()
    tasks: dict[str, TaskID] = {}
    bar: Progress | None = None

    def update(what: str, number: int) -> None:
        nonlocal bar
        seconds = time.monotonic() - began
        if seconds <= 1 or not sys.stderr.isatty():
            return
        if bar is None:
            bar = _counter()
            bar.start()
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total, rate="")
        bar.update(tasks[what], completed=number, rate=f"{number / seconds:,.0f}/s")

    try:
        yield update
    finally:
        if bar is not None:
            bar.stop()


def _counter() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    return Progress(*columns, console=console(stderr=True))


def wait_with_progress(
    client: Client, study: str, timeout: float | None = None, check: Callable[[], None] = lambda: None
) -> StudyProgress:
    """Wait for a study with a live bar, or with lines in a log; call *check* at each poll."""
    show = _bar if sys.stderr.isatty() else _lines
    return show(client, study, timeout, check)


def _bar(client: Client, study: str, timeout: float | None, check: Callable[[], None]) -> StudyProgress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[news]}"),
    )
    with Progress(*columns, console=console(stderr=True), expand=True) as progress:
        task = progress.add_task(study, total=None, news="")

        def update(counts: StudyProgress) -> None:
            progress.update(task, completed=counts.closed, total=counts.total, news=_news(counts))

        return client.wait(study, update, timeout, check)


def _lines(client: Client, study: str, timeout: float | None, check: Callable[[], None]) -> StudyProgress:
    last = time.monotonic()

    def update(counts: StudyProgress) -> None:
        nonlocal last
        if counts.open and time.monotonic() - last > _QUIET_INTERVAL:
            last = time.monotonic()
            say(f"{study}: {counts.closed} of {counts.total} finished  {_news(counts)}")

    return client.wait(study, update, timeout, check)


def _news(counts: StudyProgress) -> str:
    failed = counts.counts[Status.FAILED]
    parts = [
        f"{counts.counts[Status.RUNNING]} running",
        f"{failed} failed" if failed else "",
        rate(counts.rate),
        f"{duration(counts.seconds_left)} left" if counts.seconds_left else "",
    ]
    return "  ".join(part for part in parts if part)
