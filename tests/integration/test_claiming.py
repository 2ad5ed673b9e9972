"""Claim and finish: each experiment runs once, and a fence refuses late finishes."""

import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from qexp.client import Client
from qexp.grid import Grid
from qexp.model import Departure, Error, Failure, Outcome, Status, Usage
from qexp.store.reads import study_rows
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, journal, worker_rows

FINE = Outcome(result={"y": 1})


@pytest.fixture
def experiment(client, raw, tmp_path):
    """A queued experiment without a worker."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = f"hot_{uuid.uuid4().hex[:8]}"
    retries = {"error": 2, "crashed": 1, "delay": "100s"}
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": 1}, "queue": "nobody", "retries": retries}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    return client.experiments(Selection(name))[0]


def get(client: Client, number: int):
    (shown,) = client.show(Selection(ids=((number, number),)))
    return shown


def test_an_experiment_is_claimed_once(raw, experiment, worker):
    one, two = worker(), worker()
    claim = claiming.claim(raw, experiment.id, one, pid=1)
    assert claim.attempt == 1
    assert claim.params == {"x": 1}
    assert claiming.claim(raw, experiment.id, two, pid=2) is None
    assert claiming.claim(raw, experiment.id, one, pid=1) is None


def test_an_unknown_id_is_not_claimed(raw, worker):
    assert claiming.claim(raw, 2**60, worker(), pid=1) is None


def test_a_finished_experiment_is_done_with_its_attempt(client, raw, experiment, worker):
    claim = claiming.claim(raw, experiment.id, worker(), pid=1)
    assert claiming.finish(raw, claim, FINE)
    shown = get(client, experiment.id)
    assert (shown.experiment.status, shown.experiment.result) == (Status.DONE, {"y": 1})
    assert [attempt.outcome for attempt in shown.attempts] == ["done"]


def test_a_result_is_recorded_once(raw, experiment, worker):
    claim = claiming.claim(raw, experiment.id, worker(), pid=1)
    assert claiming.finish(raw, claim, FINE)
    assert not claiming.finish(raw, claim, Outcome(result={"y": 2}))


def test_a_late_worker_cannot_overwrite_its_successor(client, raw, experiment, worker):
    # Given an experiment that its worker released
    slow, fast = worker(), worker()
    silent = claiming.claim(raw, experiment.id, slow, pid=1)
    assert claiming.release(raw, slow) == [(experiment.id, silent.study_id)]
    # When a second worker has claimed it and the first reports late
    client.publish(client.study(experiment.study))
    successor = claiming.claim(raw, experiment.id, fast, pid=2)
    assert not claiming.finish(raw, silent, FINE)
    assert claiming.finish(raw, successor, Outcome(result={"y": 2}))
    # Then only the successor's result counts
    shown = get(client, experiment.id)
    assert shown.experiment.result == {"y": 2}
    assert [(attempt.number, attempt.outcome) for attempt in shown.attempts] == [(1, "released"), (2, "done")]


def test_the_same_worker_cannot_finish_an_earlier_attempt(client, raw, experiment, worker):
    same = worker()
    first = claiming.claim(raw, experiment.id, same, pid=1)
    claiming.release(raw, same)
    client.publish(client.study(experiment.study))
    assert claiming.claim(raw, experiment.id, same, pid=1).attempt == 2
    assert not claiming.finish(raw, first, FINE)


def test_a_crash_ends_only_the_attempts_of_its_process(client, raw, experiment, worker):
    same = worker()
    claiming.claim(raw, experiment.id, same, pid=7)
    error = Error(Failure.CRASHED, "ProcessDied", "signal 9 (SIGKILL)", fingerprint="abc", signal="SIGKILL")
    assert claiming.crash(raw, [experiment.id], same, 8, error) == []
    assert claiming.crash(raw, [experiment.id], worker(), 7, error) == []
    (failed,) = claiming.crash(raw, [experiment.id], same, 7, error)
    assert (failed.id, failed.attempt) == (experiment.id, 1)
    assert failed.retry_in is not None
    (attempt,) = get(client, experiment.id).attempts
    assert (attempt.outcome, attempt.error_message, attempt.exit_signal) == (
        "crashed",
        "signal 9 (SIGKILL)",
        "SIGKILL",
    )


def fail(raw, experiment, worker, failure=Failure.ERROR):
    """Run an experiment to a failure; return its claim."""
    raw.execute("UPDATE experiment SET status = 'queued' WHERE id = %s AND status = 'pending'", [experiment.id])
    claim = claiming.claim(raw, experiment.id, worker, pid=1)
    assert claiming.finish(raw, claim, Outcome(error=Error(failure, "ValueError", "no", fingerprint="abc")))
    return claim


def status_and_delay(raw, experiment):
    """Return an experiment's status and the seconds until it is due, None if it is not waiting."""
    query = "SELECT status, extract(epoch FROM not_before - now())::float8 FROM experiment WHERE id = %s"
    return raw.execute(query, [experiment.id]).fetchone()


