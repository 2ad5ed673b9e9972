"""Children and workers die, stop and come back: what they ran is run elsewhere, and counts once."""

import os
import signal

import pytest
from acceptance.faults.support import LEASE, SOURCE, assert_consistent
from tests_support import eventually


def test_an_attempt_whose_child_is_killed_ends_as_crashed_and_the_next_one_counts(own):
    # Given four experiments that two children are at
    study = own.study(4, gated=True).enqueue()
    own.worker("-Q", study.queue, "-c", "2")
    victim = study.await_begun(2)[0]
    # When one of the children is killed
    os.kill(victim.pid, signal.SIGKILL)
    eventually(lambda: study.outcomes()["crashed"], "the death to be noticed")
    study.open_gate()
    # Then its experiment is run again, and nothing else is
    study.await_closed()
    assert_consistent(study, 4, {"done": 4, "crashed": 1})


def test_a_child_that_is_killed_while_postgres_is_away_is_not_forgotten(own):
    # Given an experiment that runs
    study = own.study(1, gated=True).enqueue()
    worker = own.worker("-Q", study.queue, "-c", "1")
    (victim,) = study.await_begun(1)
    # When its child dies, and Postgres cannot be told
    own.kill_postgres()
    os.kill(victim.pid, signal.SIGKILL)
    worker.await_text("WorkerLostError")
    own.up()
    # Then Postgres is told as soon as it is back
    study.open_gate()
    study.await_closed()
    assert_consistent(study, 1, {"done": 1, "crashed": 1})


def test_what_a_killed_worker_ran_is_run_by_another_one(own):
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
    # Given three workers in the midst of many short experiments
    study = own.study(150, settings={"seconds": 0.02})
    workers = own.workers(3, "-Q", study.queue, "-c", "1")
    study.enqueue()
    study.await_done(30)
    # When two are killed with all of their processes
    for worker in workers[:2]:
        worker.kill()
    # Then the third one does the rest
    study.await_closed()
    assert_consistent(study, 150, among={"lost"}, unbegun=True)
    assert study.outcomes()["lost"] <= 2


def test_a_worker_that_was_stopped_for_longer_than_the_lease_comes_too_late(own):
    # Given two experiments that run in one worker, while another one leads
    study = own.study(2, gated=True).enqueue()
    stopped = own.worker("-Q", study.queue, "-c", "2")
    study.await_begun(2)
    # When that one stops for longer than the lease, so that both are run by the other
    stopped.signal(signal.SIGSTOP)
    own.worker("-Q", study.queue, "-c", "2")
    study.await_begun(4)
    # Then what it did is not counted when it goes on, and it ends what is not its own any more
    stopped.signal(signal.SIGCONT)
    stopped.await_text("missed its lease")
    old = {one.pid for one in study.executions() if one.attempt == 1}
    eventually(lambda: not any(_alive(pid) for pid in old), "the processes of the first attempts to be ended")
    study.open_gate()
    study.await_closed()
    assert_consistent(study, 2, {"done": 2, "lost": 2})
    assert stopped.alive


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_function_that_holds_the_interpreter_for_longer_than_the_lease_is_not_lost(own, pool):
    # Given C code that lets no other thread of its process run, and another worker that would take over
    holds = f"import ctypes\n    ctypes.PyDLL(None).sleep({3 * LEASE:.0f})"
    study = own.study(2, SOURCE.replace("time.sleep(seconds)", holds))
    own.workers(1, "-Q", f"{study.queue}_other", "-c", "1")
    own.workers(1, "-Q", study.queue, "-c", "1", "-P", pool)
    # When it runs
    study.enqueue()
    # Then its worker is heard of all the time
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


def test_a_worker_that_was_stopped_and_ends_what_was_taken_finishes_too_late(own):
    # Given an experiment whose worker stops before it ends
    study = own.study(1, gated=True).enqueue()
    stopped = own.worker("-Q", study.queue, "-c", "1")
    study.await_begun(1)
    stopped.signal(signal.SIGSTOP)
    # When another one has run it, and the first one goes on with the gate open
    own.worker("-Q", study.queue, "-c", "1")
    study.await_begun(2)
    study.open_gate()
    study.await_closed()
    stopped.signal(signal.SIGCONT)
    # Then the first attempt changes nothing
    stopped.await_text("missed its lease")
    assert_consistent(study, 1, {"done": 1, "lost": 1})


@pytest.mark.slow
def test_a_worker_that_comes_back_ends_only_what_was_taken_from_it(own):
    """What it has claimed since is its own: to end it would fail experiments that do not retry crashes."""
    # Given a worker whose main process alone is stopped, as when it swaps, while its children go on
    study = own.study(40, settings={"seconds": 0.25}, retries={"crashed": 0, "lost": 9, "delay": "0.1s"}).enqueue()
    first, second = own.workers(2, "-Q", study.queue, "-c", "2")
    study.await_done(4)
    for _ in range(2):
        os.kill(first.process.pid, signal.SIGSTOP)
        eventually(
            lambda: own.rows("SELECT FROM worker WHERE stopped_at IS NOT NULL AND pid = %s", first.process.pid),
            "the first worker to be given up",
        )
        os.kill(first.process.pid, signal.SIGCONT)
        eventually(
            lambda: own.rows("SELECT FROM worker WHERE stopped_at IS NULL AND pid = %s", first.process.pid),
            "it to be back",
        )
    study.await_closed()
    assert_consistent(study, 40, among={"lost"})
    assert second.alive and first.alive


def test_a_worker_group_that_is_told_to_stop_gives_back_what_it_runs(own):
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
