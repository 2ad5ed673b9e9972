"""Short experiments on their way through a process: what comes next is claimed beside what runs, and none is lost."""

import os
import threading
import time
import uuid
from collections import deque

import psycopg
import pytest
from tests_support import eventually

from qexp.grid import Grid
from qexp.model import Failure
from qexp.store import hot
from qexp.store.line import Line
from qexp.store.selectors import Selection
from qexp.worker.attempt import ledger
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.attendance import Attendance
from qexp.worker.board import Board
from qexp.worker.bundle import Bundle
from qexp.worker.child import Child
from qexp.worker.tenure import Tenure

MANY = 200
FINE = hot.Outcome(result={"y": 1})


class Breaking(Line):
    """A line that loses the answers to what is done without patience, when it is told to."""

    breaks = False
    meanwhile = None
    """Called, once, beside the next claim."""

    def do(self, action, what, patience=600.0, waiting=None):
        if what.startswith("claim of") and self.meanwhile is not None:
            beside, self.meanwhile = threading.Thread(target=self.meanwhile), None
            beside.start()
            beside.join()
        found = super().do(action, what, patience, waiting)
        if self.breaks and not patience:
            self.breaks = False
            raise psycopg.OperationalError("the answer was lost")
        return found


@pytest.fixture
def study(client, tmp_path):
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = f"bundle_{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "queue": "nobody", "parameters": {"x": list(range(MANY))}}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    return name


@pytest.fixture
def scratch():
    made = Scratch(uuid.uuid4())
    made.make()
    Board(made.board).make()
    yield made
    made.remove()


@pytest.fixture
def line(client):
    made = Breaking(client.settings)
    yield made
    made.release()


@pytest.fixture
def bundle(client, raw, study, scratch, line, worker):
    """A bundle at its message, which announces all of the study."""
    made = Bundle(client.settings, worker(), scratch, line, Tenure(client.settings))
    ids = [view.id for view in client.experiments(Selection(study))]
    raw.execute("UPDATE experiment SET status = 'queued' WHERE id = ANY(%s)", [ids])
    made.open(ids)
    return made


def work(bundle, seconds):
    """Do the next one; say which that was."""
    claim, began = bundle.next(lambda _: None), time.monotonic()
    if claim is not None:
        time.sleep(seconds)  # stands for the function
        bundle.end(claim, FINE, began)
    return claim


def rows(client, study):
    return {view.id: (str(view.status), view.attempt) for view in client.experiments(Selection(study))}


def test_an_experiment_that_fails_last_leaves_nothing_in_the_ledger(client, study, bundle, scratch):
    # Given a process that has recorded results, and holds what comes next
    for _ in range(3):
        work(bundle, 0.02)
    bundle.record()
    assert ledger.held(scratch.folder, os.getpid()).done
    # When nothing but failures come after them
    failed = hot.Outcome(error=hot.Error(Failure.ERROR, "ValueError", "no"))
    while (claim := bundle.next(lambda _: None)) is not None:
        bundle.end(claim, failed, time.monotonic())
    # Then nobody records these results again when the process is gone
    assert ledger.held(scratch.folder, os.getpid()).ids == []
    assert {status for status, _ in rows(client, study).values()} == {"done", "failed"}


def test_what_comes_next_is_claimed_while_one_runs(client, study, bundle, scratch):
    for _ in range(3):
        work(bundle, 0.02)
    current = bundle.next(lambda _: None)
    running = [number for number, (status, _) in rows(client, study).items() if status == "running"]
    # it goes on for long, and those after it become this process's
    eventually(lambda: len(bundle._claimed) > len(running), "more to be claimed")
    held = ledger.held(scratch.folder, os.getpid())
    assert next(iter(held.attempts)) == current.id, "what is at work comes first"
    assert set(held.attempts) == {current.id, *(claim.id for claim in bundle._claimed)}
    bundle.end(current, FINE, time.monotonic())
    while work(bundle, 0.0):
        pass
    bundle.record()
    assert set(rows(client, study).values()) == {("done", 1)}


