"""The clock of a node may be wrong by an hour, because qexp uses the clock of Postgres."""

import os
import signal

import pytest
from acceptance.faults.support import assert_consistent
from tests_support import eventually

OFF = """
import time
_now = time.time
time.time = lambda: _now() + {seconds}
time.time_ns = lambda: int(time.time() * 1e9)
"""


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_worker_with_a_wrong_clock_recovers_nothing_and_loses_nothing(own, tmp_path, seconds):
    # Given a leader whose clock is an hour ahead or behind, and a worker with a right clock
    (tmp_path / "sitecustomize.py").write_text(OFF.format(seconds=seconds))
    study = own.study(4, gated=True).enqueue()
    wrong = own.worker("-Q", study.queue, "-c", "2", PYTHONPATH=str(tmp_path))
    study.await_begun(2)
    own.worker("-Q", study.queue, "-c", "2")
    begun = study.await_begun(4)
    # When a child of the leader dies with a retry due soon, and both send heartbeats for several leases
    victim = begun[0]
    os.kill(victim.pid, signal.SIGKILL)
    eventually(lambda: study.outcomes()["crashed"], "the death to be recorded")
    study.await_begun(5)
    # Then neither worker was recovered, and no time is wrong by an hour
    assert wrong.alive
    study.open_gate()
    study.await_closed()
    assert_consistent(study, 4, {"done": 4, "crashed": 1})
    ((first, last),) = own.rows(
        "SELECT min(started_at) > now() - interval '30 min', max(finished_at) <= now() FROM attempt"
    )
    assert first and last
