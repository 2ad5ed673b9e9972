"""The doctor names live workers that take no messages, and no others."""

import uuid

import pytest

from qexp.client.doctor import runtime_checks as doctor
from qexp.client.doctor.finding import DoctorState, Verdict
from qexp.grid import Grid
from qexp.model import Outcome
from qexp.settings import SettingsWithOrigins
from qexp.store.reads import health
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, worker_rows

LONG = 30.0


@pytest.fixture
def queue():
    return f"q_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def ids(client, raw, queue, tmp_path):
    """Two experiments announced on a queue a minute ago."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = f"deaf_{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": [1, 2]}, "queue": queue}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    found = [view.id for view in client.experiments(Selection(name))]
    raw.execute("UPDATE experiment SET queued_at = now() - interval '1 min' WHERE id = ANY (%s)", [found])
    yield found
    raw.execute("UPDATE experiment SET status = 'cancelled' WHERE id = ANY (%s)", [found])


@pytest.fixture
def worker(raw, queue):
    """A worker of that queue with one child, which began a minute ago."""
    made = uuid.uuid4()
    worker_rows.register(raw, made, worker_rows.WorkerInfo("here", 1, f"{queue}@here", [queue], 1))
    raw.execute("UPDATE worker SET started_at = now() - interval '1 min' WHERE id = %s", [made])
    yield made
    worker_rows.deregister(raw, made)


def deaf(client, queue):
    with client.begin() as connection:
        return f"{queue}@here" in health.deaf(connection, client.settings.lease, LONG)


def test_a_worker_with_a_free_child_that_takes_nothing_while_experiments_wait_is_named(client, queue, ids, worker):
    assert deaf(client, queue)
    findings = list(doctor.progress("progress", DoctorState(SettingsWithOrigins(client.settings, {}))))
    assert [finding.verdict for finding in findings] == [Verdict.WARNING]
    assert f"{queue}@here" in findings[0].found


def test_a_worker_that_is_busy_or_has_just_claimed_or_finished_is_not_named(client, raw, queue, ids, worker):
    # Given a worker that has just claimed one
    claim = claiming.claim(raw, ids[0], worker, 1)
    assert not deaf(client, queue)
    # Or claimed one long ago and has no free child
    raw.execute("UPDATE experiment SET started_at = now() - interval '1 min' WHERE id = %s", [claim.id])
    assert not deaf(client, queue)
    # Or has just finished it
    assert claiming.finish(raw, claim, Outcome(result={"y": 1}))
    assert not deaf(client, queue)
    # But it is named if it finished long ago while the other one waits
    raw.execute("UPDATE attempt SET finished_at = now() - interval '1 min' WHERE experiment = %s", [claim.id])
    assert deaf(client, queue)


def test_a_worker_whose_queue_has_no_long_waiting_experiment_is_not_named(client, raw, queue, ids, worker):
    raw.execute("UPDATE experiment SET queued_at = now() WHERE id = ANY (%s)", [ids])
    assert not deaf(client, queue)
    raw.execute("UPDATE experiment SET queued_at = now() - interval '1 min' WHERE id = ANY (%s)", [ids])
    raw.execute("UPDATE study SET paused_at = now() WHERE queue = %s", [queue])
    assert not deaf(client, queue)


def test_a_silent_or_just_started_worker_is_not_named(client, raw, queue, ids, worker):
    raw.execute("UPDATE worker SET last_seen = now() - interval '1 h' WHERE id = %s", [worker])
    assert not deaf(client, queue)
    raw.execute("UPDATE worker SET last_seen = now(), started_at = now() WHERE id = %s", [worker])
    assert not deaf(client, queue)
