"""Short experiments on their way through a process: what comes next is claimed beside what runs, and none is lost."""

import os
import threading
import time
import uuid

import psycopg
import pytest
from tests_support import eventually

from qexp.grid import Grid
from qexp.store import hot
from qexp.store.line import Line
from qexp.store.selectors import Selection
from qexp.worker.attempt import ledger
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.board import Board
from qexp.worker.bundle import Bundle
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
