"""Random operations in any order, also concurrent ones, leave the rows of experiments as a simple model predicts."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from qexp.client import Client
from qexp.grid import Grid
from qexp.model import CLOSED, OPEN, Claim, Departure, Error, Failure, Outcome, Status
from qexp.store.connection import connect
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, journal, publishing, worker_rows

RETRIES = {
    "one": {"error": 1, "timeout": 0, "crashed": 1, "lost": 2, "delay": "1000s"},
    "two": {"error": 0, "timeout": 2, "crashed": 0, "lost": 0, "delay": "1000s"},
}
WINDOW = 4
WORKERS = 3
LEASE = 2500.0
TICK = timedelta(seconds=1000)
"""Far longer than a run of the machine, so that leases do not depend on the speed of a test."""
NOWHERE = 2**60


def grid_of(study, size, folder):
    keys = {"study": study, "function": "experiment:f", "queue": folder.name, "retries": RETRIES[study]}
    return Grid.from_dict({**keys, "parameters": {"x": list(range(size))}}, folder)


BROKEN = {
    "a done experiment has one counted result, of its last attempt, and others have none": """
        SELECT id FROM experiment e WHERE (SELECT array_agg(number) FROM attempt a WHERE a.experiment = e.id
          AND a.number > e.forgiven AND a.outcome = 'done') IS DISTINCT FROM
          CASE WHEN status = 'done' AND reason IS NULL THEN ARRAY[attempt] END""",
    "an accepted experiment has what its last attempt kept when it failed": """
        SELECT e.id FROM experiment e JOIN attempt a ON a.experiment = e.id AND a.number = e.attempt
        WHERE  e.status = 'done' AND e.reason IS NOT NULL
               AND (a.outcome IN ('done', 'released', 'paused', 'cancelled') OR a.result IS DISTINCT FROM e.result)""",
    "attempts are numbered from 1 without gaps, and each claim that has ended has one": """
        SELECT id FROM experiment e
        WHERE  ARRAY(SELECT number FROM attempt a WHERE a.experiment = e.id ORDER BY number)
               <> ARRAY(SELECT generate_series(1, attempt - (status = 'running')::int))""",
    "a paused study has nothing queued": """
        SELECT e.id FROM experiment e JOIN study s ON s.id = e.study
        WHERE  s.paused_at IS NOT NULL AND e.status = 'queued'""",
    "no more failures count than a budget has, and one that ends the experiment": """
        SELECT e.id FROM experiment e JOIN study s ON s.id = e.study
        JOIN   revision r ON r.study = s.id AND r.number = s.revision
        JOIN   attempt a ON a.experiment = e.id AND a.number > e.forgiven
        WHERE  a.outcome IN ('error', 'timeout', 'crashed', 'lost', 'invalid')
        GROUP  BY e.id, a.outcome, r.retries
        HAVING count(*) > coalesce((r.retries ->> a.outcome)::int, 0)
                          + (e.status = 'failed' AND e.failure = a.outcome
                             OR e.status = 'done' AND e.reason IS NOT NULL AND bool_or(a.number = e.attempt))::int""",
    "what waits has neither results nor a beginning": """
        SELECT id FROM experiment WHERE status IN ('pending', 'queued')
        AND (result, result_exact, recorded_at, started_at, finished_at)
            IS DISTINCT FROM (NULL, NULL, NULL, NULL, NULL)""",
    "a requeue forgives no attempt that has not been": "SELECT id FROM experiment WHERE forgiven > attempt",
    "a done experiment keeps only the checkpoints that it is to keep": """
        SELECT e.id FROM experiment e JOIN checkpoint c ON c.experiment = e.id
        WHERE  e.status = 'done' AND NOT c.keep""",
    "a result that a requeue has replaced is with its attempt": """
        SELECT e.id FROM experiment e JOIN attempt a ON a.experiment = e.id
               LEFT JOIN earlier_result r ON r.experiment = a.experiment AND r.number = a.number
        WHERE  a.outcome = 'done' AND (a.number <= e.forgiven) IS DISTINCT FROM (r.result IS NOT NULL)""",
}


def check_rules(raw):
    found = {what: [row[0] for row in raw.execute(query)] for what, query in BROKEN.items()}
    assert {what: ids for what, ids in found.items() if ids} == {}


@dataclass
class Past:
    """A finished attempt."""

    outcome: str
    worker: UUID
    pid: int
    result: dict | None
    message: str | None = None


@dataclass
class Experiment:
    """The expected row of an experiment."""

    id: int
    study: str
    x: int
    origin: str = "grid"
    status: str = "pending"
    attempt: int = 0
    forgiven: int = 0
    worker: UUID | None = None
    pid: int | None = None
    result: dict | None = None
    recorded_at: dict | None = None
    failure: str | None = None
    group: str | None = None
    reason: str | None = None
    due: datetime | None = None
    dates: tuple[bool, bool] = (False, False)
    """Whether the attempt has a start and an end."""
    past: list[Past] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    saved: dict[str, tuple[int, bytes, bool, int, dict]] = field(default_factory=dict)
    points: dict[tuple[int, int], float] = field(default_factory=dict)
    entries: dict[int, set[int]] = field(default_factory=dict)

    def row(self):
        facts = (self.id, self.study, self.x, self.origin, self.status, self.attempt, self.forgiven)
        said = (self.result, self.recorded_at, self.failure, self.group, self.reason, self.due)
        return (*facts, self.worker, self.pid, *said, *self.dates)

    def is_current(self, claim):
        return self.status == "running" and (claim.worker, claim.attempt) == (self.worker, self.attempt)

    def runs_on(self, worker, pid=None):
        return self.status == "running" and self.worker == worker and pid in (None, self.pid)

    def claim(self, claim, worker, pid):
        self.status, self.attempt, self.worker, self.pid = "running", self.attempt + 1, worker, pid
        self.result = self.recorded_at = self.failure = self.group = self.reason = self.due = None
        self.dates = True, False
        self.claims.append(claim)

    def undo(self):
        """Undo the claim, because its owner has said that it is unused."""
        self.status, self.attempt, self.worker, self.pid = "pending", self.attempt - 1, None, None
        self.dates = False, False
        self.claims.pop()

    def found(self, result):
        return self.result if result is None else {**(self.result or {}), **result}

    def end(self, outcome, result=None, message=None):
        self.past.append(Past(outcome, self.worker, self.pid, result, message))

    def finish(self, result):
        self.end("done")
        self.status, self.result, self.dates = "done", self.found(result), (True, True)
        self.saved = {name: saved for name, saved in self.saved.items() if saved[2]}

    def fail(self, failure, group, message, result, due):
        budget = RETRIES[self.study].get(failure, 0)
        again = sum(past.outcome == failure for past in self.past[self.forgiven :]) < budget
        assert (due is not None) == again, f"{budget} retries of {failure}"
        found = self.found(result)
        self.end(failure, found, message)
        if again:
            self.wait()
            self.due = due
        else:
            self.status, self.failure, self.group = "failed", failure, group
            self.result, self.dates = found, (True, True)

    def depart(self, outcome, reason, result):
        found = self.found(result)
        self.end(outcome, found)
        if outcome == "released":
            self.wait()
        else:
            self.status, self.result, self.dates = "paused", found, (True, True)
        self.reason = reason

    def accept(self):
        self.status, self.failure, self.group, self.reason = "done", None, None, "accepted"
        self.saved = {name: saved for name, saved in self.saved.items() if saved[2]}

    def cancel(self, reason):
        ran = self.status == "running"
        if ran:
            self.end("cancelled", self.result, reason)
        self.status, self.reason, self.due, self.dates = "cancelled", reason, None, (ran, ran)

    def requeue(self, fresh):
        if self.result is not None:
            self.past[-1].result = self.result
        self.wait()
        self.failure = self.group = self.reason = self.due = self.worker = self.pid = None
        self.forgiven = self.attempt
        if fresh:
            self.saved = {}

    def wait(self):
        self.status, self.result, self.recorded_at, self.dates = "pending", None, None, (False, False)


PICK = st.integers(0, 11)
WORKER = st.integers(0, WORKERS - 1)
PID = st.integers(1, 2)
STUDY = st.sampled_from(sorted(RETRIES))
REASON = st.sampled_from([None, "the disk is full"])
RESULT = st.sampled_from([None, {"y": 1}, {"z": 2}])
LATE = st.sampled_from([1, 1, 1, 2, 3])
"""The index of a claim of an experiment, from the last; finished claims are fenced."""


class Machine(RuleBasedStateMachine):
    """Experiments of two studies in a separate database, and three workers without processes."""

    def __init__(self, client, raw, folder):
        super().__init__()
        self.client, self.raw, self.folder = client, raw, folder
        self.rows: list[Experiment] = []
        self.paused: dict[str, str | None] = {}
        self.keys = 0
        self.silent: list[worker_rows.SilentWorker] = []
        raw.execute("TRUNCATE study, worker, leader, experiment, attempt RESTART IDENTITY CASCADE")
        self.clock = self.now()
        self.workers = [uuid.uuid4() for _ in range(WORKERS)]
        self.seen = dict.fromkeys(self.workers, self.clock)
        self.stopped: dict[UUID, datetime] = {}
        for number, worker in enumerate(self.workers):
            worker_rows.register(raw, worker, worker_rows.WorkerInfo("here", number, f"{number}@here", ["nobody"], 2))

    def now(self):
        return self.raw.execute("SELECT now()").fetchone()[0]

    # choices

    def pick(self, number):
        return self.rows[number % len(self.rows)]

    def experiment_and_claim(self, number, late):
        """Return an experiment and one of its claims, or None without a claim; unless *late*, the experiment runs."""
        running = [] if late > 1 else [row for row in self.rows if row.status == "running"]
        claimed = running or [row for row in self.rows if row.claims]
        if not claimed:
            return self.pick(number), None
        row = claimed[number % len(claimed)]
        return row, row.claims[-min(late, len(row.claims))]

    def of(self, study):
        return [row for row in self.rows if row.study == study]

    def chosen(self, selection):
        return [
            row
            for row in self.rows
            if selection.study in (None, row.study)
            and (not selection.ids or row.id in [first for first, _ in selection.ids])
            and (not selection.statuses or row.status in selection.statuses)
            and (selection.error is None or row.group == selection.error)
        ]

    # publishing

    def announced(self, studies: Iterable[str]) -> int:
        """Mark announced experiments of studies in the model; the studies share a queue."""
        number, now = 0, self.now()
        for study in sorted(studies):  # "one" is older
            if study not in self.paused:
                room = WINDOW - sum(row.status == "queued" for row in self.rows)
                waiting = [row for row in self.of(study) if row.status == "pending" and (row.due or now) <= now]
                for row in waiting[: max(0, room)]:
                    row.status, number = "queued", number + 1
        return number

    # commands

    @initialize()
    def begin(self):
        self.enqueue("one", 4)
        self.enqueue("two", 2)

    @rule(study=STUDY, size=st.integers(1, 6))
    def enqueue(self, study, size):
        done = self.client.enqueue(grid_of(study, size, self.folder))
        known = {row.x for row in self.of(study)}
        new = [x for x in range(size) if x not in known]
        query = "SELECT e.id FROM experiment e JOIN study s ON s.id = e.study WHERE name = %s AND params->>'x' = %s"
        for x in new:
            self.rows.append(Experiment(self.raw.execute(query, [study, str(x)]).fetchone()[0], study, x))
        for row in self.of(study):
            row.origin = "grid" if row.x < size else "orphaned"
        orphaned = sum(row.origin == "orphaned" for row in self.of(study))
        assert (done.total, done.new, done.orphaned) == (size, len(new), orphaned)
        assert done.announced == self.announced([study])

    @rule()
    def publish_all(self):
        assert self.client.publisher.publish_all() == self.announced(RETRIES)

    @rule(study=STUDY)
    def publish(self, study):
        assert self.client.publish(self.client.study(study)) == self.announced([study])

    @rule(
        study=st.one_of(st.none(), STUDY),
        statuses=st.lists(st.sampled_from(list(Status)), max_size=3),
        error=st.sampled_from([None, None, "feed0001"]),
        fresh=st.booleans(),
    )
    def requeue(self, study, statuses, error, fresh):
        self.requeue_chosen(Selection(study, statuses=tuple(statuses), error=error), fresh)

    @rule(picks=st.lists(PICK, min_size=1, max_size=3), fresh=st.booleans())
    def requeue_by_id(self, picks, fresh):
        self.requeue_chosen(Selection(ids=tuple((self.pick(pick).id,) * 2 for pick in picks)), fresh)

    def requeue_chosen(self, selection, fresh):
        chosen = self.chosen(selection)
        closed = [row for row in chosen if row.status in CLOSED]
        done = self.client.requeue(selection, fresh)
        assert done.ids == [row.id for row in closed]
        assert done.still_open == len(chosen) - len(closed)
        for row in closed:
            row.requeue(fresh)
        self.announced({row.study for row in closed})

    @rule(study=st.one_of(st.none(), STUDY), error=st.sampled_from([None, "feed0001"]))
    def accept(self, study, error):
        self.accept_chosen(Selection(study, error=error))

    @rule(picks=st.lists(PICK, min_size=1, max_size=3))
    def accept_by_id(self, picks):
        self.accept_chosen(Selection(ids=tuple((self.pick(pick).id,) * 2 for pick in picks)))

    def accept_chosen(self, selection):
        failed = [row for row in self.chosen(selection) if row.status == "failed"]
        done = self.client.accept(selection)
        assert (done.ids, done.empty) == (
            [row.id for row in failed if row.result],
            [row.id for row in failed if not row.result],
        )
        for row in failed:
            if row.result:
                row.accept()

    @rule(picks=st.lists(PICK, min_size=1, max_size=2), reason=REASON)
    def cancel_by_id(self, picks, reason):
        self.cancel_chosen(Selection(ids=tuple((self.pick(pick).id,) * 2 for pick in picks)), reason)

    @rule(study=STUDY, statuses=st.lists(st.sampled_from(list(Status)), min_size=1, max_size=2), reason=REASON)
    def cancel(self, study, statuses, reason):
        self.cancel_chosen(Selection(study, statuses=tuple(statuses)), reason)

    def cancel_chosen(self, selection, reason):
        chosen = [row for row in self.chosen(selection) if row.status in OPEN]
        done = self.client.cancel(selection, reason)
        assert done.ids == [row.id for row in chosen]
        assert done.running == [row.id for row in chosen if row.status == "running"]
        for row in chosen:
            row.cancel(reason)

    @rule(study=STUDY, reason=REASON)
    def pause(self, study, reason):
        assert self.client.pause(study, reason) == (study not in self.paused)
        if study not in self.paused:
            self.paused[study] = reason
            for row in self.of(study):
                row.status = "pending" if row.status == "queued" else row.status

    @rule(study=STUDY)
    def resume(self, study):
        assert self.client.resume(study) == (study in self.paused)
        self.paused.pop(study, None)
        self.announced([study])

    # the leader

    @rule(pick=PICK)
    def a_retry_becomes_due(self, pick):
        row = self.pick(pick)
        if row.due is not None:
            row.due = self.now()
            self.raw.execute("UPDATE experiment SET not_before = %s WHERE id = %s", [row.due, row.id])

    @rule(picks=st.lists(PICK, min_size=1, max_size=4))
    def mark_pending(self, picks):
        chosen = [self.pick(pick) for pick in picks]
        with self.client.begin() as connection:
            publishing.mark_pending(connection, [row.id for row in chosen])
        for row in chosen:
            row.status = "pending" if row.status == "queued" else row.status

    @rule(study=STUDY, limit=st.integers(1, 4))
    def mark_republished(self, study, limit):
        number = self.raw.execute("SELECT id FROM study WHERE name = %s", [study]).fetchone()[0]
        with self.client.begin() as connection:
            taken = publishing.mark_republished(connection, number, self.now() + timedelta(seconds=1), limit)
        queued = [row for row in self.of(study) if row.status == "queued"]
        assert [item.id for item in taken] == [row.id for row in queued[:limit]]

    @rule()
    def advance_clock(self):
        self.clock += TICK

    @rule()
    def find_silent_workers(self):
        limit = self.clock - timedelta(seconds=LEASE)
        running = {worker: [row.id for row in self.rows if row.runs_on(worker)] for worker in self.workers}
        gone = [worker for worker in self.workers if worker not in self.stopped and self.seen[worker] < limit]
        gone += [worker for worker, moment in self.stopped.items() if moment < limit and running[worker]]
        found = worker_rows.silent(self.raw, LEASE, self.clock)
        assert {silent.worker: sorted(silent.experiments) for silent in found} == {
            worker: running[worker] for worker in gone
        }
        for worker in gone:
            self.stopped.setdefault(worker, self.clock)
        self.silent += found

    @rule(which=st.integers(0, 5))
    def rescue(self, which):
        if self.silent:
            silent = self.silent[which % len(self.silent)]  # perhaps long after it became silent, or again
            error = Error(Failure.LOST, "WorkerLost", "silent", fingerprint="feed0002")
            self.failed(
                [row for row in self.rows if row.runs_on(silent.worker) and row.id in silent.experiments],
                worker_rows.recover(self.raw, silent, error, self.clock),
                error,
            )

    # workers

    @rule(worker=WORKER)
    def beat(self, worker):
        worker = self.workers[worker]
        assert worker_rows.beat(self.raw, worker, self.clock).given_up == (worker in self.stopped)
        self.stopped.pop(worker, None)
        self.seen[worker] = self.clock

    @rule(worker=WORKER)
    def leave(self, worker):
        worker_rows.deregister(self.raw, self.workers[worker])
        self.stopped[self.workers[worker]] = self.now()

    @rule(pick=PICK, worker=WORKER, pid=PID)
    def claim(self, pick, worker, pid):
        row, worker = self.pick(pick), self.workers[worker]
        claim = claiming.claim(self.raw, row.id, worker, pid, self.clock)
        assert (claim is not None) == (row.status == "queued" and row.study not in self.paused)
        if claim is not None:
            row.claim(claim, worker, pid)
            assert (claim.id, claim.attempt, claim.worker, claim.study) == (row.id, row.attempt, worker, row.study)
            assert claim.params == {"x": row.x}

    @rule(worker=WORKER, pid=PID)
    def work(self, worker, pid):
        """Claim any queued experiment, like workers, so that most claims succeed."""
        for number, row in enumerate(self.rows):
            if row.status == "queued":
                self.claim(number, worker, pid)

    @rule(worker=WORKER, pid=PID, picks=st.lists(PICK, max_size=5))
    def undo(self, worker, pid, picks):
        """Release the unstarted claims of a process."""
        worker, picked = self.workers[worker], [self.pick(pick) for pick in picks]
        held = [row for row in self.rows if row.runs_on(worker, pid)]
        begun = [row for row in held if row.result or row.points or row.entries or row.saved or not row.claims]
        begun = {row.id for row in [*begun, *picked]}
        expected = {row.id: row for row in held if row.id not in begun}
        assert set(claiming.undo(self.raw, worker, pid, begun)) == set(expected)
        for row in expected.values():
            row.undo()

    @rule(worker=WORKER, late=LATE, result=RESULT)
    def finish_together(self, worker, late, result):
        """Record outcomes for all claims of a worker, also for claims that it has lost."""
        worker = self.workers[worker]
        rows = [row for row in self.rows if row.claims and row.claims[-1].worker == worker]
        if late > 1 and rows:
            done = [claiming.encode_result(row.claims[-1], Outcome(result=result or {})) for row in rows]
            found = claiming.finish_all(self.raw, worker, done, now=self.clock)
            current = [row for row in rows if row.is_current(row.claims[-1])]
            assert set(found) == {row.id for row in current}
            for row in current:
                row.finish(result or {})

    @rule(worker=WORKER)
    def claim_what_is_not_there(self, worker):
        assert claiming.claim(self.raw, NOWHERE, self.workers[worker], 1) is None

    @rule(pick=PICK, worker=WORKER, pid=PID)
    def adopt(self, pick, worker, pid):
        known, worker = self.pick(pick), self.workers[worker]
        found = claiming.adopt(self.raw, worker, pid, [known.id])
        held = [row for row in self.rows if row.runs_on(worker, pid) and row is not known]
        assert [(claim.id, claim.attempt, claim.params["x"]) for claim in found] == sorted(
            (row.id, row.attempt, row.x) for row in held
        )

    @rule(pick=PICK, late=LATE, result=RESULT)
    def finish(self, pick, late, result):
        row, claim = self.experiment_and_claim(pick, late)
        if claim is not None:
            done = claiming.finish(self.raw, claim, Outcome(result=result or {}), self.clock)
            assert (done is not None) == row.is_current(claim)
            if done:
                row.finish(result or {})

    @rule(pick=PICK, late=LATE, failure=st.sampled_from(list(Failure)), result=RESULT)
    def fail(self, pick, late, failure, result):
        row, claim = self.experiment_and_claim(pick, late)
        if claim is not None:
            error = Error(failure, "ValueError", "bad", fingerprint="feed0001")
            before = self.due(row)
            done = claiming.finish(self.raw, claim, Outcome(error=error, result=result), self.clock)
            assert (done is not None) == row.is_current(claim)
            if done:
                due = self.due(row)
                assert due is None or due >= self.clock
                row.fail(failure, "feed0001", "bad", result, due)
            else:
                assert self.due(row) == before

    def due(self, row):
        return self.raw.execute("SELECT not_before FROM experiment WHERE id = %s", [row.id]).fetchone()[0]

    @rule(pick=PICK, late=LATE, outcome=st.sampled_from(["released", "paused"]), reason=REASON, result=RESULT)
    def depart(self, pick, late, outcome, reason, result):
        row, claim = self.experiment_and_claim(pick, late)
        if claim is not None:
            departure = Departure(outcome, reason)
            done = claiming.finish(self.raw, claim, Outcome(result=result, departure=departure), self.clock)
            assert (done is not None) == row.is_current(claim)
            if done:
                row.depart(outcome, reason, result)

    @rule(pick=PICK, late=LATE)
    def give_back(self, pick, late):
        row, claim = self.experiment_and_claim(pick, late)
        if claim is not None:
            given = claiming.give_back(self.raw, claim, self.clock)
            assert given == row.is_current(claim)
            if given:
                row.depart("released", None, None)

    @rule(picks=st.lists(PICK, min_size=1), worker=WORKER, pid=PID)
    def crash(self, picks, worker, pid):
        worker, chosen = self.workers[worker], {self.pick(pick).id for pick in picks}
        error = Error(Failure.CRASHED, "ProcessDied", "signal 9", fingerprint="feed0003", signal="SIGKILL")
        self.failed(
            [row for row in self.rows if row.id in chosen and row.runs_on(worker, pid)],
            claiming.crash(self.raw, [*chosen, NOWHERE], worker, pid, error, self.clock),
            error,
        )

    def failed(self, expected, found, error):
        assert [(item.id, item.attempt) for item in found] == [(row.id, row.attempt) for row in expected]
        for row, item in zip(expected, found, strict=True):
            due = self.due(row)
            assert (None if due is None else (due - self.clock).total_seconds()) == pytest.approx(item.retry_in)
            row.fail(error.failure, error.fingerprint, error.message, None, due)

    @rule(worker=WORKER, picks=st.one_of(st.none(), st.lists(PICK, min_size=1)))
    def release(self, worker, picks):
        worker = self.workers[worker]
        ids = None if picks is None else [self.pick(pick).id for pick in picks]
        expected = [row for row in self.rows if row.runs_on(worker) and (ids is None or row.id in ids)]
        assert [item[0] for item in claiming.release(self.raw, worker, ids, self.clock)] == [row.id for row in expected]
        for row in expected:
            row.depart("released", None, None)

    @rule(pick=PICK, worker=WORKER, back=st.integers(0, 1))
    def ask_what_is_unwanted(self, pick, worker, back):
        row, worker = self.pick(pick), self.workers[worker]
        attempt = row.attempt - back
        own = row.runs_on(worker) and back == 0
        expected = [] if own and row.study not in self.paused else [(row.id, attempt, own, row.status == "cancelled")]
        found = worker_rows.unwanted(self.raw, worker, [(row.id, attempt)])
        assert [(one.id, one.attempt, one.own, one.is_cancelled) for one in found] == expected

    # data of attempts

    def writer(self, pick, late, attached):
        """Return an experiment, a writer of one of its attempts, and whether that attempt runs, or None."""
        row, claim = self.experiment_and_claim(pick, late)
        if claim is None:
            return None
        writer = journal.AttemptFence(row.id, claim.attempt, None if attached else claim.worker)
        current = row.is_current(claim)
        assert journal.is_current(self.raw, writer) == current
        return row, writer, current

    @rule(pick=PICK, late=LATE, attached=st.booleans(), value=st.integers(0, 9))
    def record(self, pick, late, attached, value):
        if found := self.writer(pick, late, attached):
            row, writer, current = found
            at = {"r": f"2026-01-01T00:00:0{value}+00:00"}
            assert journal.record(self.raw, writer, {"r": value}, at) == current
            if current:
                row.result, row.recorded_at = {**(row.result or {}), "r": value}, {**(row.recorded_at or {}), **at}

    @rule(pick=PICK, late=LATE, attached=st.booleans(), step=st.integers(0, 3))
    def point(self, pick, late, attached, step):
        found = self.writer(pick, late, attached)
        if found and found[2]:  # like the journal, which writes nothing more for a finished attempt
            row, writer, _ = found
            self.keys += 1
            journal.add_points(self.raw, writer, "loss", [journal.Point(step, float(self.keys), 0.0)])
            row.points[writer.attempt, step] = float(self.keys)

    @rule(pick=PICK, late=LATE, attached=st.booleans())
    def append(self, pick, late, attached):
        found = self.writer(pick, late, attached)
        if found and found[2]:
            row, writer, _ = found
            self.keys += 1
            journal.add_entries(self.raw, writer, [journal.Entry("rows", UUID(int=self.keys), {}, 0.0)])
            row.entries.setdefault(writer.attempt, set()).add(self.keys)

    @rule(pick=PICK, late=LATE, attached=st.booleans(), name=st.sampled_from(["", "best"]), keep=st.booleans())
    def save(self, pick, late, attached, name, keep):
        if found := self.writer(pick, late, attached):
            row, writer, current = found
            self.keys += 1
            data = str(self.keys).encode()
            made = journal.SavedCheckpoint("json", data, None, "0", writer.attempt, {"last_key": self.keys})
            assert journal.save(self.raw, writer, name, made, len(data), keep) == ("" if current else None)
            if current:
                row.saved[name] = writer.attempt, data, keep, self.keys, row.result or {}

    @rule(pick=PICK, name=st.sampled_from(["", "best"]))
    def resume_attempt(self, pick, name):
        row = self.pick(pick)
        saved = journal.saved(self.raw, row.id, name)
        assert (saved is not None) == (name in row.saved)
        if saved is not None:
            attempt, data, _, last, recorded = row.saved[name]
            assert (saved.attempt, saved.data, saved.progress["recorded"]) == (attempt, data, recorded)
            if row.status == "running" and attempt < row.attempt:
                journal.carry(self.raw, journal.AttemptFence(row.id, row.attempt, row.worker), attempt, UUID(int=last))
                carried = {key for key in row.entries.get(attempt, ()) if key <= last}
                row.entries.setdefault(row.attempt, set()).update(carried)

    # invariants

    @invariant()
    def rows_match_the_model(self):
        assert self.raw.execute(ROWS).fetchall() == [row.row() for row in self.rows]
        assert self.raw.execute(ATTEMPTS).fetchall() == [
            (row.id, number, past.outcome, past.worker, past.pid, past.result, past.message)
            for row in self.rows
            for number, past in enumerate(row.past, 1)
        ]

    @invariant()
    def recorded_data_match_the_model(self):
        checkpoints = "SELECT experiment, name, attempt, data, keep FROM checkpoint ORDER BY 1, 2"
        assert self.raw.execute(checkpoints).fetchall() == [
            (row.id, name, *saved[:3]) for row in self.rows for name, saved in sorted(row.saved.items())
        ]
        assert self.raw.execute("SELECT experiment, attempt, step, value FROM metric ORDER BY 1, 2, 3").fetchall() == [
            (row.id, *key, value) for row in self.rows for key, value in sorted(row.points.items())
        ]
        assert self.raw.execute("SELECT experiment, attempt, key FROM entry ORDER BY 1, 2, 3").fetchall() == [
            (row.id, attempt, UUID(int=key))
            for row in self.rows
            for attempt, keys in sorted(row.entries.items())
            for key in sorted(keys)
        ]

    @invariant()
    def studies_and_workers_match_the_model(self):
        paused = "SELECT name, pause_reason FROM study WHERE paused_at IS NOT NULL"
        assert dict(self.raw.execute(paused).fetchall()) == self.paused
        stopped = self.raw.execute("SELECT id FROM worker WHERE stopped_at IS NOT NULL").fetchall()
        assert {row[0] for row in stopped} == set(self.stopped)

    @invariant()
    def table_invariants_hold(self):
        check_rules(self.raw)

    def teardown(self):
        """Finished attempts stay fenced, and counts cover all rows."""
        for row in self.rows:
            for claim in row.claims:
                if not row.is_current(claim):
                    assert claiming.finish(self.raw, claim, Outcome(result={"late": 1})) is None
                    assert not claiming.give_back(self.raw, claim)
        if self.rows:
            self.rows_match_the_model()
            for counts in self.client.counts():
                expected = [row.status for row in self.of(counts.study)]
                assert (counts.total, counts.open) == (len(expected), sum(status in OPEN for status in expected))
                assert {str(key): number for key, number in counts.counts.items() if number} == {
                    status: expected.count(status) for status in expected
                }


ROWS = """
    SELECT e.id, s.name, (params->>'x')::int, origin, status, attempt, forgiven, e.worker, e.pid, result, recorded_at,
           failure, error_fingerprint, split_part(reason, ' by ', 1), not_before,
           e.started_at IS NOT NULL, finished_at IS NOT NULL
    FROM   experiment e JOIN study s ON s.id = e.study ORDER BY e.id
