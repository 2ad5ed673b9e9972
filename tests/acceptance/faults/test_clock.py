"""The clock of a node is off by an hour: what counts is Postgres's."""

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
def test_a_worker_whose_clock_is_off_neither_takes_nor_loses_anything(own, tmp_path, seconds):
    # Given a worker that is an hour ahead or behind, and leads, and one whose clock is right
    (tmp_path / "sitecustomize.py").write_text(OFF.format(seconds=seconds))
    study = own.study(4, gated=True).enqueue()
    wrong = own.worker("-Q", study.queue, "-c", "2", PYTHONPATH=str(tmp_path))
    study.await_begun(2)
    own.worker("-Q", study.queue, "-c", "2")
    begun = study.await_begun(4)
    # When a child of it dies, whose retry is due soon, and both have beaten their hearts for several leases
    victim = begun[0]
    os.kill(victim.pid, signal.SIGKILL)
    eventually(lambda: study.outcomes()["crashed"], "the death to be noticed")
    study.await_begun(5)
    # Then nothing was taken from either, and nothing is early or late by an hour
    assert wrong.alive
    study.open_gate()
    study.await_closed()
    assert_consistent(study, 4, {"done": 4, "crashed": 1})
    ((first, last),) = own.rows(
        "SELECT min(started_at) > now() - interval '30 min', max(finished_at) <= now() FROM attempt"
    )
    assert first and last
