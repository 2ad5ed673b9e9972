"""Studies are waited for: a cheap look again and again, over one connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from qexp.errors import DatabaseUnreachableError
from qexp.store.reads import study_progress

if TYPE_CHECKING:
    from qexp.client.client import Client

T = TypeVar("T")

PULSE = 0.2
"""Seconds between two looks."""
_SHARE = 0.05
"""Of the time that somebody waits so much is spent with counting, however large the study is."""


def wait(
    client: Client,
    study: str,
    progress: Callable[[study_progress.StudyProgress], None] | None,
    check: Callable[[], None],
    timeout: float | None,
) -> study_progress.StudyProgress:
    """Do what `Client.wait` says, over a client that keeps its connection."""
    number = client.study(study).id
    deadline = None if timeout is None else time.monotonic() + timeout
    due = 0.0
    while True:
        check()
        rests = _surely(lambda: _rests(client, number))
        began = time.monotonic()
        is_late = deadline is not None and not began <= deadline
        if rests or is_late or (progress is not None and began >= due):
            (counts,) = _surely(lambda: client.counts(study))
            due = time.monotonic() + pause(time.monotonic() - began)
            if progress is not None:
                progress(counts)
            if counts.is_settled:
                return counts
            if is_late:
                raise TimeoutError(f"{study}: {counts.open} experiments are unfinished after {timeout:g} s")
        time.sleep(PULSE)


def pause(seconds: float) -> float:
    """Return how long to wait after a count that took *seconds* until the next one."""
    return max(PULSE, seconds / _SHARE)


def _rests(client: Client, study: int) -> bool:
    with client.begin() as connection:
        return study_progress.is_settled(connection, study)


def _surely(look: Callable[[], T]) -> T:
    """Return what a look finds, over another connection if the one that was kept is lost."""
    try:
        return look()
    except DatabaseUnreachableError:
        return look()
