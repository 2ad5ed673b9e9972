"""Periodic threads repeat an action until they are stopped."""

import logging
import os
import threading

import pytest

from qexp.errors import ServiceError
from qexp.worker.periodic_thread import PeriodicThread


@pytest.fixture
def periodic():
    """Make threads that end with the test."""
    made = []

    def periodic(action, pause=0.01, **options):
        made.append(PeriodicThread("qexp-test", action, pause, "the test failed", **options))
        made[-1].start()
        return made[-1]

    yield periodic
    for thread in made:
        thread.stop()


def test_the_action_is_repeated_after_errors_which_are_logged(periodic, caplog):
    # Given an action that fails twice, once on purpose
    errors, done = [ServiceError("away\nfor a while"), ValueError("odd")], threading.Event()

    def action():
        if errors:
            raise errors.pop(0)
        done.set()

    # When it is repeated
    with caplog.at_level(logging.WARNING):
        periodic(action)
        # Then it succeeds in the end
        assert done.wait(60)
    expected, odd = caplog.records
    assert (expected.levelname, expected.getMessage()) == ("WARNING", "the test failed: away for a while")
    assert (odd.levelname, odd.getMessage(), odd.exc_info[0]) == ("ERROR", "the test failed", ValueError)


def test_a_thread_without_a_pause_waits_until_it_is_woken(periodic):
    calls = threading.Semaphore(0)
    thread = periodic(calls.release, None)
    assert not calls.acquire(blocking=False)
    for _ in range(2):
        thread.wake()
        assert calls.acquire(timeout=60)


def test_the_last_action_is_called_once_after_the_stop(periodic):
    calls, last = [], []
    thread = periodic(lambda: calls.append(1), None, last=lambda: last.append(1))
    assert thread.stop()
    assert (calls, last) == ([], [1])


def test_a_stop_waits_no_longer_than_its_patience(periodic):
    begun, go = threading.Event(), threading.Event()

    def action():
        begun.set()
        assert go.wait(60)

    thread = periodic(action)
    assert begun.wait(60)
    assert not thread.stop(0.0)
    go.set()
    assert thread.stop()


def test_a_start_that_fails_can_be_repeated(monkeypatch):
    """An experiment may leave no memory for a thread."""
    calls = threading.Semaphore(0)
    thread = PeriodicThread("qexp-test", calls.release, 0.01, "the test failed")

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            thread.start()
    thread.start()
    assert calls.acquire(timeout=60)
    assert thread.stop()


def test_a_fork_starts_a_thread_of_its_own(periodic):
    calls = threading.Semaphore(0)
    thread = periodic(calls.release, 60.0)
    child = os.fork()
    if child == 0:
        thread.start()
        thread.wake()
        os._exit(0 if calls.acquire(timeout=60) else 1)
    assert os.waitpid(child, 0)[1] == 0
