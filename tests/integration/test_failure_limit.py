"""A study is paused if and only if more experiments have failed than its grid allows."""

import uuid

import pytest

from qexp.grid import Grid
from qexp.model import Error, Failure, Outcome
from qexp.store.rules import failure_limit
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, worker_rows

FINE = Outcome(result={"y": 1})
TYPO = Outcome(error=Error(Failure.ERROR, "NameError", "name 'sine' is not defined", fingerprint="typo"))
OTHER = Outcome(error=Error(Failure.ERROR, "OSError", "no", fingerprint="other"))


@pytest.fixture
def study(client, raw, tmp_path):
    """Make a study with a failure limit and finished experiments; return its name and a function that finishes more."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    worker = uuid.uuid4()
    worker_rows.register(raw, worker, worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 2))

    def study(number, **stop_after):
        name = f"brake_{uuid.uuid4().hex[:8]}"
        keys = {"queue": "nobody", "stop_after": stop_after} if stop_after else {"queue": "nobody"}
        grid = {"study": name, "function": "experiment:f", "parameters": {"x": list(range(number))}, **keys}
        client.enqueue(Grid.from_dict(grid, tmp_path))
        return name

    def end(name, *outcomes):
        waiting = iter([view.id for view in client.experiments(Selection(name)) if view.status == "queued"])
        for outcome in outcomes:
            assert claiming.finish(raw, claiming.claim(raw, next(waiting), worker, 1), outcome)

    study.end = end
    return study


def exceeded(client, name):
    with client.begin() as connection:
        return {
            excess.name: (excess.failed, failure_limit.reason(connection, excess))
            for excess in failure_limit.exceeded(connection)
        }.get(name)


def test_the_limit_of_failures_pauses_and_one_less_does_not(client, study):
    name = study(30, failures=4)
    study.end(name, TYPO, FINE, OTHER, FINE, TYPO)
    assert exceeded(client, name) is None
    study.end(name, TYPO)
    told = f"4 of 6 failed, most by NameError: name 'sine' is not defined; see 'qexp errors {name}'"
    assert exceeded(client, name) == (4, told)


def test_a_share_of_failures_counts_from_ten_finished_experiments(client, study):
    name = study(30, rate=0.5)
    study.end(name, *[TYPO] * 9)
    assert exceeded(client, name) is None
    study.end(name, FINE)
    assert exceeded(client, name)[0] == 9
    other = study(60, rate=0.5)
    study.end(other, *[FINE] * 20, *[TYPO] * 19)
    assert exceeded(client, other) is None
    study.end(other, TYPO)
    assert exceeded(client, other)[1].startswith("20 of 40 failed")


def test_a_study_without_a_limit_or_without_waiting_experiments_is_not_paused(client, study):
    without, ended = study(5), study(2, failures=2)
    study.end(without, *[TYPO] * 4)
    study.end(ended, *[TYPO] * 2)
    assert exceeded(client, without) is exceeded(client, ended) is None


def test_after_a_resume_failures_count_from_zero(client, study):
    name = study(9, failures=2)
    study.end(name, TYPO, TYPO)
    assert exceeded(client, name)
    client.pause(name, "too much")
    assert exceeded(client, name) is None
    client.resume(name)
    assert exceeded(client, name) is None
    study.end(name, TYPO)
    assert exceeded(client, name) is None
    study.end(name, TYPO)
    assert exceeded(client, name)[1].startswith("2 of 2 failed")


def test_retried_and_requeued_experiments_do_not_count_as_failed(client, raw, study, tmp_path):
    name = study(9, failures=2)
    study.end(name, TYPO, TYPO)
    client.requeue(Selection(name, statuses=("failed",)))
    assert exceeded(client, name) is None


def test_a_failure_limit_uses_an_index_scan_for_any_number_of_experiments(client, raw, study):
    name = study(3, failures=2)
    number = client.study(name).id
    raw.execute(
        "INSERT INTO experiment (study, params, fingerprint, status, result, finished_at)"
        " SELECT %s, '{}', gen_random_uuid(), 'done', '{}', now() FROM generate_series(1, 20000)",
        [number],
    )
    raw.execute("ANALYZE experiment")
    scans = "SELECT seq_scan, seq_tup_read FROM pg_stat_user_tables WHERE relname = 'experiment'"
    raw.execute("SELECT pg_stat_force_next_flush()")
    before = raw.execute(scans).fetchone()
    with client.begin() as connection:
        failure_limit.exceeded(connection)
    raw.execute("SELECT pg_stat_force_next_flush()")
    after = raw.execute(scans).fetchone()
    assert after[1] - before[1] < 20_000
