"""Signals reach an attempt and its forks. Each script runs in its own process."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, signal, sys, tempfile
from pathlib import Path
from qexp.worker.attempt.signals import AttemptSignals
from qexp.worker.slots import SlotTable

def leave(*_):
    raise SystemExit(1)

def stop_at_once():  # as a pool does that ends while a process of it begins
    os.kill(os.getpid(), signal.SIGTERM)

os.register_at_fork(after_in_child=stop_at_once)
with tempfile.TemporaryDirectory() as folder:
    slots = SlotTable(Path(folder) / "slots")
    slots.create()
    signal.signal(signal.SIGTERM, leave)
    AttemptSignals(slots, 0).install()
    {change}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    child = os.fork()
    if not child:
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    print(json.dumps([ended, kept]))
"""


def forked(change: str = "pass") -> list[object]:
    """Return how a process ended that got a signal during its fork, and whether its parent is unchanged."""
    command = [sys.executable, "-c", SCRIPT.replace("{change}", change)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_fork_ends_if_it_is_told_to_during_its_start():
    assert forked() == [-15, True]


def test_a_handler_of_the_function_handles_the_signal_in_its_forks():
    assert forked("signal.signal(signal.SIGTERM, lambda *_: os._exit(7))") == [7, True]


def test_a_signal_that_the_function_blocks_is_blocked_in_its_forks():
    assert forked("signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})") == [0, True]


ORDERS = """
import os, signal, sys, tempfile
from pathlib import Path
from billiard import common
from qexp.functions.guarded_calls import is_order
from qexp.worker.attempt.signals import AttemptSignals
from qexp.worker.slots import SlotTable

def renamed(number, frame):  # as another version of billiard might do it
    sys.exit(-(256 - number))

for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):  # a shell in the background ignores some of them
    signal.signal(number, signal.SIG_DFL)
with tempfile.TemporaryDirectory() as folder:
    slots = SlotTable(Path(folder) / "slots")
    slots.create()
    common.reset_signals(handler={handler})
    AttemptSignals(slots, 0).install()
    try:
        {function}
    except SystemExit as error:
        print(is_order(error))
"""


@pytest.mark.parametrize("handler", ["common._shutdown_cleanup", "renamed"])
@pytest.mark.parametrize("number", ["SIGTERM", "SIGQUIT", "SIGHUP"])
def test_a_signal_that_ends_the_process_is_no_error_of_the_function_however_the_pool_handles_it(handler, number):
    assert ordered(handler, f"os.kill(os.getpid(), signal.{number})")


@pytest.mark.parametrize("handler", ["common._shutdown_cleanup", "renamed"])
@pytest.mark.parametrize("function", ["sys.exit(3)", "renamed(15, None)"])
def test_an_exit_of_the_function_s_own_is_its_error(handler, function):
    assert not ordered(handler, function)


def ordered(handler, function):
    """Return whether the SystemExit of a function is an order to stop, not the function's own exit."""
    script = ORDERS.replace("{handler}", handler).replace("{function}", function)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {"True": True, "False": False}[done.stdout.strip()]
