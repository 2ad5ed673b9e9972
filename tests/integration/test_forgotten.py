"""A claim that a crash of Postgres has undone is made again by whoever holds it, for that very attempt."""

import os
import uuid
from datetime import timedelta

import pytest

from qexp.grid import Grid
from qexp.model import Failure, Status
from qexp.store import announcements, hot, leases
from qexp.store.line import Line
from qexp.store.selectors import Selection
from qexp.worker.attempt.delivery import Delivery, Ended
from qexp.worker.attendance import Attendance
from qexp.worker.heartbeat import Heart
from qexp.worker.tenure import Tenure

FINE = hot.Outcome(result={"y": 1})
PID = os.getpid()
WRONG = hot.Outcome(error=hot.Error(Failure.ERROR, "ValueError", "no"))


@pytest.fixture
def claimed(client, raw, tmp_path, worker):
    """Claims of two experiments, as a process holds them."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = f"forgotten_{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": [1, 2]}, "queue": "nobody"}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    ids = [row.id for row in client.experiments(Selection(name))]
    return hot.claims(raw, ids, worker(), PID)


@pytest.fixture
def crash(raw, intact):
    """Note that Postgres has crashed, and that every worker but some was heard of since, or was given up before."""

    def crash(*unheard):
        (since,) = raw.execute("UPDATE intact SET since = now() RETURNING since").fetchone()
        raw.execute("UPDATE worker SET last_seen = now() WHERE id <> ALL(%s)", [list(unheard)])
        return since

    yield crash
    raw.execute("UPDATE intact SET since = %s", [intact])


@pytest.fixture
def delivery(client):
    line = Line(client.settings)
    yield Delivery(client.settings, line)
    line.release()


def end(delivery, *claims):
    return delivery.deliver_all([Ended(claim, FINE, hot.done(claim, FINE, 1.0, 2.0)) for claim in claims])


def attempts(client, claim):
    (shown,) = client.show(Selection(ids=((claim.id, claim.id),)))
    return shown.experiment.status, [(item.number, item.outcome) for item in shown.attempts]


def test_results_of_forgotten_claims_count(client, raw, claimed, delivery, forget):
    forget(claimed[0])
    assert end(delivery, *claimed) == []
    for claim in claimed:
        assert attempts(client, claim) == (Status.DONE, [(1, "done")])


@pytest.mark.parametrize(("outcome", "status", "word"), [(FINE, "done", "done"), (WRONG, "failed", "error")])
def test_an_outcome_by_itself_counts_too(client, raw, claimed, delivery, outcome, status, word, forget):
    forget(claimed[0])
    assert delivery.deliver(claimed[0], outcome) == outcome
    assert attempts(client, claimed[0]) == (Status(status), [(1, word)])


def test_what_somebody_else_has_claimed_since_is_not_taken_from_them(client, raw, claimed, delivery, worker, forget):
    forget(claimed[0])
    other = hot.claim(raw, claimed[0].id, worker(), 8)
    end(delivery, claimed[0])
    assert attempts(client, claimed[0]) == (Status.RUNNING, [])
    assert hot.finish(raw, other, FINE)


def test_what_was_tried_by_somebody_else_since_is_not_taken(client, raw, claimed, delivery, worker, forget):
    forget(claimed[0])
    other = worker()
    hot.claim(raw, claimed[0].id, other, 8)
    hot.release(raw, other)
    client.announce(client.study(claimed[0].study))
    end(delivery, claimed[0])
    assert attempts(client, claimed[0]) == (Status.QUEUED, [(1, "released")])


def test_what_was_cancelled_since_stays_cancelled(client, raw, claimed, delivery, forget):
    forget(claimed[0])
    raw.execute("UPDATE experiment SET status = 'cancelled' WHERE id = %s", [claimed[0].id])
    end(delivery, claimed[0])
    assert attempts(client, claimed[0]) == (Status.CANCELLED, [(1, "lost")])


def test_claims_that_were_not_forgotten_are_left_alone(client, raw, claimed, forget):
    held = {claim.id: claim.attempt for claim in claimed}
    assert hot.claim_again(raw, held, claimed[0].worker, PID, held) == []
    forget(claimed[1])
    assert hot.claim_again(raw, held, claimed[0].worker, PID, held) == [claimed[1].id]
    assert attempts(client, claimed[0]) == attempts(client, claimed[1]) == (Status.RUNNING, [])


def test_what_had_begun_and_waits_for_a_person_by_now_has_its_attempt(client, raw, claimed, forget):
    forget(*claimed)
    client.pause(claimed[0].study)
    held = {claim.id: claim.attempt for claim in claimed}
    for _ in range(2):
        assert hot.claim_again(raw, held, claimed[0].worker, PID, {claimed[0].id: held[claimed[0].id]}) == []
    assert attempts(client, claimed[0]) == (Status.PENDING, [(1, "lost")])
    assert attempts(client, claimed[1]) == (Status.PENDING, []), "that one had not begun"
    client.resume(claimed[0].study)
    assert hot.claim(raw, claimed[0].id, claimed[0].worker, PID).attempt == 2


def test_no_number_is_used_again_that_a_worker_out_of_reach_may_have_used(
    client, raw, claimed, worker, crash, delivery, forget
):
    # Given a crash that has forgotten two claims of a worker which nobody has heard of since
    mine, theirs = claimed
    forget(*claimed)
    since = crash(mine.worker)
    with client.begin() as connection:
        assert announcements.awaits_workers(connection)
    # When it is given up and all is announced again
    leases.silent(raw, 0)
    with client.begin() as connection:
        assert not announcements.awaits_workers(connection)
        again = announcements.take_queued(connection, mine.study_id, since, 10)
    assert [item.attempt for item in again] == [1, 1]
    # Then another worker's attempt is another one, the first one is known when it comes too late
    other = hot.claim(raw, theirs.id, worker(), 8)
    assert other.attempt == 2
    end(delivery, theirs)
    assert hot.finish(raw, other, FINE)
    assert attempts(client, theirs) == (Status.DONE, [(1, "lost"), (2, "done")])
    # And what nobody has taken meanwhile is the first one's after all
    end(delivery, mine)
    assert attempts(client, mine) == (Status.DONE, [(1, "done")])


def test_numbers_follow_each_other_while_nothing_can_have_been_forgotten(client, raw, claimed, worker, crash, forget):
    one, two = claimed
    # a crash of which all workers know
    forget(one)
    since = crash()
    with client.begin() as connection:
        assert not announcements.awaits_workers(connection)
        assert [item.attempt for item in announcements.take_queued(connection, one.study_id, since, 10)] == [0]
    # an attempt that has a row, of a worker that is lost by a crash
    crash(two.worker)
    hot.release(raw, two.worker)
    with client.begin() as connection:
        assert [item.attempt for item in announcements.take_pending(connection, two.study_id, 10)] == [1]
    # what was announced since
    (before,) = raw.execute(
        "UPDATE experiment SET queued_at = now() WHERE id = %s RETURNING now()", [one.id]
    ).fetchone()
    with client.begin() as connection:
        again = announcements.take_queued(connection, one.study_id, before + timedelta(seconds=1), 1)
    assert [(item.id, item.attempt) for item in again] == [(one.id, 0)]


def test_a_heartbeat_counts_when_what_was_forgotten_is_claimed_again(client, raw, claimed, crash, at_work, forget):
    # Given a process that runs the first of two it has claimed together, and a crash that has forgotten both
    first, _ = claimed
    _, board = at_work(PID, claimed)
    forget(*claimed)
    since = crash(first.worker)
    # When the heart of its worker beats, it is not heard before both are running again
    assert leases.beat(raw, first.worker, None).intact == since
    with client.begin() as connection:
        assert announcements.awaits_workers(connection)
    line = Line(client.settings)
    attendance = Attendance(board, first.worker, lambda *_: None)
    heart = Heart(
        client.settings, first.worker, line, attendance, Delivery(client.settings, line), Tenure(client.settings)
    )
    heart.beat()
    line.release()
    # Then it is
    with client.begin() as connection:
        assert not announcements.awaits_workers(connection)
    for claim in claimed:
        assert attempts(client, claim) == (Status.RUNNING, [])
        assert hot.finish(raw, claim, FINE)


@pytest.mark.parametrize(
    ("relaxed", "found"),
    [(False, (Status.RUNNING, [])), (True, (Status.QUEUED, [(1, "lost")]))],
    ids=["strict", "relaxed"],
)
@pytest.mark.parametrize("pid", [PID, 2**22 + 7], ids=["living", "dead"])
def test_what_has_ended_and_is_not_recorded_yet_keeps_its_number(
    client, raw, claimed, at_work, forget, pid, relaxed, found
):
    # Given a process that has ended the first of two and not recorded it when Postgres crashed and forgot both
    first, second = claimed
    book, board = at_work(pid, claimed)
    book.add(hot.done(first, FINE, 1.0, 2.0))
    board.clear(0)
    forget(*claimed)
    # When its worker makes sure
    Attendance(board, first.worker, lambda *_: None, relaxed).make_sure(raw)
    # Then no other execution gets that number; a result that may have been recorded and forgotten is awaited by nobody
    assert attempts(client, first) == found
    assert attempts(client, second) == ((Status.RUNNING if pid == PID else Status.QUEUED), [])


def test_a_crash_is_noted_by_the_next_leader(raw, intact, worker):
    leader = worker()
    raw.execute("UPDATE leader SET until = now()")
    raw.execute("TRUNCATE intact")  # as a crash does
    assert leases.beat(raw, leader, intact).intact is None
    assert leases.lead(raw, leader, 10, 30) is not None
    (since,) = raw.execute("SELECT since FROM intact").fetchone()
    assert since > intact
    leases.lead(raw, leader, 10, 30)
    assert raw.execute("SELECT since FROM intact").fetchone() == (since,)
    leases.resign(raw, leader)
    raw.execute("UPDATE intact SET since = %s", [intact])
