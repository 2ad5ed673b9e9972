"""Short experiments on their way through a process: what comes next is claimed beside what runs, and none is lost."""

import os
import threading
import time
import uuid
from collections import deque

import pytest
from tests_support import eventually

from qexp.errors import DatabaseUnreachableError
from qexp.grid import Grid
from qexp.model import Error, Failure, Outcome
from qexp.queueing.publisher import Publisher
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.selection.selectors import Selection
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.board import Board
from qexp.worker.child import result_log
from qexp.worker.child.bundle import Bundle
from qexp.worker.child.task import MessageRunner
from qexp.worker.tenure import Tenure

MANY = 200
FINE = Outcome(result={"y": 1})


class Breaking(ReconnectingConnection):
    """A connection that loses the answer to an action without patience, when it is told to."""

    breaks = False
    meanwhile = None
    """Called, once, beside the next claim."""

    def run(self, action, what, patience=600.0, waiting=None):
        if what.startswith("claim of") and self.meanwhile is not None:
            beside, self.meanwhile = threading.Thread(target=self.meanwhile), None
            beside.start()
            beside.join()
        found = super().run(action, what, patience, waiting)
        if self.breaks and not patience:
            self.breaks = False
            raise DatabaseUnreachableError("it", "the answer was lost")
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
    board = Board(made.board)
    board.make()
    board.stop()  # the worker is told to stop whenever its processes are
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


def waiting(scratch):
    """The experiments of which the file of this process has results that are not recorded."""
    return {item.id for item in result_log.read(scratch.folder, os.getpid()).results}


def test_results_are_in_a_file_until_they_are_recorded(client, study, bundle, scratch):
    first, second = work(bundle, 0.02), work(bundle, 0.02)
    assert {first.id, second.id} <= waiting(scratch) | {
        id_ for id_, row in rows(client, study).items() if row[0] == "done"
    }
    bundle.record()
    assert waiting(scratch) == set()
    assert [rows(client, study)[claim.id] for claim in (first, second)] == [("done", 1)] * 2


def test_what_comes_next_is_claimed_while_one_runs(client, study, bundle):
    for _ in range(3):
        work(bundle, 0.02)
    current = bundle.next(lambda _: None)
    running = [number for number, (status, _) in rows(client, study).items() if status == "running"]
    # it goes on for long, and those after it become this process's
    eventually(lambda: len(bundle._claimed) > len(running), "more to be claimed")
    bundle.end(current, FINE, time.monotonic())
    while work(bundle, 0.0):
        pass
    bundle.record()
    assert set(rows(client, study).values()) == {("done", 1)}


def test_a_claim_whose_answer_was_lost_beside_an_experiment_is_found_by_the_next_one(client, study, bundle, line):
    line.breaks = True
    seen = []
    while claim := work(bundle, 0.02):
        seen.append(claim.id)
    bundle.record()
    assert not line.breaks, "it was broken once"
    assert sorted(seen) == sorted(rows(client, study))
    assert set(rows(client, study).values()) == {("done", 1)}


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


def test_an_outcome_that_waits_in_the_outbox_is_not_taken_back(client, raw, study, bundle, monkeypatch):
    # Given a failure that could not be recorded, and a claim whose answer was lost
    claim = bundle.next(lambda _: None)
    failed = Outcome(error=Error(Failure.ERROR, "ValueError", "no"))
    with monkeypatch.context() as away:
        away.setattr(bundle._outbox, "record", raising(DatabaseUnreachableError("it", "away")))
        with pytest.raises(DatabaseUnreachableError):
            bundle.end(claim, failed, time.monotonic())
    bundle._is_unsure = True
    # When this process gives back what it has not begun
    bundle.hand_back()
    # Then that attempt is still its own
    assert rows(client, study)[claim.id] == ("running", 1)
    assert bundle._outbox.record(claim, failed) == failed


def raising(error):
    def fail(*_):
        raise error

    return fail


def undone(client, study):
    """Say whether all that was not done waits for its first attempt."""
    return {row for row in rows(client, study).values() if row != ("done", 1)} <= {("pending", 0), ("queued", 0)}


def test_what_follows_an_experiment_that_takes_long_is_given_to_others(client, study, bundle):
    work(bundle, 0.0)
    current = bundle.next(lambda _: None)
    assert bundle._claimed
    bundle._began -= 60
    bundle.look()
    bundle.end(current, FINE, time.monotonic())
    bundle.record()
    assert bundle.next(lambda _: None) is None
    assert undone(client, study)
    assert [row for row in rows(client, study).values() if row == ("done", 1)] == [("done", 1)] * 2


