"""A requeue runs finished experiments again and keeps their history."""

import threading
import uuid

import pytest
from tests_support import eventually

from qexp.client import Client
from qexp.errors import UnknownExperimentError, UnknownStudyError
from qexp.grid import Grid
from qexp.model import Error, Failure, Outcome, Status
from qexp.store.connection import connect
from qexp.store.selection.selectors import Selection, parse
from qexp.store.writes import claiming, worker_rows


@pytest.fixture
def study(client, raw, tmp_path):
    """Four experiments: the first done, two failed with different errors, the last queued."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name, worker = f"requeue_{uuid.uuid4().hex[:8]}", uuid.uuid4()
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": [1, 2, 3, 4]}, "queue": "nobody"}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    worker_rows.register(raw, worker, worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 2))
    outcomes = [
        Outcome(result={"y": 1}),
        Outcome(error=Error(Failure.ERROR, "ValueError", "bad 2", "f.py:1 in f", "aaaa11112222", "Trace 2")),
        Outcome(error=Error(Failure.ERROR, "KeyError", "bad 3", "f.py:2 in f", "bbbb11112222", "Trace 3")),
    ]
    for view, outcome in zip(client.experiments(Selection(name)), outcomes, strict=False):
        assert claiming.finish(raw, claiming.claim(raw, view.id, worker, 1), outcome)
    return name


def statuses(client, study):
    return [view.status.value for view in client.experiments(Selection(study))]


def test_failed_experiments_run_again_and_keep_their_traces(client, study):
    done = client.requeue(parse([study], failed=True))
    assert len(done.ids) == 2
    assert statuses(client, study) == ["done", "queued", "queued", "queued"]
    (shown,) = client.show(Selection(ids=((done.ids[0],) * 2,)))
    assert [attempt.traceback for attempt in shown.attempts] == ["Trace 2"]


def test_one_error_group_runs_again_by_its_first_digits(client, study):
    assert len(client.requeue(parse([study], error="bbbb11")).ids) == 1
    assert statuses(client, study) == ["done", "failed", "queued", "queued"]


def test_a_done_experiment_that_runs_again_has_no_result_meanwhile(client, study):
    client.requeue(parse([study], ["done"]))
    view = client.experiments(Selection(study))[0]
    assert (view.status, view.result) == (Status.QUEUED, None)


def test_a_result_that_arrives_during_a_requeue_is_not_lost(client, raw, study):
    # Given a requeue that waits for an experiment locked by another transaction
    views, worker = client.experiments(Selection(study)), uuid.uuid4()
    worker_rows.register(raw, worker, worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 1))
    claim = claiming.claim(raw, views[-1].id, worker, 1)
    with connect(client.settings) as other, other.transaction():
        other.execute("SELECT FROM experiment WHERE id = %s FOR UPDATE", [views[0].id])
        holder = other.execute("SELECT pg_backend_pid()").fetchone()[0]
        thread = threading.Thread(target=lambda: Client(client.settings).requeue(Selection(study)))
        thread.start()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        eventually(lambda: raw.execute(waiting, [holder]).fetchone(), "the requeue to wait")
        # When another experiment finishes meanwhile
        assert claiming.finish(raw, claim, Outcome(result={"y": 4}))
    thread.join()
    # Then its result is stored
    assert client.experiments(Selection(study))[-1].result == {"y": 4}
    assert statuses(client, study) == ["queued", "queued", "queued", "done"]


def test_open_experiments_are_unchanged(client, study):
    last = client.experiments(Selection(study))[-1].id
    done = client.requeue(parse([str(last)]))
    assert (done.ids, done.still_open) == ([], 1)


def test_requeued_experiments_are_claimed_as_the_next_attempt(client, raw, study):
    done = client.requeue(parse([study], failed=True))
    worker = uuid.uuid4()
    worker_rows.register(raw, worker, worker_rows.WorkerInfo("there", 1, "worker@there", ["nobody"], 1))
    assert claiming.claim(raw, done.ids[0], worker, 1).attempt == 2


def test_errors_are_grouped_largest_first_with_their_last_frame(client, study):
    groups = client.errors(Selection(study))
    assert [(group.error_type, group.count, group.error_frame) for group in groups] == [
        ("ValueError", 1, "f.py:1 in f"),
        ("KeyError", 1, "f.py:2 in f"),
    ]


def test_an_unknown_study_names_the_nearest(client, study):
    with pytest.raises(UnknownStudyError, match=study):
        client.requeue(parse([study + "x"], failed=True))


def test_an_unknown_id_is_named_and_nothing_is_changed(client, study):
    before = statuses(client, study)
    ids = client.experiments(Selection(study))
    with pytest.raises(UnknownExperimentError, match="no experiment has the id 99999999"):
        client.requeue(parse([f"{ids[0].id},99999999"]))
    assert statuses(client, study) == before


def test_a_frame_has_typed_columns_and_the_failed_rows(client, study):
    frame = client.frame(Selection(study))
    assert list(frame.columns) == [
        *("id", "x", "status", "attempt", "revision", "host"),
        *("started_at", "duration", "last_attempt", "failure", "error"),
    ]
    assert frame["x"].tolist() == [1, 2, 3, 4]
    assert str(frame["x"].dtype) == "int64"
    assert frame["error"].tolist()[1:3] == ["ValueError: bad 2", "KeyError: bad 3"]
    assert frame["host"].iloc[0] == "here"
