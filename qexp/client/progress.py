"""Progress bars of an enqueue and of a wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qexp.client.client import Client
from qexp.model import Status, duration, rate
from qexp.progress_bars import ProgressBar, progress_bar
from qexp.store.reads.study_progress import StudyProgress

_PATIENCE = 1.0
"""Seconds that an enqueue may take before it shows a bar."""


@contextmanager
def counting(total: int, wanted: bool = True) -> Iterator[Callable[[str, int], None]]:
    """Yield a function that receives the progress of an enqueue; after a second it shows a bar."""
    began = time.monotonic()
    bar = progress_bar(wanted)

    def update(label: str, number: int) -> None:
        seconds = time.monotonic() - began
        if seconds > _PATIENCE:
            bar.update(label, number, total, rate(number / seconds))

    try:
        yield update
    finally:
        bar.close()


def wait(
    client: Client,
    study: str,
    timeout: float | None = None,
    check: Callable[[], None] = lambda: None,
    bar: ProgressBar | None = None,
) -> StudyProgress:
    """Wait for a study with a bar that shows its progress; call *check* at each poll. See `Client.wait`."""
    shown = progress_bar() if bar is None else bar

    def update(counts: StudyProgress) -> None:
        shown.update(study, counts.closed, counts.total, news(counts))

    try:
        done = client.wait(study, update, timeout, check)
    except KeyboardInterrupt:
        shown.close("interrupted; the study keeps running")
        raise
    except BaseException:
        shown.close()
        raise
    shown.close()
    return done


def news(counts: StudyProgress) -> str:
    """Return the running and failed experiments, the rate and the time left, as the text beside a bar."""
    failed = counts.counts[Status.FAILED]
    parts = [
        f"{counts.counts[Status.RUNNING]} running" if counts.open else "",
        f"{failed} failed" if failed else "",
        "paused" if counts.paused_at is not None else "",
        rate(counts.rate) if counts.open else "",
        f"{duration(counts.seconds_left)} left" if counts.seconds_left else "",
    ]
    return "  ".join(part for part in parts if part)
