"""The leader recovers the experiments of silent workers, and no others."""

import time
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from tests_support import eventually

from qexp.grid import Grid
from qexp.model import Error, Failure, Outcome, Status
from qexp.queueing.sizing import divide
from qexp.store.reads import study_rows
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, publishing, worker_rows
from qexp.worker.main.leader import Leader
from qexp.worker.slots import SlotTable

LOST = Error(Failure.LOST, "WorkerLost", "its worker was last heard of at noon", fingerprint="abc")


@pytest.fixture
def two(client, raw, tmp_path):
    """Two experiments, each run by its own worker, as (experiment id, worker id, claim)."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = f"rescue_{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": [1, 2]}, "queue": "nobody"}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    raw.execute("UPDATE experiment SET status = 'cancelled' WHERE status = 'running'")  # rows of earlier tests
    raw.execute("UPDATE worker SET stopped_at = now() WHERE stopped_at IS NULL")
    made = []
    for view in client.experiments(Selection(name)):
        worker = uuid.uuid4()
        worker_rows.register(raw, worker, worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 1))
        made.append((view.id, worker, claiming.claim(raw, view.id, worker, 1)))
    return made


def in_a_minute():
    return datetime.now(UTC) + timedelta(seconds=60)


def statuses(client, two):
    return [client.experiments(Selection(ids=((number, number),)))[0].status for number, _, _ in two]


def test_experiments_of_a_silent_worker_run_again_immediately_and_charge_only_the_lost_budget(client, raw, two):
    (number, silent, claim), (_, loud, _) = two
    worker_rows.beat(raw, loud, in_a_minute())
    (gone,) = [worker for worker in worker_rows.silent(raw, 30, in_a_minute()) if worker.experiments]
    assert (gone.worker, gone.experiments) == (silent, [number])
    (failed,) = worker_rows.recover(raw, gone, LOST)
    assert (failed.id, failed.attempt) == (number, 1)
    with client.begin() as connection:
        assert claim.study_id in [study.id for study in study_rows.waiting(connection)]
    assert statuses(client, two) == ["pending", "running"]
    assert not claiming.finish(raw, claim, Outcome(result={"y": 1})), "a late result is discarded"
    client.publisher.publish_studies([claim.study_id])
    assert claiming.claim(raw, number, loud, 1).attempt == 2


def test_a_worker_is_recovered_once_and_informed_when_it_comes_back(raw, two):
    (_, silent, _), (_, loud, _) = two
    worker_rows.beat(raw, loud, in_a_minute())
    assert [worker.worker for worker in worker_rows.silent(raw, 30, in_a_minute())] == [silent]
    worker_rows.recover(raw, worker_rows.SilentWorker(silent, "", "", in_a_minute(), False, [two[0][0]]), LOST)
    assert worker_rows.silent(raw, 30, in_a_minute()) == []
    assert worker_rows.beat(raw, silent).given_up
    assert not worker_rows.beat(raw, silent).given_up


def test_a_stopped_worker_with_running_experiments_is_recovered_too(raw, two):
    (number, left, _), (_, loud, _) = two
    worker_rows.deregister(raw, left)
    worker_rows.beat(raw, loud, in_a_minute())
    (gone,) = worker_rows.silent(raw, 30, in_a_minute())
    assert gone.experiments == [number]


def test_after_five_lost_workers_an_experiment_fails(client, raw, two):
    number, worker, claim = two[0]
    for attempt in range(1, 7):
        if attempt > 1:
            client.publisher.publish_studies([claim.study_id])
            claim = claiming.claim(raw, number, worker, 1)
        assert claim.attempt == attempt
        (failed,) = worker_rows.recover(
            raw, worker_rows.SilentWorker(worker, "", "", in_a_minute(), False, [number]), LOST
        )
        assert (failed.retry_in is None) == (attempt == 6)
    assert statuses(client, two)[0] == "failed"


def died(raw, worker, experiment, boot="b", told=False):
    """Have a worker die with an experiment while another worker of its host lives; return the recovered experiments."""
    raw.execute("UPDATE worker SET boot = NULL WHERE boot = %s", [boot])
    raw.execute("UPDATE worker SET boot = %s, told_to_stop = %s WHERE id = %s", [boot, told, worker])
    raw.execute("UPDATE worker SET last_seen = now() - interval '1 min' WHERE id = %s", [worker])
    neighbour = uuid.uuid4()
    worker_rows.register(raw, neighbour, worker_rows.WorkerInfo("here", 2, "neighbour@here", ["nobody"], 2, boot="b"))
    (gone,) = [silent for silent in worker_rows.silent(raw, 30) if silent.experiments == [experiment]]
    return gone


@pytest.mark.parametrize(
    ("boot", "told", "is_death"), [("b", False, True), ("c", False, False), ("b", True, False)], ids=str
)
def test_a_worker_counts_as_dead_if_its_host_lives_and_it_was_not_told_to_stop(raw, two, boot, told, is_death):
    number, worker, _ = two[0]
    assert died(raw, worker, number, boot, told).died == is_death


def test_an_experiment_that_was_running_in_two_deaths_of_workers_runs_alone_and_fails_by_the_third(
    client, raw, two, worker
):
    # Given an experiment that ran in two dying workers, each on a host that stayed up
    number, first, claim = two[0]
    isolations = []
    for attempt, current in enumerate([first, worker(), worker()], 1):
        if attempt > 1:
            client.publisher.publish_studies([claim.study_id])
            isolations.append(claiming.claim(raw, number, current, 1).isolation)
        worker_rows.recover(raw, died(raw, current, number), LOST)
    # Then its third attempt had its own process
    assert isolations == ["child", "process"]
    # And the third death fails this experiment by name and charges no other
    (shown,) = client.show(Selection(ids=((number, number),)))
    assert [attempt.outcome for attempt in shown.attempts] == ["lost", "lost", "crashed"]
    assert shown.attempts[-1].error_type == "WorkerKilled"
    assert shown.experiment.status == Status.FAILED
    assert "because it ended each of the workers that ran it" in client.explain(number).sentences[1].text
    # And it may be requeued
    client.requeue(Selection(ids=((number, number),)))
    assert claiming.claim(raw, number, worker(), 1).isolation == "child"


def test_a_worker_runs_one_isolated_experiment_at_a_time(client, raw, two, worker):
    # Given two experiments that ran in two dying workers
    numbers = [number for number, _, _ in two]
    raw.execute(
        "UPDATE experiment SET worker_deaths = 2, status = 'queued', worker = NULL, pid = NULL, started_at = NULL "
        "WHERE id = ANY (%s)",
        [numbers],
    )
    one = worker()
    assert claiming.claim(raw, numbers[0], one, 1).isolation == "process"
    # When the same worker takes the second one, then it returns it for others
    assert claiming.claim(raw, numbers[1], one, 2) is None
    assert claiming.hand_over(raw, [numbers[1]], one) == [numbers[1]]
    assert statuses(client, two) == ["running", "pending"]


def test_an_isolated_experiment_has_its_own_message():
    items = [publishing.QueuedExperiment(number, 0, "{}", alone=number == 5) for number in range(20)]
    messages = divide(items, 100, 1, is_tail=False)
    assert [message for message in messages if items[5] in message] == [[items[5]]]
    assert sorted(item.id for message in messages for item in message) == list(range(20))


def test_an_experiment_that_is_released_too_often_fails(client, raw, two, worker):
    # Given a study that allows two releases of an experiment
    number, current, claim = two[0]
    raw.execute("UPDATE revision SET retries = retries || '{\"released\": 2}' WHERE study = %s", [claim.study_id])
    for _ in range(2):
        assert claiming.release(raw, current, [number])
        client.publisher.publish_studies([claim.study_id])
        assert claiming.claim(raw, number, current, 1) is not None
    # When it is released a third time
    assert claiming.release(raw, current, [number])
    # Then it has failed, and its error gives the reason
    (shown,) = client.show(Selection(ids=((number, number),)))
    assert [attempt.outcome for attempt in shown.attempts] == ["released", "released", "crashed"]
    assert shown.attempts[-1].error_message == "it was given back 3 times and never finished"
    assert (shown.experiment.status, shown.experiment.failure) == (Status.FAILED, "crashed")
    assert "all 2 retries that its study gives to 'released' are used" in client.explain(number).sentences[1].text


def test_a_leader_whose_connection_is_cut_repeatedly_still_recovers(client, raw, two, tmp_path, monkeypatch):
    # Given a silent worker, and a leader that loses its connections although Postgres is up
    (_, silent, _), (_, loud, _) = two
    raw.execute("UPDATE worker SET last_seen = now() - interval '1 h' WHERE id = %s", [silent])
    raw.execute("DELETE FROM leader")
    slots = SlotTable(tmp_path / "slots")
    slots.create()
    leader = Leader(client.settings.model_copy(update={"lease": 3}), loud, slots, lambda: None)
    look, late = leader.jobs.run_due, []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 1.2 * len(late))
    monkeypatch.setattr("qexp.worker.main.leader.time", clock)

    def check_slowly(run_all=False):
        """Advance the leader's clock by 1.2 s, more than a third of the lease, like a busy machine."""
        late.append(run_all)
        return look(run_all)

    leader.jobs.run_due = check_slowly

    def taken_back():
        worker_rows.beat(raw, loud)
        assert leader.run_once()
        leader.connection.close()
        return statuses(client, two)[0] != "running"

    # When it checks for longer than a lease, then it recovers the experiments of that worker
    try:
        eventually(taken_back, "the experiment to be recovered")
    finally:
        raw.execute("DELETE FROM leader")
        leader.stop(hurry=True)
