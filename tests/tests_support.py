"""Helpers for unit, integration and acceptance tests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, NoReturn

import psutil
import pytest

from qexp.functions import Signature
from qexp.queueing import broker
from qexp.queueing.messages import Message
from qexp.settings import Settings
from qexp.worker.context.checkpoint_encoding import decode, encode
from qexp.worker.context.loop_state import LoopState
from qexp.worker.context.state_capture import StateCapture

T0KEN = "T0kenThatNobodyMaySee"
"""A part of the address of the fixture `service`."""

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
    """Send a signal to a process and its descendants, like batch systems and service managers."""
    with contextlib.suppress(psutil.NoSuchProcess):
        main = psutil.Process(pid)
        for process in [main, *main.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def again(value: Any) -> Any:
    """Return a value after a round trip through a checkpoint."""
    encoded = encode(value)
    return decode(encoded.kind, encoded.data)


def state_of(target: Any) -> Any:
    """Return the state of an object that the body of a loop changes."""
    return StateCapture(False, None).target(target)


def restore_into(target: Any, value: Any) -> None:
    """Restore, in place, a state that `state_of` returned for a similar object."""
    LoopState(target).restore(value)


def signature_of(annotation: Any) -> Signature:
    """Return the signature of a function of x, which has this annotation, and y."""

    def f(x, y=0): ...

    f.__annotations__ = {"x": annotation}
    return Signature.of(f, "m:f")


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity: json.loads takes them without *parse_constant*."""
    raise AssertionError(f"{name} is not JSON")


def publish(settings: Settings, *messages: Message) -> None:
    """Put messages on the broker."""
    with broker.connected(settings) as connection:
        broker.publish(connection, messages)
