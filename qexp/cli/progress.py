"""A progress bar on stderr while a study runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

from qexp.cli.output import console, duration, rate, say
from qexp.client import Client
from qexp.model import Status
from qexp.store.reports import Counts

_QUIET_INTERVAL = 30.0
"""Seconds between lines where stderr is no screen."""


def wait_with_progress(
    client: Client, study: str, timeout: float | None = None, check: Callable[[], None] = lambda: None
) -> Counts:
    """Wait for a study with a live bar, or a line now and then in a log; *check* is called at each look."""
    show = _bar if sys.stderr.isatty() else _lines
    return show(client, study, timeout, check)


def _bar(client: Client, study: str, timeout: float | None, check: Callable[[], None]) -> Counts:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[news]}"),
    )
    with Progress(*columns, console=console(stderr=True), expand=True) as progress:
        task = progress.add_task(study, total=None, news="")

        def update(counts: Counts) -> None:
            check()
            progress.update(task, completed=counts.closed, total=counts.total, news=_news(counts))

        return client.wait(study, update, timeout=timeout)


def _lines(client: Client, study: str, timeout: float | None, check: Callable[[], None]) -> Counts:
    said = time.monotonic()

    def update(counts: Counts) -> None:
        nonlocal said
        check()
        if counts.open and time.monotonic() - said > _QUIET_INTERVAL:
            said = time.monotonic()
            say(f"{study}: {counts.closed} of {counts.total} ended  {_news(counts)}")

    return client.wait(study, update, timeout=timeout)


def _news(counts: Counts) -> str:
    failed = counts.counts[Status.FAILED]
    parts = [
        f"{counts.counts[Status.RUNNING]} running",
        f"{failed} failed" if failed else "",
        rate(counts.rate),
        f"{duration(counts.seconds_left)} left" if counts.seconds_left else "",
    ]
    return "  ".join(part for part in parts if part)
