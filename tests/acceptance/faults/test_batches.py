"""Short experiments share messages, claims and commits, but each fails or succeeds alone."""

import re
import signal

import pytest
from acceptance.faults.support import SOURCE, assert_consistent
from tests_support import eventually

NUMBER = 600
"""The first 40 have one message each, because their duration is unknown."""
ODD = 400
KILLS = SOURCE.replace(
    "    time.sleep(seconds)\n", f"    if x == {ODD}:\n        os.kill(os.getpid(), 9)\n    time.sleep(seconds)\n"
)
CELERY_LINES = ("--loglevel", "DEBUG")
WAITS = SOURCE.replace("while gate is not None and", f"while x == {ODD} and")


def messages(worker):
    """The number of messages that a worker has received."""
    return len(re.findall(r"Task qexp\.run\[\S+\] received", worker.text()))


def test_an_experiment_that_always_kills_its_process_fails_and_affects_no_other(own):
    study = own.study(NUMBER, source=KILLS, retries={"crashed": 2, "delay": "0.1s"})
    worker = own.worker("-Q", study.queue, "-c", "2", *CELERY_LINES).await_ready()
    study.enqueue().await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER - 1, "crashed": 3}, failed={"crashed": 1})
    assert messages(worker) < NUMBER / 2, "most shared their message with others"


def test_a_long_experiment_does_not_delay_others(own):
    study = own.study(NUMBER, source=WAITS, gated=True)
    worker = own.worker("-Q", study.queue, "-c", "2", *CELERY_LINES).await_ready()
    study.enqueue().await_done(NUMBER - 1)
    assert [one.attempt for one in study.running()] == [1]
    study.open_gate()
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})
    assert messages(worker) < NUMBER / 2


def test_workers_are_killed_with_all_of_their_processes(own):
    study = own.study(3 * NUMBER, settings={"seconds": 0.002})
    workers = own.workers(2, "-Q", study.queue, "-c", "1")
    study.enqueue().await_done(NUMBER)
    for worker in workers:
        worker.kill()
    own.worker("-Q", study.queue, "-c", "2")
    study.await_closed()
    assert_consistent(study, 3 * NUMBER, among=("done", "lost"), unbegun=True)
    assert study.outcomes()["lost"] <= 2, "each experiment of a batch is done, lost or unstarted"


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGTERM], ids=lambda how: how.name)
def test_workers_that_are_told_to_stop_release_their_unstarted_experiments(own, how):
    study = own.study(3 * NUMBER, settings={"seconds": 0.002})
    workers = own.workers(2, "-Q", study.queue, "-c", "1")
    study.enqueue().await_done(NUMBER)
    for worker in workers:
        worker.signal(how)
    own.worker("-Q", study.queue, "-c", "2")
    study.await_closed()
    assert_consistent(study, 3 * NUMBER, among=("done", "released"), unbegun=True)
    assert study.outcomes()["released"] <= 2, "unstarted experiments are released like unclaimed ones"
    for worker in workers:
        eventually(lambda: not worker.alive, "a worker to end")  # noqa: B023 - called within the loop


def test_postgres_is_killed_between_claims_and_results(own):
    study = own.study(3 * NUMBER, settings={"seconds": 0.002})
    own.workers(2, "-Q", study.queue, "-c", "1")
    study.enqueue().await_done(NUMBER)
    own.kill_postgres()
    own.up()
    study.await_closed()
    assert_consistent(study, 3 * NUMBER, {"done": 3 * NUMBER})


@pytest.fixture
def dead_leader(own):
    """A dead leader whose lease lasts as long as the test."""
    query = "INSERT INTO leader (worker, until) VALUES (gen_random_uuid(), now() + interval '1 h')"
    own.rows(f"{query} ON CONFLICT (one) DO UPDATE SET worker = EXCLUDED.worker, until = EXCLUDED.until")
    yield
    own.rows("UPDATE leader SET until = now()")


@pytest.mark.usefixtures("dead_leader")
def test_later_experiments_of_a_study_are_announced_without_a_leader(own):
    # Given a study with an unknown duration of experiments
    study = own.study(NUMBER, settings={"seconds": 0.001})
    study.enqueue()
    assert study.statuses()["pending"] > NUMBER / 2
    # When a worker runs the first ones, then it announces the others
    own.workers(1, "-Q", study.queue, "-c", "2")
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


def test_the_broker_is_wiped_while_messages_are_processed(own):
    study = own.study(3 * NUMBER, settings={"seconds": 0.002})
    own.workers(2, "-Q", study.queue, "-c", "1")
    study.enqueue().await_done(NUMBER)
    own.wipe_broker()
    study.await_closed()
    assert_consistent(study, 3 * NUMBER, {"done": 3 * NUMBER})
