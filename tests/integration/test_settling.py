"""What a process that died has left behind is recorded, and what cannot be keeps nobody from beginning."""

import math
import os
import threading
import uuid

import pytest

from qexp.errors import DatabaseUnreachableError
from qexp.grid import Grid
from qexp.model import Failure, Status
from qexp.store import hot
from qexp.store.line import Line
from qexp.store.selectors import Selection
from qexp.worker.attempt.delivery import Delivery
from qexp.worker.attempt.ledger import Ledger, holders
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.attendance import Attendance
from qexp.worker.board import Post, Request
from qexp.worker.office import Office
from qexp.worker.tenure import Tenure

PID = 2**22 + 7
"""No process: Linux has none above 2**22."""


@pytest.fixture
def claims(client, raw, tmp_path, worker):
    """Three experiments that a process has claimed together."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = f"settling_{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": [1, 2, 3]}, "queue": "nobody"}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    ids = [row.id for row in client.experiments(Selection(name))]
    return hot.claims(raw, ids, worker(), PID)


def test_a_result_that_postgres_refuses_takes_no_other_with_it(client, claims, tmp_path):
    # Given a process that has run two of three, one of them with a result that cannot be kept, and died
    fine, poison, unbegun = claims
    ledger = Ledger(tmp_path, PID)
    ledger.intend([claim.id for claim in claims], [])
    for claim, value in ((fine, 1), (poison, "\0")):
        ledger.add(hot.done(claim, hot.Outcome(result={"y": value}), 1.0, 2.0))
    # When another one looks after it
    office = Office(client.settings, uuid.uuid4(), Scratch(uuid.uuid4()), Tenure(client.settings))
    office._settle(fine.worker, tmp_path, PID)
    # Then the good one counts, what was not begun waits, and the other is left to the lease of its worker
    (name,) = {claim.study for claim in claims}
    found = {row.id: row.status for row in client.experiments(Selection(name))}
    assert found[fine.id] == Status.DONE
    assert found[poison.id] == Status.RUNNING
    assert found[unbegun.id] in (Status.PENDING, Status.QUEUED)


@pytest.mark.parametrize("successor", [False, True], ids=["", "its-slot-is-anothers"])
def test_what_a_dead_process_had_begun_keeps_its_number_though_postgres_has_forgotten_it(
    client, raw, claims, worker, tmp_path, at_work, forget, successor
):
    # Given a process that has begun the first of three, a Postgres that crashed and forgot it, and then its own death
    first, *rest = claims
    _, board = at_work(PID, claims)
    if successor:
        board.put(0, Post(PID + 1, 17, 1, PID + 1, 0.0, math.inf, 0, False, Request.NONE))
    forget(*claims)
    # When another one looks after it
    office = Office(client.settings, uuid.uuid4(), Scratch(uuid.uuid4()), Tenure(client.settings))
    office._settle(first.worker, tmp_path, PID)
    # Then that attempt is there, for the lease of its worker to end, and the next one will be another
    (name,) = {claim.study for claim in claims}
    found = {row.id: (row.status, row.attempt) for row in client.experiments(Selection(name))}
    assert found == {first.id: (Status.RUNNING, 1)} | {claim.id: (Status.QUEUED, 0) for claim in rest}
    assert hot.claims(raw, [first.id], worker(), 8) == []
    assert holders(tmp_path) == [], "there is nothing left to settle"


def test_a_dead_process_that_was_at_nothing_had_begun_nothing(client, claims, tmp_path, at_work):
    # Given a process that has ended the first of three and died before it began the second one
    first, *rest = claims
    book, board = at_work(PID, claims)
    book.add(hot.done(first, hot.Outcome(result={"y": 1}), 1.0, 2.0))
    board.clear(0)
    # When another one looks after it
    office = Office(client.settings, uuid.uuid4(), Scratch(uuid.uuid4()), Tenure(client.settings))
    office._settle(first.worker, tmp_path, PID)
    # Then the others wait for their first attempts
    (name,) = {claim.study for claim in claims}
    found = {row.id: (row.status, row.attempt) for row in client.experiments(Selection(name))}
    assert found[first.id] == (Status.DONE, 1)
    for claim in rest:
        assert found[claim.id] in ((Status.PENDING, 0), (Status.QUEUED, 0))


def test_a_claim_that_is_made_after_its_process_died_is_taken_back(client, raw, claims, tmp_path, at_work, forget):
    # Given a process that died while it claimed a second and a third experiment beside the first one
    first, *late = claims
    book, board = at_work(PID, [first])
    book.intend([claim.id for claim in claims], [])
    forget(*late)  # it was not made yet
    office = Office(client.settings, first.worker, Scratch(first.worker), Tenure(client.settings))
    assert office._settle(first.worker, tmp_path, PID) == [claim.id for claim in late]
    # When the server makes that claim all the same
    hot.claims(raw, [claim.id for claim in late], first.worker, PID)
    died = []

    def note(ids, pid, _):
        died.append((ids, pid))
        office._settle(first.worker, tmp_path, pid)

    Attendance(board, first.worker, note).check(raw)
    # Then those two wait again, uncharged, and the first one is left to whoever notes the death
    assert died == [([], PID)]
    (name,) = {claim.study for claim in claims}
    found = {row.id: (row.status, row.attempt) for row in client.experiments(Selection(name))}
    assert found[first.id] == (Status.RUNNING, 1)
    for claim in late:
        assert found[claim.id] in ((Status.PENDING, 0), (Status.QUEUED, 0))


def test_what_a_dead_process_had_recorded_itself_is_not_called_too_late(client, raw, claims, tmp_path, caplog):
    # Given a process that has recorded the first of three, and died before it could note that; another one is cancelled
    first, second, _ = claims
    ledger = Ledger(tmp_path, PID)
    ledger.intend([claim.id for claim in claims], [])
    results = [hot.done(claim, hot.Outcome(result={"y": 1}), 1.0, 2.0) for claim in (first, second)]
    for result in results:
        ledger.add(result)
    assert set(hot.finish_all(raw, first.worker, results[:1])) == {first.id}
    client.cancel(Selection(ids=((second.id, second.id),)))
    # When another one looks after it
    office = Office(client.settings, uuid.uuid4(), Scratch(uuid.uuid4()), Tenure(client.settings))
    office._settle(first.worker, tmp_path, PID)
    # Then nothing is said of the first one
    late = [record.getMessage() for record in caplog.records if "too late" in record.getMessage()]
    assert late == [f"experiment {second.id}: an attempt came too late, its result is discarded"]
    (name,) = {claim.study for claim in claims}
    found = {row.id: row.status for row in client.experiments(Selection(name))}
    assert (found[first.id], found[second.id]) == (Status.DONE, Status.CANCELLED)


@pytest.mark.parametrize(
    "outcome",
    [
        hot.Outcome(result={"y": 1}),
        hot.Outcome(error=hot.Error(Failure.ERROR, "ValueError", "no")),
        hot.Outcome(departure=hot.Departure("released")),
    ],
    ids=lambda outcome: outcome.name,
)
def test_an_outcome_whose_answer_was_lost_is_not_called_too_late(client, raw, claims, outcome, caplog):
    line = Line(client.settings)
    delivery = Delivery(client.settings, line)
    assert hot.finish(raw, claims[0], outcome) is not None
    assert delivery.deliver(claims[0], outcome) == outcome
    assert delivery.deliver(claims[0], hot.Outcome(departure=hot.Departure("paused"))) is None
    assert [record.getMessage() for record in caplog.records if "too late" in record.getMessage()] == [
        f"experiment {claims[0].id}: attempt 1 came too late, its result is discarded"
    ]
    line.release()


@pytest.fixture
def office(client, claims, tmp_path):
    """The main process's side of the worker that has made those claims, in whose ledger nothing is yet."""
    scratch = Scratch(uuid.uuid4())
    scratch.make()
    settings = client.settings.model_copy(update={"home": tmp_path, "heartbeat": 0.05})
    made = Office(settings, claims[0].worker, scratch, Tenure(settings))
    made.board.make()
    yield made
    scratch.remove()


