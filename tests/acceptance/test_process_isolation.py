"""Changes of an experiment to its process affect no other experiment."""

import os

import pytest

pytestmark = pytest.mark.usefixtures("workers")


@pytest.fixture(scope="module")
def workers(start_worker, queue):
    """A worker with one child."""
    return start_worker("-Q", queue, "-c", "1").await_ready()


AS_ROOT = ("setuid", "setgid", "chroot")
CHANGES = {
    "setuid": "os.setuid(65534)",
    "seteuid": "os.seteuid(65534)",
    "setgid": "os.setgroups([]); os.setgid(65534)",
    "chroot": "os.chroot('.')",
    "nice": "os.nice(5)",
    **{
        f"{name}_{which}": f"limit(resource.RLIMIT_{name}, {value}, {which!r})"
        for name, value in {"AS": 1, "NOFILE": 4, "FSIZE": 10, "DATA": 1}.items()
        for which in ("soft", "hard")
    },
    "trace": "sys.settrace(broken)",
    "profile": "sys.setprofile(broken)",
    "threads": "threading.settrace(broken); threading.setprofile(broken)",
    "json": "json.loads = json.dumps = broken",
    "time": "time.sleep = time.monotonic = time.time = broken",
    "os": "os.write = os.close = os.getpid = os.open = os.fstat = broken",
    "builtins": "builtins.open = builtins.print = builtins.isinstance = builtins.len = builtins.sorted = broken",
    "threading": "threading.Thread.start = threading.Event = threading.Lock = broken",
    "import": "builtins.__import__ = broken",
    "closed": "os.closerange(3, 256)",
    "left": "leave_open()",
}
SOURCE = """
import builtins, json, os, resource, sys, threading, time

LEFT = []

def leave_open():
    LEFT.extend(open(os.devnull) for _ in range(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4))

def broken(*arguments, **named):
    raise RuntimeError("broken by an experiment")

def limit(kind, value, which):
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1] if which == "soft" else value))

def f(x):
    if x == 0:
        {code}
    return os.getpid()
"""


@pytest.mark.parametrize("change", CHANGES)
def test_changes_of_an_experiment_to_its_process_affect_no_other(study, workers, change):
    if change in AS_ROOT and os.geteuid():
        pytest.skip("only root may do that")
    # Given short experiments that share claims, and one that damages their process
    made = study(SOURCE.replace("{code}", CHANGES[change]), {"x": list(range(-4, 5))}, timeout="20s")
    # When they run
    made.enqueue()
    made.wait()
    # Then at most this one has failed, and no attempt was started in vain
    rows = made.shown()
    others = [row for row in rows if row["params"]["x"]]
    assert [(row["status"], len(row["attempts"])) for row in others] == [("done", 1)] * 8, others
    (own,) = [row for row in rows if not row["params"]["x"]]
    assert own["status"] in ("done", "failed")
    assert len(own["attempts"]) == 1


@pytest.mark.parametrize("which", ["soft", "hard"])
def test_a_process_without_memory_delays_no_other_experiment(study, start_worker, queue, which):
    # Given a new process, in which qexp starts a thread for batches
    own = f"{queue}_memory_{which}"
    start_worker("-Q", own, "-c", "1").await_ready()
    code = f"    if x == 1:\n        limit(resource.RLIMIT_AS, 1, {which!r})\n"
    source = SOURCE.replace("    if x == 0:\n        {code}\n", code)
    made = study(source, {"x": list(range(8))}, queue=own, timeout="20s")
    # When its second experiment uses all memory
    made.enqueue()
    # Then all are done
    assert made.wait() == 0
    assert {(row["status"], len(row["attempts"])) for row in made.shown()} == {("done", 1)}


def test_damaged_processes_are_replaced_and_no_message_is_lost(study, start_worker, queue):
    # Given two children, and messages of one experiment each
    own = f"{queue}_given_up"
    worker = start_worker("-Q", own, "-c", "2").await_ready()
    code = "    if x % 5 == 0:\n        leave_open()\n    time.sleep(0.1)\n"
    made = study(SOURCE.replace("    if x == 0:\n        {code}\n", code), {"x": list(range(30))}, queue=own)
    # When every fifth experiment damages its process
    made.enqueue()
    # Then other processes run the rest without delay, and none counts as crashed
    assert made.wait() == 0
    assert {(row["status"], len(row["attempts"])) for row in made.shown()} == {("done", 1)}
    text = worker.text()
    assert text.count("its process is replaced, because it cannot undo a change: open descriptors") == 6
    assert "Error" not in text
    assert "published again" not in text
