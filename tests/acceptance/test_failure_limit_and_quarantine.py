"""What the workers look after by themselves: a study that fails too much, a worker that fails alone."""

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
    """Start workers that beat fast, on a queue of the test's own; they end with it."""
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
    """Wait until one of the workers that live leads: the lease of one that another test killed has to run out."""

    def led():
        found = json.loads(qexp("workers", "--format", "json").stdout)
        return any(row["leads"] and psutil.pid_exists(row["pid"]) for row in found)

    return lambda: eventually(led, "a leader")


def test_a_brake_stops_a_study_of_typos_and_a_resume_goes_on(qexp, study, start, led, queue):
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
    # When it goes on failing after a resume, it is stopped again, but not at once
    assert qexp("resume", made.name).returncode == 0
    assert made.wait() == 1
    assert failed() >= before + 20
    # When the typo is mended
    (made.folder / "experiment.py").write_text(TYPO.replace("sine(x)", "x").replace("0.2", "0"))
    assert qexp("requeue", made.name, "--failed", "-y").returncode == 0
    qexp("resume", made.name)
    # Then it goes on to its end
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
    # Given a worker whose environment makes everything fail, beside a good one
    where = f"{queue}_{pool}"
    bad = start(where, "-n", f"bad_{pool}@%h", "-c", "1", "-P", pool, BROKEN="1").await_ready()
    start(where, "-n", f"good_{pool}@%h", "-c", "1").await_ready()
    made = study(HALF_BROKEN, {"x": list(range(50))}, queue=where)
    # When both run the same study
    led()
    made.enqueue()
    eventually(lambda: f"Canceling queue {where}" in bad.text(), "the quarantine")
    made.wait()
    # Then it is named with its reason, and all that it did not spoil was done by the other
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
    # with solo, what a thread of the main process logs may be part of what the experiment prints that is running there
    assert pool == "solo" or "this worker is quarantined and takes no more" in bad.text()
    # And what failed there runs elsewhere when it is asked for
    assert qexp("requeue", made.name, "--failed", "-y").returncode == 0
    assert made.wait() == 0
    assert bad.process.poll() is None


def test_people_are_told_once_though_two_workers_run_and_also_when_the_last_one_stops(
    qexp, study, start, queue, service
):
    workers = [start(f"{queue}_told", "-n", f"told{number}@%h", "-c", "1").await_ready() for number in (1, 2)]
    source = "def f(x):\n    return 1 / x\n"
    made = study(source, {"x": list(range(6))}, queue=f"{queue}_told", notify=service.address)
    made.enqueue()
    assert made.wait() == 1
    eventually(lambda: len(service.told) == 2, "the first failure and the end to be told")
    first, second = service.told
    assert first.startswith(f"{made.name}: the first failure") and "ZeroDivisionError" in first
    assert second.splitlines()[0] == f"{made.name}: finished: 5 done, 1 failed"
    # When the failed one is mended and the workers are stopped as soon as it is done
    (made.folder / "experiment.py").write_text("def f(x):\n    return x\n")
    assert qexp("requeue", made.name, "--failed", "-y").returncode == 0
    assert made.wait() == 0
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    for worker in workers:
        worker.process.wait(timeout=60)
    # Then that was told too, once, and nobody has written the address anywhere
    assert [text.splitlines()[0] for text in service.told[2:]] == [f"{made.name}: finished: 6 done"]
    assert not any(T0KEN in worker.text() for worker in workers)
    assert T0KEN not in qexp("diff", "grid.yaml", "--set", "notify=json://elsewhere/x").stdout
    config = qexp("config", environ={"QEXP_NOTIFY": service.address})
    assert config.returncode == 0 and T0KEN not in config.stdout and "json://127.0.0.1" in config.stdout
