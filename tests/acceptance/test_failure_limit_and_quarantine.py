"""Workers pause a study with too many failures and quarantine a worker that fails alone."""

import json
import signal

import psutil
import pytest
from tests_support import T0KEN, eventually

TYPO = """
import time
def f(x):
    time.sleep(0.2)
    return {"y": sine(x)}
"""


@pytest.fixture
def start(start_worker, queue):
    """Start workers with fast heartbeats on the test's own queue; they end with the test."""
    started = []

    def start(where, *options, **environ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("QEXP_HEARTBEAT", "0.5")
            for name, value in environ.items():
                patch.setenv(name, value)
            started.append(start_worker("-Q", where, *options))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture
def led(qexp):
    """Wait until a live worker leads, after the lease of a killed leader of another test has expired."""

    def led():
        found = json.loads(qexp("workers", "--format", "json").stdout)
        return any(row["leads"] and psutil.pid_exists(row["pid"]) for row in found)

    return lambda: eventually(led, "a leader")


def test_a_failure_limit_pauses_a_study_with_a_typo_and_a_resume_continues_it(qexp, study, start, led, queue):
    start(f"{queue}_brake", "-c", "2").await_ready()
    made = study(TYPO, {"x": list(range(600))}, queue=f"{queue}_brake", stop_after={"failures": 20})

    def failed():
        return sum(row["status"] == "failed" for row in made.listed())

    led()
    made.enqueue()
    assert made.wait() == 1
    before = failed()
    assert before >= 20
    assert {row["status"] for row in made.listed()} == {"failed", "pending"}
    (status,) = json.loads(qexp("status", made.name, "--format", "json").stdout)
    told = f"failed, most by NameError: name 'sine' is not defined; see 'qexp errors {made.name}'"
    assert told in status["pause_reason"]
    # When it keeps failing after a resume, it is paused again, but not immediately
    assert qexp("resume", made.name).returncode == 0
    assert made.wait() == 1
    assert failed() >= before + 20
    # When the typo is fixed
    (made.folder / "experiment.py").write_text(TYPO.replace("sine(x)", "x").replace("0.2", "0"))
    assert qexp("requeue", made.name, "--failed", "-y").returncode == 0
    qexp("resume", made.name)
    # Then the study finishes
    assert made.wait() == 0


HALF_BROKEN = """
import os, time
def f(x):
    time.sleep(0.3)
    if os.environ.get("BROKEN"):
        raise OSError("no space left on device")
    return x
"""


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_that_fails_alone_is_quarantined_and_loses_nothing(qexp, study, start, led, queue, pool):
    # Given a worker whose environment fails every attempt, and a good worker
    where = f"{queue}_{pool}"
    bad = start(where, "-n", f"bad_{pool}@%h", "-c", "1", "-P", pool, BROKEN="1").await_ready()
    start(where, "-n", f"good_{pool}@%h", "-c", "1").await_ready()
    made = study(HALF_BROKEN, {"x": list(range(50))}, queue=where)
    # When both run the same study
    led()
    made.enqueue()
    eventually(lambda: "this worker is quarantined and takes no more" in bad.text(), "the quarantine")
    assert made.wait() == 1
    # Then the bad worker is quarantined with a reason, and the good one runs the rest
    (found,) = [
        row for row in json.loads(qexp("workers", "--format", "json").stdout) if row["name"].startswith(f"bad_{pool}")
    ]
    assert found["state"] == "quarantined"
    assert "OSError: no space left on device" in found["quarantine_reason"]
    assert "restart the worker" in found["quarantine_reason"]
    rows = made.shown()
    assert {row["status"] for row in rows} == {"done", "failed"}
    failed = [row for row in rows if row["status"] == "failed"]
    assert 5 <= len(failed) < 25
    assert {row["error_type"] for row in failed} == {"OSError"}
    # And its failed experiments run on the good worker after a requeue
    assert qexp("requeue", made.name, "--failed", "-y").returncode == 0
    assert made.wait() == 0
    assert bad.process.poll() is None
    assert "Traceback" not in bad.text()


def test_events_are_notified_once_with_two_workers_and_also_when_the_last_one_stops(qexp, study, start, queue, service):
    workers = [start(f"{queue}_told", "-n", f"told{number}@%h", "-c", "1").await_ready() for number in (1, 2)]
    source = "def f(x):\n    return 1 / x\n"
    made = study(source, {"x": list(range(6))}, queue=f"{queue}_told", notify=service.address)
    made.enqueue()
    assert made.wait() == 1
    eventually(lambda: len(service.told) == 2, "notifications of the first failure and the end")
    first, second = service.told
    assert first.startswith(f"{made.name}: the first failure") and "ZeroDivisionError" in first
    assert second.splitlines()[0] == f"{made.name}: finished: 5 done, 1 failed"
    # When the failed one is fixed and the workers stop as soon as it is done
    (made.folder / "experiment.py").write_text("def f(x):\n    return x\n")
    assert qexp("requeue", made.name, "--failed", "-y").returncode == 0
    assert made.wait() == 0
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    for worker in workers:
        worker.process.wait(timeout=60)
    # Then this is notified once, too, and no log or row contains the address
    assert [text.splitlines()[0] for text in service.told[2:]] == [f"{made.name}: finished: 6 done"]
    assert not any(T0KEN in worker.text() for worker in workers)
    assert T0KEN not in qexp("diff", "grid.yaml", "--set", "notify=json://elsewhere/x").stdout
    config = qexp("config", environ={"QEXP_NOTIFY": service.address})
    assert config.returncode == 0 and T0KEN not in config.stdout and "json://127.0.0.1" in config.stdout
