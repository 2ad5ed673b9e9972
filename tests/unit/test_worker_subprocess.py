"""A worker that a command starts ends with the command, whenever a signal comes."""

import os
import signal
import sys
import weakref

import pytest

from qexp.client.worker_subprocess import ending_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_while_python_drops_exceptions_is_not_lost(number, monkeypatch):
    dropped = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: dropped.append(error.exc_type))

    # Given a callback of a weak reference, where Python drops exceptions
    class Held: ...

    held = Held()
    reference = weakref.ref(held, lambda _: os.kill(os.getpid(), number))
    # When a signal comes during the callback
    with ending_on_signals() as interrupted:
        interrupted()
        del held
        assert reference() is None
        assert dropped == [KeyboardInterrupt]
        # Then the next check raises the exception
        with pytest.raises(KeyboardInterrupt):
            interrupted()


def test_only_the_first_signal_raises_if_asked_for_and_all_are_counted():
    with ending_on_signals(once=True) as interrupts:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.number == 2
        with pytest.raises(KeyboardInterrupt):
            interrupts()
