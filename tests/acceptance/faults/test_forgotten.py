"""Claims of short experiments do not wait for Postgres's disk: a crash forgets them, and the workers do not."""

import signal

import pytest
from acceptance.faults.support import PATIENCE, SOURCE, assert_consistent
from tests_support import eventually

BRIEF = 40
"""What comes first and is short, after which claims do not wait for the disk."""
HELD = 6
"""What comes then, and waits for the gate."""
WAITS = SOURCE.replace("while gate is not None and", f"while x >= {BRIEF} and")


@pytest.fixture
def study(own):
    """A study of short experiments, and a Postgres that writes what was not waited for as late as it can."""
    writer = own.rows("SHOW wal_writer_delay")[0][0]
    own.rows("ALTER SYSTEM SET wal_writer_delay = '10s'")
    own.rows("SELECT pg_reload_conf()")
    yield own.study(BRIEF + HELD, source=WAITS, gated=True)
    own.rows(f"ALTER SYSTEM SET wal_writer_delay = '{writer}'")
    own.rows("SELECT pg_reload_conf()")


def heard(own, worker):
    """Whether the others have heard of a worker since it was given up."""
    return own.rows("SELECT 1 FROM worker WHERE name LIKE %s AND stopped_at IS NULL", f"{worker.name}@%") != []


def test_what_a_stopped_worker_had_begun_is_another_attempt_though_postgres_has_forgotten_it(own, study):
    # Given a worker that is stopped in the moment in which Postgres crashes and forgets what it has begun
    stopped, _ = own.workers(2, "-Q", study.queue, "-c", "2")
    study.enqueue().await_begun(BRIEF + 4)
    own.kill_postgres()
    stopped.signal(signal.SIGSTOP)
    own.up()
    # When another one has begun that too, and the first one goes on
    own.worker("-Q", study.queue, "-c", "4")
    eventually(lambda: not heard(own, stopped), "the worker to be given up", PATIENCE)
    study.await_begun(BRIEF + HELD + 2)
    stopped.signal(signal.SIGCONT)
    eventually(lambda: heard(own, stopped), "the worker to be heard again", PATIENCE)
    study.open_gate()
    study.await_closed()
    # Then each attempt was one execution, and each execution is an attempt
    eventually(lambda: study.strangers() == [], "all executions to be attempts", PATIENCE)
    assert_consistent(study, BRIEF + HELD, among={"lost"})
