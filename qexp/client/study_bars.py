"""Progress bars of an enqueue and of a wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qexp.client.client import Client
from qexp.errors import QexpError
from qexp.model import Counts, Status, duration, rate
from qexp.progress_bars import ProgressBar, progress_bar
from qexp.store.reads.study_progress import StudyProgress

_PATIENCE = 1.0
"""Seconds that an enqueue may take before it shows a bar."""
_WORKER_PATIENCE = 10.0
"""Seconds without a running experiment after which the bar asks for workers; a worker needs some to start."""


@contextmanager
def delayed_bar(total: int, wanted: bool = True) -> Iterator[Callable[[str, int], None]]:
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
    left_out: Counts | None = None,
) -> StudyProgress:
    """
    Wait for a study with a bar that shows its progress; call *check* at each poll. See `Client.wait`.

    It does not count the experiments *left_out*.
    """
    shown = progress_bar() if bar is None else bar
    watch = WorkerWatch(client, study)

    def update(counts: StudyProgress) -> None:
        counts = counts.without(left_out or Counts())
        shown.update(study, counts.closed, counts.total, watch.advice(counts) or news(counts))

    try:
        done = client.wait(study, update, timeout, check)
    except KeyboardInterrupt:
        shown.close("interrupted")
        raise
    except BaseException:
        shown.close()
        raise
    shown.close()
    return done


def without_wait(client: Client, study: str) -> str:
    """Say in a sentence how a study goes on after its wait was interrupted."""
    try:
        (counts,) = client.counts(study)
        if counts.needs_worker:
            return f"{study} waits for a worker: {_start_worker(client, study)}"
    except QexpError as error:
        return f"{study}: {error}"
    if counts.is_settled:
        return f"{study} {'is paused' if counts.open else 'has finished'}"
    return f"{study} keeps running"


class WorkerWatch:
    """Notices that no worker takes the experiments of a study."""

    def __init__(self, client: Client, study: str) -> None:
        self._client, self._study = client, study
        self._needed_since: float | None = None
        self._command = ""

    def advice(self, counts: StudyProgress) -> str:
        """Return the command that starts a worker if none has been alive for a while; otherwise an empty text."""
        if not counts.needs_worker or counts.counts[Status.RUNNING]:
            self._needed_since = None
            return ""
        now = time.monotonic()
        self._needed_since = now if self._needed_since is None else self._needed_since
        if now - self._needed_since < _WORKER_PATIENCE:
            return ""
        self._command = self._command or _start_worker(self._client, self._study)
        return f"no worker: {self._command}"


def _start_worker(client: Client, study: str) -> str:
    from qexp.client.explain import start_worker

    return start_worker(client.study(study).queue)


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
