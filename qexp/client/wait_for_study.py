"""Wait for a study by polling Postgres over one connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from qexp.errors import DatabaseUnreachableError
from qexp.store.reads import study_progress

if TYPE_CHECKING:
    from qexp.client.client import Client

T = TypeVar("T")

POLL_INTERVAL = 0.2
"""Seconds between two polls."""
_COUNT_SHARE = 0.05
"""The largest share of the time that a wait may spend on counting."""


def wait(
    client: Client,
    study: str,
    progress: Callable[[study_progress.StudyProgress], None] | None,
    check: Callable[[], None],
    timeout: float | None,
) -> study_progress.StudyProgress:
    """Implement `Client.wait` with a client that keeps its connection."""
    number = client.study(study).id
    deadline = None if timeout is None else time.monotonic() + timeout
    due = 0.0
    while True:
        check()
        settled = _with_reconnect(lambda: _is_settled(client, number))
        began = time.monotonic()
        is_late = deadline is not None and not began <= deadline
        if settled or is_late or (progress is not None and began >= due):
            (counts,) = _with_reconnect(lambda: client.counts(study))
            due = time.monotonic() + pause(time.monotonic() - began)
            if progress is not None:
                progress(counts)
            if counts.is_settled:
                return counts
            if is_late:
                raise TimeoutError(f"{study}: {counts.open} experiments are unfinished after {timeout:g} s")
        time.sleep(POLL_INTERVAL)


def pause(seconds: float) -> float:
    """Return how long to wait after a count that took *seconds*."""
    return max(POLL_INTERVAL, seconds / _COUNT_SHARE)


def _is_settled(client: Client, study: int) -> bool:
    with client.begin() as connection:
        return study_progress.is_settled(connection, study)


def _with_reconnect(read: Callable[[], T]) -> T:
    """Call *read* and return its value; call it again with a new connection if the kept one was lost."""
    try:
        return read()
    except DatabaseUnreachableError:
        return read()
