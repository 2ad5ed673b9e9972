"""Claim and finish: one execution per experiment, fenced against whoever comes back late."""

import uuid

import psycopg
import pytest

from qexp.client import Client
from qexp.grid import Grid
from qexp.model import Failure, Status
from qexp.store import hot
from qexp.store.selectors import Selection

FINE = hot.Outcome(result={"y": 1})


@pytest.fixture
def experiment(client, raw, tmp_path):
    """An experiment that is queued, and nothing that would run it."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = f"hot_{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": 1}, "queue": "nobody"}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    return client.experiments(Selection(name))[0]


@pytest.fixture
def worker(raw):
    def worker():
        made = uuid.uuid4()
        hot.register(raw, made, "here", 1, "worker@here", ["nobody"], 2)
        return made

    return worker


def get(client: Client, number: int):
    (shown,) = client.show(Selection(ids=((number, number),)))
    return shown


def test_an_experiment_is_claimed_once(raw, experiment, worker):
    one, two = worker(), worker()
    claim = hot.claim(raw, experiment.id, one, pid=1)
    assert claim.attempt == 1
    assert claim.params == {"x": 1}
    assert hot.claim(raw, experiment.id, two, pid=2) is None
    assert hot.claim(raw, experiment.id, one, pid=1) is None


def test_an_unknown_id_is_not_claimed(raw, worker):
    assert hot.claim(raw, 2**60, worker(), pid=1) is None


def test_a_finished_experiment_is_done_with_its_attempt(client, raw, experiment, worker):
    claim = hot.claim(raw, experiment.id, worker(), pid=1)
    assert hot.finish(raw, claim, FINE)
    shown = get(client, experiment.id)
    assert (shown.experiment.status, shown.experiment.result) == (Status.DONE, {"y": 1})
    assert [attempt.outcome for attempt in shown.attempts] == ["done"]


def test_a_result_is_recorded_once(raw, experiment, worker):
    claim = hot.claim(raw, experiment.id, worker(), pid=1)
    assert hot.finish(raw, claim, FINE)
    assert not hot.finish(raw, claim, hot.Outcome(result={"y": 2}))


def test_a_worker_that_comes_back_cannot_overwrite_its_successor(client, raw, experiment, worker):
    # Given an experiment whose worker gave it up
    slow, fast = worker(), worker()
    silent = hot.claim(raw, experiment.id, slow, pid=1)
    assert hot.release(raw, slow) == [(experiment.id, silent.study_id)]
    # When a second worker has taken it over and the first comes back
    client.announce(client.study(experiment.study))
    successor = hot.claim(raw, experiment.id, fast, pid=2)
    assert not hot.finish(raw, silent, FINE)
    assert hot.finish(raw, successor, hot.Outcome(result={"y": 2}))
    # Then only the successor's result counts
    shown = get(client, experiment.id)
    assert shown.experiment.result == {"y": 2}
    assert [(attempt.number, attempt.outcome) for attempt in shown.attempts] == [(1, "released"), (2, "done")]


def test_the_same_worker_cannot_finish_an_earlier_attempt(client, raw, experiment, worker):
    same = worker()
    first = hot.claim(raw, experiment.id, same, pid=1)
    hot.release(raw, same)
    client.announce(client.study(experiment.study))
    assert hot.claim(raw, experiment.id, same, pid=1).attempt == 2
    assert not hot.finish(raw, first, FINE)


def test_a_crash_ends_only_what_ran_in_that_process(client, raw, experiment, worker):
    same = worker()
    hot.claim(raw, experiment.id, same, pid=7)
    error = hot.Error(Failure.CRASHED, "ProcessDied", "signal 9 (SIGKILL)", fingerprint="abc")
    assert hot.crash(raw, [experiment.id], same, 8, error) == []
    assert hot.crash(raw, [experiment.id], worker(), 7, error) == []
    assert hot.crash(raw, [experiment.id], same, 7, error) == [experiment.id]
    shown = get(client, experiment.id)
    assert (shown.experiment.status, shown.experiment.failure) == (Status.FAILED, Failure.CRASHED)
    assert shown.attempts[0].error_message == "signal 9 (SIGKILL)"


def test_new_names_of_results_become_columns_in_the_order_they_came(client, raw, experiment):
    study = client.study(experiment.study)
    assert hot.name_results(raw, study.id, ["loss", "acc"]) == ["loss", "acc"]
    assert hot.name_results(raw, study.id, ["acc"]) is None
    assert hot.name_results(raw, study.id, ["acc", "f1"]) == ["loss", "acc", "f1"]


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
def test_the_database_refuses_what_must_not_be(raw, experiment, change, rule):
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        raw.execute(f"UPDATE experiment SET {change} WHERE id = %s", [experiment.id])
    assert caught.value.diag.constraint_name == rule
