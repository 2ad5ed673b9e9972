"""Workers that go silent lose what they run, and only that."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from qexp.grid import Grid
from qexp.model import Failure
from qexp.store import hot, leases, studies
from qexp.store.selectors import Selection

LOST = hot.Error(Failure.LOST, "WorkerLost", "its worker was last heard of at noon", fingerprint="abc")


@pytest.fixture
def two(client, raw, tmp_path):
    """A study of two experiments, each run by a worker of its own: (experiment's id, worker's id, claim) twice."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = f"rescue_{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": [1, 2]}, "queue": "nobody"}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    raw.execute("UPDATE experiment SET status = 'cancelled' WHERE status = 'running'")  # what earlier tests left
    raw.execute("UPDATE worker SET stopped_at = now() WHERE stopped_at IS NULL")
    made = []
    for view in client.experiments(Selection(name)):
        worker = uuid.uuid4()
        leases.register(raw, worker, leases.Station("here", 1, "worker@here", ["nobody"], 1))
        made.append((view.id, worker, hot.claim(raw, view.id, worker, 1)))
    return made


def in_a_minute():
    return datetime.now(UTC) + timedelta(seconds=60)


def statuses(client, two):
    return [client.experiments(Selection(ids=((number, number),)))[0].status for number, _, _ in two]


def test_what_a_silent_worker_ran_runs_again_at_once_without_costing_its_other_budgets(client, raw, two):
    (number, silent, claim), (_, loud, _) = two
    leases.beat(raw, loud, in_a_minute())
    (gone,) = [worker for worker in leases.silent(raw, 30, in_a_minute()) if worker.experiments]
    assert (gone.worker, gone.experiments) == (silent, [number])
    (failed,) = leases.rescue(raw, gone, LOST)
    assert (failed.id, failed.attempt) == (number, 1)
    with client.begin() as connection:
        assert claim.study_id in [study.id for study in studies.waiting(connection)]
    assert statuses(client, two) == ["pending", "running"]
    assert not hot.finish(raw, claim, hot.Outcome(result={"y": 1})), "a late result is discarded"
    client.announce_studies([claim.study_id])
    assert hot.claim(raw, number, loud, 1).attempt == 2


def test_a_worker_is_given_up_once_and_told_so_when_it_comes_back(raw, two):
    (_, silent, _), (_, loud, _) = two
    leases.beat(raw, loud, in_a_minute())
    assert [worker.worker for worker in leases.silent(raw, 30, in_a_minute())] == [silent]
    leases.rescue(raw, leases.Silent(silent, "", "", in_a_minute(), [two[0][0]]), LOST)
    assert leases.silent(raw, 30, in_a_minute()) == []
    assert leases.beat(raw, silent).given_up
    assert not leases.beat(raw, silent).given_up


def test_a_worker_that_left_and_still_has_something_running_is_given_up_too(raw, two):
    (number, left, _), (_, loud, _) = two
    leases.leave(raw, left)
    leases.beat(raw, loud, in_a_minute())
    (gone,) = leases.silent(raw, 30, in_a_minute())
    assert gone.experiments == [number]


def test_after_five_lost_workers_an_experiment_fails(client, raw, two):
    number, worker, claim = two[0]
    for attempt in range(1, 7):
        if attempt > 1:
            client.announce_studies([claim.study_id])
            claim = hot.claim(raw, number, worker, 1)
        assert claim.attempt == attempt
        (failed,) = leases.rescue(raw, leases.Silent(worker, "", "", in_a_minute(), [number]), LOST)
        assert (failed.due is None) == (attempt == 6)
    assert statuses(client, two)[0] == "failed"