"""
ATTEMPTS = """
    SELECT experiment, number, outcome, worker, pid, coalesce(a.result, r.result), error_message
    FROM   attempt a LEFT JOIN earlier_result r USING (experiment, number) ORDER BY experiment, number
"""


@pytest.fixture
def own(site):
    """The settings of a separate database, because the test moves its clocks and compares all rows."""
    name = f"machine_{uuid.uuid4().hex[:8]}"
    with connect(site) as raw:
        raw.execute(f"CREATE DATABASE {name}")
    yield site.model_copy(update={"database_url": site.database_url.replace("/qexp?", f"/{name}?"), "window": WINDOW})
    with connect(site) as raw:
        raw.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def folder(own, tmp_path):
    """A folder of a function that no worker runs; its queue has the same name."""
    made = tmp_path / own.database_url.rpartition("/")[2].partition("?")[0]
    made.mkdir()
    (made / "experiment.py").write_text("def f(x): ...\n")
    yield made
    with redis.Redis.from_url(own.broker_url) as server:
        for key in server.scan_iter(f"{made.name}*"):
            server.delete(key)


def run_machine(own, folder, examples, steps):
    client = Client(own)
    client.migrate()
    with connect(own) as raw:
        run_state_machine_as_test(
            lambda: Machine(client, raw, folder),
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_random_operations_leave_the_rows_that_a_model_predicts(own, folder):
    run_machine(own, folder, examples=15, steps=40)


@pytest.mark.slow
def test_many_random_operations_leave_the_rows_that_a_model_predicts(own, folder):
    run_machine(own, folder, examples=100, steps=80)


SIZE = 6


def run_random_operations(client, raw, worker, folder, seed, operations):
    """Run random operations on the experiments of one study; return the finished attempts."""
    rng, claims, finished = random.Random(seed), [], []
    error = Error(Failure.CRASHED, "ProcessDied", "signal 9", fingerprint="feed0003")
    numbers = [row[0] for row in raw.execute("SELECT id FROM experiment ORDER BY id")]

    def some():
        return Selection(ids=tuple((number, number) for number in rng.sample(numbers, rng.randint(1, SIZE))))

    def claim():
        for number in rng.sample(numbers, SIZE):
            if (claim := claiming.claim(raw, number, worker, rng.randint(1, 2))) is not None:
                claims.append(claim)

    def outcome():
        bad = Error(rng.choice([Failure.ERROR, Failure.TIMEOUT]), "ValueError", "bad", fingerprint="feed0001")
        left = Departure(rng.choice(["released", "paused"]))
        return rng.choice([Outcome({"y": 1}), Outcome({"y": 2}), Outcome(error=bad), Outcome(departure=left)])

    def finish():
        if claims:
            claim = rng.choice(claims)
            writer = journal.AttemptFence(claim.id, claim.attempt, claim.worker)
            journal.record(raw, writer, {"r": claim.attempt}, {"r": "2026-01-01T00:00:00+00:00"})
            if claiming.finish(raw, claim, outcome()) is not None:
                finished.append((claim.id, claim.attempt))

    def rescue():
        worker_rows.recover(
            raw, worker_rows.SilentWorker(worker, "", "", None, False, rng.sample(numbers, SIZE)), error
        )

    def mark_pending():
        with client.begin() as connection:
            publishing.mark_pending(connection, rng.sample(numbers, SIZE))

    def enqueue():
        client.enqueue(grid_of("one", rng.randint(1, SIZE), folder))

    often = [claim, claim, finish, finish, client.publisher.publish_all]
    seldom = [
        lambda: client.cancel(some()),
        lambda: client.requeue(some(), rng.random() < 0.3),
        lambda: client.requeue(some()),
        lambda: client.accept(some()),
        lambda: client.pause("one"),
        lambda: client.resume("one"),
        lambda: client.resume("one"),
        lambda: claiming.crash(raw, rng.sample(numbers, SIZE), worker, 1, error),
        lambda: claiming.release(raw, worker),
        lambda: worker_rows.beat(raw, worker),
        rescue,
        mark_pending,
        enqueue,
    ]
    for _ in range(operations):
        rng.choice(often if rng.random() < 0.7 else seldom)()
    return finished


def run_concurrently(own, folder, threads, operations):
    Client(own).migrate()
    Client(own).enqueue(grid_of("one", SIZE, folder))
    with connect(own) as raw:
        workers = [uuid.uuid4(), uuid.uuid4()]  # threads share them, like the children of a worker
        for worker in workers:
            worker_rows.register(raw, worker, worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 2))

        def work(number):
            with connect(own) as mine:
                return run_random_operations(Client(own), mine, workers[number % 2], folder, number, operations)

        with ThreadPoolExecutor(threads) as pool:
            finished = [item for found in pool.map(work, range(threads)) for item in found]
        Client(own).resume("one")
        check_rules(raw)
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert raw.execute(deadlocks).fetchone() == (0,)
        ended = "SELECT experiment, number FROM attempt WHERE outcome IN ('done', 'error', 'timeout', 'paused')"
        assert len(finished) == len(set(finished)), "an attempt ends once"
        assert set(raw.execute(ended)) <= set(finished)


def test_concurrent_operations_do_not_deadlock_and_keep_the_invariants(own, folder):
    run_concurrently(own, folder, threads=6, operations=60)


@pytest.mark.slow
def test_many_concurrent_operations_do_not_deadlock_and_keep_the_invariants(own, folder):
    run_concurrently(own, folder, threads=8, operations=1000)