def test_an_experiment_ends_while_others_are_given_back(client, study, bundle, monkeypatch):
    # Given a process that gives back what it has not begun, to a broker that does not answer
    work(bundle, 0.0)
    current = bundle.next(lambda _: None)
    called, answers = threading.Event(), threading.Event()

    def republish(_, ids):
        called.set()
        assert answers.wait(60)

    monkeypatch.setattr(Publisher, "republish", republish)
    giving = threading.Thread(target=bundle.hand_back)
    giving.start()
    assert called.wait(60)
    # When what it runs ends, then that is recorded meanwhile
    bundle.end(current, FINE, time.monotonic())
    bundle.record()
    assert rows(client, study)[current.id] == ("done", 1)
    answers.set()
    giving.join(60)
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


@pytest.mark.parametrize("moment", ["_thread.wake", "_note"])
def test_what_has_ended_when_its_process_is_told_to_stop_is_recorded(client, study, bundle, monkeypatch, moment):
    claim = bundle.next(lambda _: None)
    owner, method = (bundle._thread, "wake") if moment == "_thread.wake" else (bundle, moment)
    monkeypatch.setattr(owner, method, Stops(getattr(owner, method)))
    with pytest.raises(SystemExit):
        bundle.end(claim, FINE, time.monotonic())
    bundle.stop()
    assert rows(client, study)[claim.id] == ("done", 1)
    assert undone(client, study)


def test_so_is_what_is_recorded_by_itself(client, study, bundle, monkeypatch):
    claim = bundle.next(lambda _: None)
    monkeypatch.setattr(bundle, "_holds", False)
    monkeypatch.setattr(bundle._outbox, "record", Stops(bundle._outbox.record))
    with pytest.raises(SystemExit):
        bundle.end(claim, FINE, time.monotonic())
    bundle.stop()
    assert rows(client, study)[claim.id] == ("done", 1)


@pytest.mark.parametrize("moment", ["_miss", "_pop"])
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
    def loses_an_answer():
        line.breaks = True
        while line.breaks:
            assert work(bundle, 0.02) is not None
        return bundle._is_unsure  # unless the next claim of the loop has found them already

    eventually(loses_an_answer, "the answer to be missed")
    while bundle._claimed:
        work(bundle, 0.0)
    bundle.open([])
    ran = 0
    while work(bundle, 0.0):
        ran += 1
    assert ran > 0
    bundle.record()
    assert undone(client, study)


def test_a_process_that_alone_is_told_to_stop_is_charged(client, study, bundle, monkeypatch):
    """A function that sends its process a signal would run for ever otherwise."""
    monkeypatch.setattr("qexp.worker.child.bundle._HEARS", 0.1)
    monkeypatch.setattr(Board, "stopping", False)
    claim = bundle.next(lambda _: None)
    bundle.stop()
    (shown,) = client.show(Selection(ids=((claim.id, claim.id),)))
    assert [(attempt.outcome, attempt.error_type) for attempt in shown.attempts] == [("crashed", "ProcessStopped")]


@pytest.fixture
def child(client, bundle, scratch, monkeypatch):
    """A child of that worker, which takes over no signals of this process."""
    monkeypatch.setattr("qexp.worker.attempt.runner.AttemptSignals.install", lambda _: None)
    made = MessageRunner(client.settings, bundle.worker, scratch, lambda: None, Tenure(client.settings))
    yield made
    made._postgres.release()


def test_nothing_is_begun_when_that_is_forbidden_after_it_was_claimed(client, study, child, monkeypatch):
    ids, claim = list(rows(client, study)), child._bundle.next
    began = []

    def claim_and_close(expect):
        found = claim(expect)
        child._runner.board.close()
        return found

    monkeypatch.setattr(child._bundle, "next", claim_and_close)
    monkeypatch.setattr(child, "_outcome", began.append)
    child.work(ids)
    assert began == []
    assert child._runner.board.get(0) is None
    assert set(rows(client, study).values()) <= {("pending", 0), ("queued", 0)}


def test_the_board_says_what_had_begun_until_it_is_given_back(client, study, child, monkeypatch):
    (first, *_) = rows(client, study)
    at = []

    def stop():
        at.append(child._runner.board.get(0))

    def told(_):
        raise SystemExit(143)

    monkeypatch.setattr(child, "_outcome", told)
    monkeypatch.setattr(child._bundle, "stop", stop)
    with pytest.raises(SystemExit):
        child.work([first])
    assert [(post.experiment, post.attempt) for post in at] == [(first, 1)]


def test_the_board_says_what_had_begun_when_its_process_fails_before_the_outcome_is_noted(
    client, study, child, monkeypatch
):
    """It would be taken back as never begun otherwise, and run again without end."""
    (first, *_) = rows(client, study)

    def fail(_):
        raise OSError("no descriptors")

    monkeypatch.setattr(child, "_outcome", fail)
    with pytest.raises(OSError, match="no descriptors"):
        child.work([first])
    post = child._runner.board.get(0)
    assert (post.experiment, post.attempt) == (first, 1)