def test_a_failure_is_retried_later_each_time_until_its_budget_is_spent(client, raw, experiment, worker):
    same = worker()
    waits = []
    for _ in range(2):
        fail(raw, experiment, same)
        status, seconds = status_and_delay(raw, experiment)
        assert status == "pending"
        waits.append(seconds)
    assert 70 < waits[0] <= 125
    assert 140 < waits[1] <= 250
    fail(raw, experiment, same)
    assert status_and_delay(raw, experiment) == ("failed", None)
    assert [attempt.outcome for attempt in get(client, experiment.id).attempts] == ["error"] * 3


def test_each_way_of_failing_has_a_budget_of_its_own(raw, experiment, worker):
    same = worker()
    for failure, status in [("error", "pending"), ("crashed", "pending"), ("error", "pending"), ("crashed", "failed")]:
        fail(raw, experiment, same, Failure(failure))
        assert status_and_delay(raw, experiment)[0] == status


def test_a_function_that_cannot_be_called_is_not_retried(raw, experiment, worker):
    fail(raw, experiment, worker(), Failure.INVALID)
    assert status_and_delay(raw, experiment) == ("failed", None)


def test_a_requeue_resets_the_budget(client, raw, experiment, worker):
    same = worker()
    for _ in range(3):
        fail(raw, experiment, same)
    client.requeue(Selection(ids=((experiment.id, experiment.id),)))
    fail(raw, experiment, same)
    assert status_and_delay(raw, experiment)[0] == "pending"


def waiting(client):
    with client.begin() as connection:
        return [study.id for study in study_rows.waiting(connection)]


def test_a_retry_is_announced_when_it_is_due_and_not_before(client, raw, experiment, worker):
    claim = fail(raw, experiment, worker())
    known = client.study(experiment.study)
    assert client.publish(known) == 0
    assert claim.study_id not in waiting(client)
    raw.execute("UPDATE experiment SET not_before = now() WHERE id = %s", [experiment.id])
    assert claim.study_id in waiting(client)
    assert client.publish(known) == 1


def test_a_released_attempt_keeps_its_recorded_parts_and_the_next_one_starts_empty(client, raw, experiment, worker):
    same = worker()
    claim = claiming.claim(raw, experiment.id, same, pid=1)
    left = Outcome(result={"early": 1}, departure=Departure("released"))
    assert claiming.finish(raw, claim, left)
    assert not claiming.finish(raw, claim, left)
    client.publish(client.study(experiment.study))
    assert claiming.finish(raw, claiming.claim(raw, experiment.id, same, pid=1), FINE)
    shown = get(client, experiment.id)
    assert shown.experiment.result == {"y": 1}
    assert [attempt.result for attempt in shown.attempts] == [{"early": 1}, None]


