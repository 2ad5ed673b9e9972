"""The state that a process needs is restored after an experiment, or named. Each script runs in its own process."""

import json
import subprocess
import sys

import pytest

PRELUDE = """
import builtins, json, os, resource, sys, threading, time
from qexp.worker.attempt.process_state_for_qexp import state_for_qexp

def broken(*arguments, **named):
    raise SystemExit("broken by an experiment")

dumps, out = json.dumps, os.dup(1)
state = state_for_qexp()
"""
ENDING = """
lost = state.restore()
again = state.restore()
print(dumps([lost, again, [bool(0) is False, *(setting.holds(value) for setting, value in state._pairs)]]))
"""


def restored(change):
    """Return the losses after a change, the losses at a second check, and the state now."""
    command = [sys.executable, "-c", f"{PRELUDE}\n{change}\n{ENDING}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


@pytest.mark.parametrize(
    "change",
    [
        "pass",
        "builtins.open = builtins.isinstance = builtins.len = builtins.zip = builtins.getattr = broken",
        "builtins.setattr = builtins.map = builtins.list = builtins.bool = builtins.tuple = broken",
        "builtins.bool = lambda value: True",
        "del builtins.len",
        "builtins.__import__ = broken",
        "json.loads = json.dumps = time.sleep = time.monotonic = os.write = broken",
        "os.dup2 = os.close = os.getresuid = threading.Thread.start = broken",
        "del json.loads",
        "sys.settrace(lambda *_: None); sys.setprofile(lambda *_: None)",
        "threading.settrace(broken); threading.setprofile(broken)",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (7, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
        "resource.setrlimit(resource.RLIMIT_AS, (1, resource.getrlimit(resource.RLIMIT_AS)[1]))",
        "resource.setrlimit(resource.RLIMIT_CPU, (900, resource.getrlimit(resource.RLIMIT_CPU)[1]))",
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])",
        "left = open(os.devnull)",
    ],
)
def test_required_state_is_restored(change):
    if "affinity" in change and not hasattr(__import__("os"), "sched_setaffinity"):
        pytest.skip("this system has no affinity to processors")
    lost, again, holds = restored(change)
    assert (lost, again) == ([], [])
    assert all(holds)


@pytest.mark.parametrize(
    "change",
    [
        "os.closerange(3, 64)",
        "left = [open(os.devnull) for _ in range(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4)]",
    ],
)
def test_required_state_that_cannot_be_restored_is_named(change):
    lost, again, _ = restored(
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); state = state_for_qexp()\n{change}"
    )
    assert (lost, again) == (["open descriptors"], ["open descriptors"])
