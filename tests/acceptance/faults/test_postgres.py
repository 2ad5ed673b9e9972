"""Postgres is killed with all of its processes and restarts, or a client dies during an enqueue."""

import json
import signal
import subprocess
import sys

from acceptance.faults.support import Study, assert_consistent
from tests_support import eventually

from qexp.errors import DatabaseUnreachableError

MANY = 60_000


def test_experiments_that_run_while_postgres_is_killed_are_neither_lost_nor_repeated(own):
    study = own.study(2, gated=True).enqueue()
    own.worker("-Q", study.queue, "-c", "2")
    study.await_begun(2)
    own.kill_postgres()
    own.up()
    study.open_gate()
    study.await_closed()
    assert_consistent(study, 2, {"done": 2})


def test_outcomes_while_postgres_is_down_are_recorded_when_it_is_back(own):
    study = own.study(4, gated=True).enqueue()
    worker = own.worker("-Q", study.queue, "-c", "2")
    study.await_begun(2)
    own.kill_postgres()
    study.open_gate()
    worker.await_text("waits for Postgres")
    own.up()
    study.await_closed()
    assert_consistent(study, 4, {"done": 4})


def test_repeated_kills_of_postgres_while_experiments_start_and_end_lose_nothing(own):
    study = own.study(160, settings={"seconds": 0.02})
    own.workers(2, "-Q", study.queue, "-c", "2")
    study.enqueue()
    for number in (20, 60, 100):
        study.await_done(number)
        own.kill_postgres()
        own.up()
    study.await_closed()
    assert_consistent(study, 160, {"done": 160})


def test_an_enqueue_during_which_postgres_is_killed_can_be_repeated(own):
    # Given a client that adds many experiments
    study = own.study(MANY)
    client = enqueueing(study)
    eventually(lambda: has_begun(study) or client.poll() is not None, "the enqueue to begin")
    # When Postgres is killed
    own.kill_postgres()
    _, said = client.communicate(timeout=60)
    own.up()
    # Then all experiments exist or none, as the client says; it names the unreachable service
    there = sum(study.statuses().values())
    assert (client.returncode, there) in ((3, 0), (3, MANY), (0, MANY)), said
    assert "Traceback" not in said
    assert client.returncode == 0 or "Postgres" in said.splitlines()[-1], said
    # And a repeated enqueue succeeds
    assert enqueueing(study).wait() == 0
    assert sum(study.statuses().values()) == MANY
    assert not study.statuses().keys() - {"pending", "queued"}


def test_an_enqueue_in_python_names_a_postgres_that_goes_down(own):
    study = own.study(10)
    own.kill_postgres()
    try:
        study.enqueue()
    except DatabaseUnreachableError as error:
        assert "Postgres" in str(error)
    else:
        raise AssertionError("the enqueue should have failed")
    own.up()
    study.enqueue()
    own.worker("-Q", study.queue, "-c", "2")
    study.await_closed()
    assert_consistent(study, 10, {"done": 10})


def test_a_client_that_is_killed_before_its_experiments_are_committed_leaves_none(own):
    study = own.study(MANY)
    client = enqueueing(study)
    eventually(lambda: has_begun(study) or client.poll() is not None, "the enqueue to begin")
    client.send_signal(signal.SIGKILL)
    client.wait()
    eventually(lambda: not has_begun(study), "its transaction to be rolled back")
    there = sum(study.statuses().values())
    assert there in (0, MANY)
    assert enqueueing(study).wait() == 0
    assert sum(study.statuses().values()) == MANY


def enqueueing(study: Study) -> subprocess.Popen[str]:
    """Enqueue a study from a separate process."""
    (study.folder / "grid.yaml").write_text(json.dumps(study.grid))
    return subprocess.Popen(
        [sys.executable, "-m", "qexp", "enqueue", "grid.yaml"],
        cwd=study.folder,
        env=study.site.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def has_begun(study: Study) -> bool:
    """Return whether a client is copying experiments to Postgres."""
    query = "SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state <> 'idle' AND query ~ 'staged'"
    return bool(study.site.rows(query))