def test_times_of_recorded_parts_stay_with_the_parts(raw, experiment, worker):
    same, moment = worker(), {"early": "2026-01-01T00:00:00+00:00"}
    query = "SELECT result, recorded_at FROM experiment WHERE id = %s"
    for outcome, expected in [("released", (None, None)), ("paused", ({"early": 1}, moment))]:
        raw.execute("UPDATE experiment SET status = 'queued' WHERE id = %s", [experiment.id])
        claim = claiming.claim(raw, experiment.id, same, pid=1)
        writer = journal.AttemptFence(claim.id, claim.attempt, same)
        if outcome == "released":
            assert journal.record(raw, writer, {"early": 1}, moment)
        assert claiming.finish(raw, claim, Outcome({"early": 1}, None, Departure(outcome), moment))
        assert raw.execute(query, [experiment.id]).fetchone() == expected


def test_a_paused_experiment_says_why_and_waits_for_a_person(client, raw, experiment, worker):
    claim = claiming.claim(raw, experiment.id, worker(), pid=1)
    assert claiming.finish(raw, claim, Outcome(departure=Departure("paused", "no licence")))
    shown = get(client, experiment.id)
    assert (shown.experiment.status, shown.experiment.reason) == (Status.PAUSED, "no licence")
    client.requeue(Selection(experiment.study, statuses=(Status.PAUSED,)))
    assert get(client, experiment.id).experiment.status is Status.QUEUED


def test_a_result_that_a_requeue_replaces_stays_with_its_attempt(client, raw, experiment, worker):
    assert claiming.finish(raw, claiming.claim(raw, experiment.id, worker(), pid=1), FINE)
    client.requeue(Selection(experiment.study, statuses=(Status.DONE,)))
    shown = get(client, experiment.id)
    assert (shown.experiment.result, shown.attempts[0].result) == (None, {"y": 1})


def test_the_usage_of_an_attempt_is_stored(client, raw, experiment, worker):
    usage = Usage(1.5, 2**30, None, 0.25)
    assert claiming.finish(raw, claiming.claim(raw, experiment.id, worker(), pid=1), Outcome(result={}, usage=usage))
    (attempt,) = get(client, experiment.id).attempts
    assert (attempt.cpu_seconds, attempt.peak_memory, attempt.energy_kwh) == (1.5, 2**30, 0.25)


def test_one_worker_leads_until_its_lease_ends_or_it_resigns(raw):
    raw.execute("DELETE FROM leader")
    one, two = uuid.uuid4(), uuid.uuid4()
    now = datetime.now(UTC)
    first = worker_rows.lead(raw, one, 10, 30, now)
    assert first is not None
    assert first.is_first
    again = worker_rows.lead(raw, one, 10, 30, now + timedelta(seconds=5))
    assert again is not None
    assert not again.is_first
    assert not worker_rows.lead(raw, two, 10, 30, now + timedelta(seconds=14))
    assert worker_rows.lead(raw, two, 10, 30, now + timedelta(seconds=16))
    worker_rows.resign(raw, two)
    assert worker_rows.lead(raw, one, 10, 30)
    raw.execute("DELETE FROM leader")


def test_new_names_of_results_become_columns_in_order_of_arrival(client, raw, experiment):
    study = client.study(experiment.study)
    assert claiming.name_results(raw, study.id, ["loss", "acc"]) == ["loss", "acc"]
    assert claiming.name_results(raw, study.id, ["acc"]) is None
    assert claiming.name_results(raw, study.id, ["acc", "f1"]) == ["loss", "acc", "f1"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("status = 'lost'", "a_status_is_one_of_seven"),
        ("origin = 'moon'", "an_origin_is_one_of_three"),
        ("status = 'failed'", "a_failed_experiment_says_how"),
        ("status = 'running'", "a_running_experiment_has_a_worker"),
        ("status = 'done'", "a_done_experiment_has_a_result"),
        ("failure = 'error'", "a_failed_experiment_says_how"),
    ],
)
def test_the_database_refuses_invalid_rows(raw, experiment, change, rule):
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        raw.execute(f"UPDATE experiment SET {change} WHERE id = %s", [experiment.id])
    assert caught.value.diag.constraint_name == rule
