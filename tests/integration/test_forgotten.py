"""A claim that a crash of Postgres has undone is made again by whoever holds it, for that very attempt."""

import uuid

import pytest

from qexp.grid import Grid
from qexp.model import Failure, Status
from qexp.store import hot
from qexp.store.line import Line
from qexp.store.selectors import Selection
from qexp.worker.attempt.delivery import Delivery, Ended

FINE = hot.Outcome(result={"y": 1})
WRONG = hot.Outcome(error=hot.Error(Failure.ERROR, "ValueError", "no"))


@pytest.fixture
def claimed(client, raw, tmp_path, worker):
    """Claims of two experiments, as a process holds them."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = f"forgotten_{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": [1, 2]}, "queue": "nobody"}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    ids = [row.id for row in client.experiments(Selection(name))]
    return hot.claims(raw, ids, worker(), 7)


@pytest.fixture
def delivery(client):
    line = Line(client.settings)
    yield Delivery(client.settings, line)
    line.release()


def forget(raw, *claims):
    """Undo what the claims have done, as a server that crashed before they were on its disk."""
    raw.execute(
        "UPDATE experiment SET status = 'queued', attempt = attempt - 1, worker = NULL, pid = NULL, revision = NULL, "
        "started_at = NULL WHERE id = ANY(%s)",
        [[claim.id for claim in claims]],
    )


def end(delivery, *claims):
    return delivery.deliver_all([Ended(claim, FINE, hot.done(claim, FINE, 1.0, 2.0)) for claim in claims])


def attempts(client, claim):
    (shown,) = client.show(Selection(ids=((claim.id, claim.id),)))
    return shown.experiment.status, [(item.number, item.outcome) for item in shown.attempts]


def test_results_of_forgotten_claims_count(client, raw, claimed, delivery):
    forget(raw, claimed[0])
    assert end(delivery, *claimed) == []
    for claim in claimed:
        assert attempts(client, claim) == (Status.DONE, [(1, "done")])


@pytest.mark.parametrize(("outcome", "status", "word"), [(FINE, "done", "done"), (WRONG, "failed", "error")])
def test_an_outcome_by_itself_counts_too(client, raw, claimed, delivery, outcome, status, word):
    forget(raw, claimed[0])
    assert delivery.deliver(claimed[0], outcome) == outcome
    assert attempts(client, claimed[0]) == (Status(status), [(1, word)])


def test_what_somebody_else_has_claimed_since_is_not_taken_from_them(client, raw, claimed, delivery, worker):
    forget(raw, claimed[0])
    other = hot.claim(raw, claimed[0].id, worker(), 8)
    end(delivery, claimed[0])
    assert attempts(client, claimed[0]) == (Status.RUNNING, [])
    assert hot.finish(raw, other, FINE)


def test_what_was_tried_by_somebody_else_since_is_not_taken(client, raw, claimed, delivery, worker):
    forget(raw, claimed[0])
    other = worker()
    hot.claim(raw, claimed[0].id, other, 8)
    hot.release(raw, other)
    client.announce(client.study(claimed[0].study))
    end(delivery, claimed[0])
    assert attempts(client, claimed[0]) == (Status.QUEUED, [(1, "released")])


def test_what_was_cancelled_since_stays_cancelled(client, raw, claimed, delivery):
    forget(raw, claimed[0])
    raw.execute("UPDATE experiment SET status = 'cancelled' WHERE id = %s", [claimed[0].id])
    end(delivery, claimed[0])
    assert attempts(client, claimed[0]) == (Status.CANCELLED, [])


def test_claims_that_were_not_forgotten_are_left_alone(raw, claimed):
    held = {claim.id: claim.attempt for claim in claimed}
    assert hot.claim_again(raw, held, claimed[0].worker, 7) == []
    forget(raw, claimed[1])
    assert hot.claim_again(raw, held, claimed[0].worker, 7) == [claimed[1].id]