def test_a_claim_that_is_under_way_stays_in_the_ledger_when_results_are_recorded(bundle, scratch, line):
    work(bundle, 0.0)
    line.meanwhile = bundle.record
    claim = bundle.next(lambda _: None)
    assert line.meanwhile is None
    found = ledger.held(scratch.folder, os.getpid())
    assert found.claimed == [claim.id, *(item.id for item in bundle._claimed)]
    assert len(found.claimed) > 1


def test_a_claim_whose_answer_was_lost_beside_an_experiment_is_found_by_the_next_one(client, study, bundle, line):
    line.breaks = True
    seen = []
    while claim := work(bundle, 0.02):
        seen.append(claim.id)
    bundle.record()
    assert not line.breaks, "it was broken once"
    assert sorted(seen) == sorted(rows(client, study))
    assert set(rows(client, study).values()) == {("done", 1)}


def test_what_such_a_claim_may_have_taken_stays_in_the_ledger(bundle, line, scratch, monkeypatch):
    line.breaks = True
    while line.breaks:
        work(bundle, 0.02)
    eventually(lambda: bundle._doubtful, "the answer to be missed")
    while bundle._claimed:
        work(bundle, 0.0)
    bundle.record()
    doubtful = set(bundle._doubtful)
    assert set(ledger.held(scratch.folder, os.getpid()).under_way) == doubtful
    monkeypatch.setattr(bundle, "_pace", lambda: 1)
    claim = bundle.next(lambda _: None)
    found = ledger.held(scratch.folder, os.getpid())
    assert found.attempts == {claim.id: 1}
    assert set(found.claimed) == doubtful | {claim.id}
    assert len(found.under_way) > 1


def test_what_such_a_claim_has_taken_is_given_to_others_too(client, study, bundle, line):
    line.breaks = True
    while line.breaks:
        claim = work(bundle, 0.02)
        assert claim is not None
    bundle.hand_back()
    bundle.record()
    found = set(rows(client, study).values())
    assert found <= {("done", 1), ("pending", 0), ("queued", 0)}
    assert len(found) > 1


def undone(client, study):
    """Say whether all that was not done waits for its first attempt."""
    return {row for row in rows(client, study).values() if row != ("done", 1)} <= {("pending", 0), ("queued", 0)}


def test_what_was_given_to_others_is_not_held_any_more(client, raw, study, bundle, scratch):
    # Given a process that is at one that takes long, and has given to others what it had claimed with it
    work(bundle, 0.0)
    current = bundle.next(lambda _: None)
    assert len(ledger.held(scratch.folder, os.getpid()).attempts) > 1
    bundle._began -= 60
    bundle.look()
    assert ledger.held(scratch.folder, os.getpid()).attempts == {current.id: 1}
    # When its worker makes sure of what its processes hold
    Attendance(Board(scratch.board), current.worker, lambda *_: None).make_sure(raw)
    # Then none of that is claimed for it again
    bundle.end(current, FINE, time.monotonic())
    bundle.record()
    assert undone(client, study)


class Stops:
    """Raises SystemExit when it is called first, as a signal may at any moment, and then does as it should."""

    def __init__(self, method):
        self.method, self.is_over = method, False

    def __call__(self, *arguments, **options):
        if not self.is_over:
            self.is_over = True
            raise SystemExit(143)
        return self.method(*arguments, **options)


@pytest.mark.parametrize("moment", ["_wake", "_note"])
def test_what_has_ended_when_its_process_is_told_to_stop_is_recorded(client, study, bundle, monkeypatch, moment):
    claim = bundle.next(lambda _: None)
    monkeypatch.setattr(bundle, moment, Stops(getattr(bundle, moment)))
    with pytest.raises(SystemExit):
        bundle.end(claim, FINE, time.monotonic())
    bundle.stop()
    assert rows(client, study)[claim.id] == ("done", 1)
    assert undone(client, study)


def test_so_is_what_is_recorded_by_itself(client, study, bundle, monkeypatch):
    claim = bundle.next(lambda _: None)
    monkeypatch.setattr(bundle, "_holds", False)
    monkeypatch.setattr(bundle._delivery, "deliver", Stops(bundle._delivery.deliver))
    with pytest.raises(SystemExit):
        bundle.end(claim, FINE, time.monotonic())
    bundle.stop()
    assert rows(client, study)[claim.id] == ("done", 1)


