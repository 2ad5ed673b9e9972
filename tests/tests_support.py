"""What tests of several floors use."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psutil
import pytest

T0KEN = "T0kenThatNobodyMaySee"
"""A part of the address of the service that `service` gives."""

PATIENCE = 120.0
"""Seconds that a condition may take on a busy machine before a test gives up."""


def eventually(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until *condition* holds; fail with *what* was awaited."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


def signal_all(pid: int, number: int) -> None:
    """Send a signal to a process and to all below it, as batch systems and service managers do."""
    with contextlib.suppress(psutil.NoSuchProcess):
        main = psutil.Process(pid)
        for process in [main, *main.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
