"""The lines of a worker's log about the progress of studies and of its queues."""

from datetime import UTC, datetime

import pytest

from qexp.model import Counts, Status
from qexp.store.reads.study_progress import StudyProgress
from qexp.store.reads.worker_progress import OpenStudies, SettledStudy
from qexp.worker.main import progress_lines

NOTHING = OpenStudies([], [], [], 0, None, {})


def progress(rate=None, paused_at=None, has_worker=True, **numbers):
    counts = Counts({status: numbers.get(str(status), 0) for status in Status})
    return StudyProgress("lenet", counts, rate, has_worker, paused_at)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            progress(12.34, done=1204, failed=3, running=8, queued=85, pending=700),
            "lenet: 1,204 done, 3 failed, 8 running, 785 waiting (12.3/s, 1 min 4 s left)",
        ),
        (progress(running=8), "lenet: 8 running"),
        (progress(0.5, has_worker=False, done=2, pending=10), "lenet: 2 done, 10 waiting (30/min)"),
        (progress(0.5, done=2, pending=10, paused_at=datetime.now(UTC)), "lenet: 2 done, 10 waiting (30/min)"),
    ],
)
def test_a_running_study_has_its_numbers_without_zeros_and_the_time_left(found, text):
    assert progress_lines.progress(found) == text
    assert len(text) <= 80


@pytest.mark.parametrize(
    ("found", "seconds", "text"),
    [
        (progress(done=57), 700.0, "lenet finished: 57 done in 11 min 40 s"),
        (
            progress(done=57, failed=3, cancelled=1),
            12.0,
            "lenet finished: 57 done, 3 failed, 1 cancelled in 12 s; see 'qexp errors lenet'",
        ),
        (progress(cancelled=2), None, "lenet finished: 2 cancelled"),
        (
            progress(done=5, pending=7, queued=1, paused_at=datetime.now(UTC)),
            3.0,
            "lenet is paused: 5 done, 8 waiting; 'qexp resume lenet' continues it",
        ),
    ],
)
def test_a_settled_study_has_finished_or_is_paused(found, seconds, text):
    assert progress_lines.settled(SettledStudy(found, seconds)) == text


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({}, "waiting: nothing to do on queue q"),
        ({"paused": ["a", "b", "c"]}, "waiting: nothing to do on queue q; 3 studies are paused"),
        ({"paused": ["lenet"]}, "waiting: nothing to do on queue q; lenet is paused"),
        ({"retries": 3, "retry_in": 8.2}, "waiting: 3 retries on queue q, the next in 8 s"),
        ({"retries": 1, "retry_in": 0.4}, "waiting: 1 retry on queue q, the next in a moment"),
        ({"elsewhere": ["lenet"]}, "waiting: nothing to do on queue q; lenet runs on other workers"),
        (
            {"other_queues": {"gpu": 2, "big": 1, "x": 1}},
            "waiting: nothing to do on queue q; 2 studies wait on queue gpu; 1 study waits on queue big",
        ),
        ({"ready": ["lenet"]}, "waiting: lenet could run here, but no message comes; see 'qexp explain lenet'"),
    ],
)
def test_a_worker_without_experiments_says_why(state, text):
    assert progress_lines.waiting(["q"], OpenStudies(**{**vars(NOTHING), **state})) == text


def test_many_queues_are_named_in_part():
    assert progress_lines.waiting(["a", "b", "c"], NOTHING) == "waiting: nothing to do on queues a, b and 1 more"
