"""What tests of several floors use."""

from __future__ import annotations

import time
from collections.abc import Callable

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