@pytest.mark.parametrize("moment", ["_have", "_miss", "_pop"])
def test_what_was_just_claimed_when_its_process_is_told_to_stop_was_never_begun(
    client, raw, study, bundle, monkeypatch, moment
):
    work(bundle, 0.0)
    bundle.record()
    missing = bundle._waiting[0]
    raw.execute("UPDATE experiment SET status = 'cancelled' WHERE id = %s", [missing])
    monkeypatch.setattr(bundle, moment, Stops(getattr(bundle, moment)))
    with pytest.raises(SystemExit):
        bundle.next(lambda _: None)
    bundle.stop()
    assert rows(client, study).pop(missing) == ("cancelled", 0)
    assert {row for row in rows(client, study).values() if row[0] != "cancelled"} <= {
        ("done", 1),
        ("pending", 0),
        ("queued", 0),
    }


def test_what_may_not_be_begun_any_more_is_given_to_others(client, study, bundle):
    work(bundle, 0.0)
    claim = bundle.next(lambda _: None)
    assert len(bundle._claimed) > 0
    bundle.refuse(claim)
    bundle.record()
    assert bundle.next(lambda _: None) is None
    assert undone(client, study)


class Slips(deque):
    """A queue from which something was taken when a signal came."""

    def popleft(self):
        super().popleft()
        raise SystemExit(143)


def test_what_is_about_to_be_begun_when_its_process_is_told_to_stop_is_given_back(client, study, bundle):
    work(bundle, 0.0)
    eventually(lambda: bundle._claimed or (bundle.next(lambda _: None) and bundle._claimed), "several to be claimed")
    bundle._claimed = Slips(bundle._claimed)
    claim = bundle._claimed[0]
    with pytest.raises(SystemExit):
        bundle.next(lambda _: None)
    bundle.stop()
    assert rows(client, study)[claim.id] in (("pending", 1), ("queued", 1))
    (shown,) = client.show(Selection(ids=((claim.id, claim.id),)))
    assert [attempt.outcome for attempt in shown.attempts] == ["released"]


def test_what_an_earlier_message_may_have_claimed_is_found_by_the_next_one(client, study, bundle, line):
    line.breaks = True
    while line.breaks:
        work(bundle, 0.02)
    eventually(lambda: bundle._doubtful, "the answer to be missed")
    doubtful = set(bundle._doubtful)
    while bundle._claimed:
        work(bundle, 0.0)
    bundle.open([])
    ran = set()
    while claim := work(bundle, 0.0):
        ran.add(claim.id)
    assert ran == doubtful
    bundle.record()
    assert {rows(client, study)[number] for number in doubtful} == {("done", 1)}


@pytest.fixture
def child(client, bundle, scratch, monkeypatch):
    """A child of that worker, which takes over no signals of this process."""
    monkeypatch.setattr("qexp.worker.attempt.session.Interrupts.install", lambda _: None)
    made = Child(client.settings, bundle.worker, scratch, lambda: 0, Tenure(client.settings))
    yield made
    made._line.release()


def test_nothing_is_begun_when_that_is_forbidden_after_it_was_claimed(client, study, child, monkeypatch):
    ids, claim = list(rows(client, study)), child._bundle.next
    began = []

    def claim_and_close(expect):
        found = claim(expect)
        child._desk.board.close()
        return found

    monkeypatch.setattr(child._bundle, "next", claim_and_close)
    monkeypatch.setattr(child, "_outcome", began.append)
    child.work(ids)
    assert began == []
    assert child._desk.board.get(0) is None
    assert set(rows(client, study).values()) <= {("pending", 0), ("queued", 0)}


def test_the_board_says_what_had_begun_until_it_is_given_back(client, study, child, monkeypatch):
    (first, *_) = rows(client, study)
    at = []

    def stop():
        at.append(child._desk.board.get(0))

    def told(_):
        raise SystemExit(143)

    monkeypatch.setattr(child, "_outcome", told)
    monkeypatch.setattr(child._bundle, "stop", stop)
    with pytest.raises(SystemExit):
        child.work([first])
    assert [(post.experiment, post.attempt) for post in at] == [(first, 1)]