def test_an_outcome_that_waits_in_a_file_counts_though_its_process_died_and_the_connection_was_lost(
    client, raw, claims, office
):
    # Given a process that has ended an experiment while Postgres was away, has said so in a file, and died
    first, *_ = claims
    office._line.do(lambda line: None, "nothing")
    os.close(office._delivery._keep(first, hot.Outcome(result={"y": 1})))
    raw.execute("SELECT pg_terminate_backend(%s, 5000)", [office._line._raw.info.backend_pid])
    # When its death is noted
    office._record_death([first.id], PID, hot.Error(Failure.CRASHED, "ProcessDied", "it is dead"))
    # Then it has not crashed
    (name,) = {claim.study for claim in claims}
    (shown, *_) = client.show(Selection(name))
    assert [attempt.outcome for attempt in shown.attempts] == ["done"]


def test_a_worker_that_is_told_to_stop_at_once_does_not_wait_for_what_that_has_interrupted(
    client, claims, office, monkeypatch
):
    # Given something to settle, and a heart that waits for the connection of what a signal interrupts
    Ledger(office.scratch.folder, PID).intend([claim.id for claim in claims], [])
    monkeypatch.setattr("qexp.worker.office.GRACE", 0.1)
    beats, left, pulse = threading.Event(), threading.Event(), office._heart._pulse

    def beat():
        beats.set()
        return pulse()

    def interrupted(raw):
        office._heart.start()
        assert beats.wait(60)
        with raw.lock:  # a statement is under way
            # When the worker is told to stop at once
            office.give_back([])
        left.set()

    monkeypatch.setattr(office._heart, "_pulse", beat)
    main = threading.Thread(target=office._line.do, args=(interrupted, "what was interrupted"), daemon=True)
    main.start()
    # Then it does
    assert left.wait(60)
    main.join(60)
    office._heart._thread.join(60)
    (name,) = {claim.study for claim in claims}
    assert {row.status for row in client.experiments(Selection(name))} <= {Status.PENDING, Status.QUEUED}


def test_a_process_that_died_is_at_nothing(claims, tmp_path, at_work):
    _, board = at_work(PID, claims)
    assert not Attendance(board, claims[0].worker, lambda *_: None).busy
    board.put(0, Post(os.getpid(), 17, 1, os.getpid(), 0.0, math.inf, 0, False, Request.NONE))
    assert Attendance(board, claims[0].worker, lambda *_: None).busy


def test_a_worker_that_cannot_record_what_is_left_leaves_it_to_the_next_one(client, claims, office, monkeypatch):
    folder = office.scratch.folder
    Ledger(folder, PID).add(hot.done(claims[0], hot.Outcome(result={"y": 1}), 1.0, 2.0))
    with monkeypatch.context() as away:
        away.setattr(office._delivery, "record", raising(DatabaseUnreachableError("it", "away")))
        office.leave()
    assert holders(folder) == [PID]
    office.leave()
    assert not folder.exists()
    (name,) = {claim.study for claim in claims}
    assert client.experiments(Selection(name))[0].status == Status.DONE


def raising(error):
    def fail(*_):
        raise error

    return fail
