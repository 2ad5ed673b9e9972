"""Children and workers die, stop and come back; their experiments run elsewhere and count once."""

import os
import signal

import pytest
from acceptance.faults.support import LEASE, SOURCE, assert_consistent
from tests_support import eventually


def test_an_attempt_whose_child_is_killed_ends_as_crashed_and_the_next_one_counts(own):
    # Given four experiments and two children
    study = own.study(4, gated=True).enqueue()
    own.worker("-Q", study.queue, "-c", "2")
    victim = study.await_begun(2)[0]
    # When one of the children is killed
    os.kill(victim.pid, signal.SIGKILL)
    eventually(lambda: study.outcomes()["crashed"], "the death to be recorded")
    study.open_gate()
    # Then only its experiment runs again
    study.await_closed()
    assert_consistent(study, 4, {"done": 4, "crashed": 1})


def test_the_death_of_a_child_while_postgres_is_down_is_recorded_later(own):
    # Given a running experiment
    study = own.study(1, gated=True).enqueue()
    worker = own.worker("-Q", study.queue, "-c", "1")
    (victim,) = study.await_begun(1)
    # When its child dies while Postgres is down
    own.kill_postgres()
    os.kill(victim.pid, signal.SIGKILL)
    worker.await_text("is not recorded yet")
    own.up()
    # Then the death is recorded when Postgres is back
    study.open_gate()
    study.await_closed()
    assert_consistent(study, 1, {"done": 1, "crashed": 1})


def test_experiments_of_a_killed_worker_run_on_another_one(own):
    study = own.study(4, gated=True).enqueue()
    first = own.worker("-Q", study.queue, "-c", "2")
    study.await_begun(2)
    first.kill()
    own.worker("-Q", study.queue, "-c", "2")
    study.await_begun(4)
    study.open_gate()
    study.await_closed()
    assert_consistent(study, 4, {"done": 4, "lost": 2})


def test_two_of_three_workers_die_under_load(own):
    # Given three workers that run many short experiments
    study = own.study(150, settings={"seconds": 0.02})
    workers = own.workers(3, "-Q", study.queue, "-c", "1")
    study.enqueue()
    study.await_done(30)
    # When two are killed with all of their processes
    for worker in workers[:2]:
        worker.kill()
    # Then the third one runs the rest
    study.await_closed()
    assert_consistent(study, 150, among={"lost"}, unbegun=True)
    assert study.outcomes()["lost"] <= 2


def test_outcomes_of_a_worker_stopped_for_longer_than_the_lease_do_not_count(own):
    # Given a worker that runs two experiments, and another worker that leads
    study = own.study(2, gated=True).enqueue()
    stopped = own.worker("-Q", study.queue, "-c", "2")
    study.await_begun(2)
    # When the first worker is stopped for longer than the lease, so that the other runs both
    stopped.signal(signal.SIGSTOP)
    own.worker("-Q", study.queue, "-c", "2")
    study.await_begun(4)
    # Then its outcomes do not count when it resumes, and it ends the recovered attempts
    stopped.signal(signal.SIGCONT)
    stopped.await_text("missed its lease")
    old = {one.pid for one in study.executions() if one.attempt == 1}
    eventually(lambda: not any(_alive(pid) for pid in old), "the processes of the first attempts to be ended")
    study.open_gate()
    study.await_closed()
    assert_consistent(study, 2, {"done": 2, "lost": 2})
    assert stopped.alive


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_function_that_holds_the_interpreter_for_longer_than_the_lease_is_not_recovered(own, pool):
    # Given C code that holds the interpreter lock, and another worker that could recover it
    holds = f"import ctypes\n    ctypes.PyDLL(None).sleep({3 * LEASE:.0f})"
    study = own.study(2, SOURCE.replace("time.sleep(seconds)", holds))
    own.workers(1, "-Q", f"{study.queue}_other", "-c", "1")
    own.workers(1, "-Q", study.queue, "-c", "1", "-P", pool)
    # When the code runs
    study.enqueue()
    # Then its worker keeps sending heartbeats
    study.await_closed()
    assert study.outcomes() == {"done": 2}
    assert len(study.executions()) == 4


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_timeout_ends_a_function_that_holds_the_interpreter(own, pool):
    holds = "import ctypes\n    ctypes.PyDLL(None).sleep(600)"
    study = own.study(1, SOURCE.replace("time.sleep(seconds)", holds), timeout="2s", retries={"timeout": 0}).enqueue()
    worker = own.worker("-Q", study.queue, "-c", "1", "-P", pool)
    study.await_closed()
    assert study.outcomes() == {"timeout": 1}
    assert worker.alive


def test_a_stopped_worker_that_finishes_a_recovered_attempt_is_too_late(own):
    # Given an experiment whose worker is stopped before its end
    study = own.study(1, gated=True).enqueue()
    stopped = own.worker("-Q", study.queue, "-c", "1")
    study.await_begun(1)
    stopped.signal(signal.SIGSTOP)
    # When another worker has run it, and the first one resumes with the gate open
    own.worker("-Q", study.queue, "-c", "1")
    study.await_begun(2)
    study.open_gate()
    study.await_closed()
    stopped.signal(signal.SIGCONT)
    # Then the first attempt changes nothing
    stopped.await_text("missed its lease")
    assert_consistent(study, 1, {"done": 1, "lost": 1})


@pytest.mark.slow
def test_a_worker_that_comes_back_ends_only_its_recovered_attempts(own):
    """It keeps its later claims; an end of them would fail experiments without retries of crashes."""
    # Given a worker with a stopped main process, like under heavy swapping, and running children
    study = own.study(40, settings={"seconds": 0.25}, retries={"crashed": 0, "lost": 9, "delay": "0.1s"}).enqueue()
    first, second = own.workers(2, "-Q", study.queue, "-c", "2")
    study.await_done(4)
    for _ in range(2):
        os.kill(first.process.pid, signal.SIGSTOP)
        eventually(
            lambda: own.rows("SELECT FROM worker WHERE stopped_at IS NOT NULL AND pid = %s", first.process.pid),
            "the first worker to be recovered",
        )
        os.kill(first.process.pid, signal.SIGCONT)
        eventually(
            lambda: own.rows("SELECT FROM worker WHERE stopped_at IS NULL AND pid = %s", first.process.pid),
            "the worker to be back",
        )
    study.await_closed()
    assert_consistent(study, 40, among={"lost"})
    assert second.alive and first.alive


def test_a_worker_group_that_is_told_to_stop_releases_its_experiments(own):
    study = own.study(4, gated=True).enqueue()
    first = own.worker("-Q", study.queue, "-c", "2")
    study.await_begun(2)
    first.signal(signal.SIGTERM)
    own.worker("-Q", study.queue, "-c", "2")
    study.await_begun(4)
    study.open_gate()
    study.await_closed()
    assert_consistent(study, 4, {"done": 4, "released": 2})


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
