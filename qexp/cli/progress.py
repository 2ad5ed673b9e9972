"""The progress of a running study on stderr: a bar on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from qexp.cli.output import say
from qexp.client import Client, study_bars
from qexp.model import Counts
from qexp.store.reads.study_progress import StudyProgress

_QUIET_INTERVAL = 30.0
"""Seconds between two lines if stderr is not a terminal."""


def wait_with_progress(
    client: Client,
    study: str,
    timeout: float | None = None,
    check: Callable[[], None] = lambda: None,
    left_out: Counts | None = None,
) -> StudyProgress:
    """
    Wait for a study with a live bar, or with lines in a log; call *check* at each poll.

    It does not count the experiments *left_out*.
    """
    if not sys.stderr.isatty():
        return _lines(client, study, timeout, check, left_out or Counts())
    return study_bars.wait(client, study, timeout, check, left_out=left_out)


def _lines(
    client: Client, study: str, timeout: float | None, check: Callable[[], None], left_out: Counts
) -> StudyProgress:
    last = time.monotonic()

    def update(counts: StudyProgress) -> None:
        nonlocal last
        counts = counts.without(left_out)
        if counts.open and time.monotonic() - last > _QUIET_INTERVAL:
            last = time.monotonic()
            say(f"{study}: {counts.closed} of {counts.total} finished  {study_bars.news(counts)}")

    return client.wait(study, update, timeout, check)
