"""A process that a signal ends leaves its Python stack with the attempt."""

import pytest

CRASHES = """
import ctypes, faulthandler, os, signal, time

def read():
    ctypes.string_at(0)

def write():
    ctypes.memset(0, 1, 1)

def f(kind):
    if kind in ("read", "again"):
        read()
    if kind == "write":
        write()
    if kind == "abort":
        os.abort()
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "own":
        faulthandler.enable()
        read()
    if kind == "off":
        faulthandler.disable()
        signal.signal(signal.SIGSEGV, lambda *_: None)
    if kind == "fork":
        if (child := os.fork()) == 0:
            read()
        os.waitpid(child, 0)
        raise ValueError("the fork died")
    return {"pid": os.getpid()}
"""


@pytest.fixture(scope="module", autouse=True)
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "1").await_ready()


def ended(made):
    """Run a study; return the last attempt of each experiment by its parameter."""
    made.enqueue()
    made.wait()
    return {one["params"]["kind"]: one["attempts"][-1] for one in made.shown()}


def names(attempt):
    """Return the functions of a stack in the user's file."""
    lines = attempt["traceback"].splitlines()
    return [line.rpartition(" in ")[2] for line in lines if "/experiment.py" in line]


def test_an_attempt_that_a_signal_ended_shows_the_stack_of_the_users_code(study):
    made = study(CRASHES, {"kind": ["read", "write", "abort", "kill", "again"]})
    found = ended(made)
    assert {kind: attempt["exit_signal"] for kind, attempt in found.items()} == {
        "read": "SIGSEGV",
        "write": "SIGSEGV",
        "abort": "SIGABRT",
        "kill": "SIGKILL",
        "again": "SIGSEGV",
    }
    assert names(found["read"]) == ["read", "f"]
    assert names(found["write"]) == ["write", "f"]
    assert names(found["abort"]) == ["f"]
    assert found["kill"]["traceback"] is None
    # the files are those of the grid's folder, not of this host's copy
    assert f'File "{made.folder}/experiment.py", line 5 in read' in found["read"]["traceback"]
    assert found["read"]["error_frame"] == "experiment.py:5 in read"


def test_crashes_are_grouped_by_the_users_frames(study, qexp):
    made = study(CRASHES, {"kind": ["read", "write", "again", "kill"]})
    found = ended(made)
    marks = {kind: attempt["error_fingerprint"] for kind, attempt in found.items()}
    assert marks["read"] == marks["again"]
    assert len(set(marks.values())) == 3
    assert "at      experiment.py:8 in write" in qexp("errors", made.name).stdout


def test_the_functions_own_use_of_signals_and_faulthandler_affects_only_its_attempt(study):
    found = ended(study(CRASHES, {"kind": ["own", "off", "read"]}))
    assert names(found["own"]) == ["read", "f"]
    assert found["off"]["outcome"] == "done"
    assert names(found["read"]) == ["read", "f"]


def test_a_fork_that_dies_leaves_its_stack_in_the_output_only(study, qexp):
    made = study(CRASHES, {"kind": ["fork"]})
    found = ended(made)
    assert found["fork"]["error_message"] == "the fork died"
    assert "Fatal Python error" not in found["fork"]["traceback"]
    assert "Fatal Python error: Segmentation fault" in qexp("logs", made.listed()[0]["id"]).stdout


def test_logs_show_the_frames_of_the_user_only(study, qexp):
    made = study(CRASHES, {"kind": ["read"]})
    ended(made)
    number = made.listed()[0]["id"]
    shown = qexp("logs", number)
    assert '  File "experiment.py", line 5 in read\n  File "experiment.py", line 12 in f\n' in shown.stdout
    assert not any(word in shown.stdout for word in ("celery", "billiard", "/qexp/", "Extension modules"))
    assert f"frames of qexp left out; 'qexp show {number} --format json' has all)" in shown.stderr


def test_a_process_of_its_own_leaves_its_stack_too(study):
    found = ended(study(CRASHES, {"kind": ["read", "kill"]}, isolation="process"))
    assert names(found["read"]) == ["read", "f"]
    assert found["read"]["error_frame"] == "experiment.py:5 in read"
    assert found["kill"]["traceback"] is None


def test_a_solo_worker_keeps_stacks_too(study, start_worker):
    start_worker("-Q", "solo_stacks", "-P", "solo").await_ready()
    found = ended(study(CRASHES, {"kind": ["read"]}, queue="solo_stacks"))
    assert names(found["read"]) == ["read", "f"]
