"""Prefetch and batches of short experiments in one process lose none of them."""

import itertools
import linecache
import os
import sys
import threading
import time
import uuid

import psycopg
import pytest
from tests_support import eventually

from qexp.errors import DatabaseUnreachableError
from qexp.grid import Grid
from qexp.model import Departure, Error, Failure, Outcome
from qexp.queueing.publisher import Publisher
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.selection.selectors import Selection
from qexp.worker.attempt.runner import AttemptEnvironment, AttemptRunner
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.child import result_log
from qexp.worker.child.held_experiments import HeldExperiments
from qexp.worker.child.message_runner import MessageRunner
from qexp.worker.child.outbox import RecordedOutcome, ResultOutbox
from qexp.worker.child.prefetch import ClaimPrefetcher
from qexp.worker.child.result_batcher import ResultBatcher
from qexp.worker.lifetime import WorkerLifetime
from qexp.worker.slots import SlotTable

MANY = 200
FINE = Outcome(result={"y": 1})


class Breaking(ReconnectingConnection):
    """A connection that can lose the answer to the next claim made during an experiment."""

    breaks = False

    def run(self, action, what, patience=600.0, waiting=None):
        found = super().run(action, what, patience, waiting)
        if self.breaks and not patience:
            self.breaks = False
            raise DatabaseUnreachableError("it", "the answer was lost")
        return found


class Process:
    """The parts of a child process except the attempts."""

    def __init__(self, settings, line, scratch, worker):
        self.slots, self.worker = SlotTable(scratch.slots), worker
        self.held = HeldExperiments(self.slots, 0, scratch.folder)
        self.claims = ClaimPrefetcher(settings, worker, line, WorkerLifetime(settings), self.slots, self.held)
        self.results = ResultBatcher(settings, line, self.held, self.claims.claim_ahead)

    def open(self, ids):
        self.results.start_message(len(ids))
        self.claims.start_message(ids)
        return self

    def work(self, seconds):
        """Make the next attempt and return its claim."""
        claim, began = self.claims.next(), time.monotonic()
        if claim is not None:
            time.sleep(seconds)  # in place of the function
            self.results.record(claim, FINE, began)
        return claim


def make_study(client, raw, folder, number):
    """Enqueue and announce experiments; return the study."""
    (folder / "experiment.py").write_text("def f(x): ...\n")
    name = f"child_{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "queue": name, "parameters": {"x": list(range(number))}}
    client.enqueue(Grid.from_dict(grid, folder))
    ids = [view.id for view in client.experiments(Selection(name))]
    raw.execute("UPDATE experiment SET status = 'queued' WHERE id = ANY(%s)", [ids])
    return name


@pytest.fixture
def study(client, raw, tmp_path):
    return make_study(client, raw, tmp_path, MANY)


@pytest.fixture
def scratch():
    made = Scratch(uuid.uuid4())
    made.make()
    SlotTable(made.slots).create()
    yield made
    made.remove()


@pytest.fixture
def stops(scratch):
    """Stop the whole worker."""
    SlotTable(scratch.slots).announce_stop()


@pytest.fixture
def line(client):
    made = Breaking(client.settings)
    yield made
    made.release()


@pytest.fixture
def process(client, study, scratch, line, worker):
    """A process with a message that announces all experiments of the study."""
    return Process(client.settings, line, scratch, worker()).open(list(rows(client, study)))


def rows(client, study):
    return {view.id: (str(view.status), view.attempt) for view in client.experiments(Selection(study))}


def outcomes(client, experiment):
    (shown,) = client.show(Selection(ids=((experiment, experiment),)))
    return [(attempt.outcome, attempt.error_type) for attempt in shown.attempts]


def in_file(scratch):
    """Return the experiments with results in the file of this process."""
    return {item.id for item in result_log.read(scratch.folder, os.getpid()).results}


def others_wait(client, study):
    """Say whether all experiments that are not done wait for their first attempt."""
    return {row for row in rows(client, study).values() if row != ("done", 1)} <= {("pending", 0), ("queued", 0)}


def test_results_are_in_a_file_until_they_are_recorded(client, study, process, scratch):
    first, second = process.work(0.02), process.work(0.02)
    done = {number for number, row in rows(client, study).items() if row[0] == "done"}
    assert {first.id, second.id} <= in_file(scratch) | done
    process.results.flush()
    assert in_file(scratch) == set()
    assert [rows(client, study)[claim.id] for claim in (first, second)] == [("done", 1)] * 2


def test_the_next_experiments_are_claimed_while_one_runs(client, study, process):
    # Given a process that has run short attempts and has started another one
    for _ in range(3):
        process.work(0.02)
    current, began = process.claims.next(), time.monotonic()
    held = len(process.held.claimed_ids)
    # When this attempt takes longer, then the process claims more experiments meanwhile
    eventually(lambda: len(process.held.claimed_ids) > held, "more to be claimed")
    process.results.record(current, FINE, began)
    while process.work(0.0):
        pass
    process.results.flush()
    assert set(rows(client, study).values()) == {("done", 1)}


def lose_an_answer(process, line):
    """Run experiments until the answer to a claim is lost."""
    line.breaks = True
    while line.breaks:
        assert process.work(0.02) is not None


def test_a_claim_whose_answer_was_lost_during_an_experiment_is_found_by_the_next_one(client, study, process, line):
    line.breaks = True
    seen = []
    while claim := process.work(0.02):
        seen.append(claim.id)
    process.results.flush()
    assert not line.breaks, "an answer was lost"
    assert sorted(seen) == sorted(rows(client, study))
    assert set(rows(client, study).values()) == {("done", 1)}


def test_experiments_of_a_claim_without_an_answer_are_released_too(client, study, process, line):
    lose_an_answer(process, line)
    process.claims.give_back()
    process.results.flush()
    assert others_wait(client, study)
    assert set(rows(client, study).values()) > {("done", 1)}


def test_experiments_of_a_claim_without_an_answer_run_with_the_next_message_at_the_latest(client, study, process, line):
    lose_an_answer(process, line)
    while process.held.claimed_ids:
        process.work(0.0)
    process.open([])
    while process.work(0.0):
        pass
    process.results.flush()
    assert others_wait(client, study)


def test_an_attempt_whose_outcome_waits_in_the_outbox_is_not_released(client, study, process, line, monkeypatch):
    # Given a claim without an answer, and a failure that could not be recorded
    lose_an_answer(process, line)
    claim = process.claims.next()
    failed = Outcome(error=Error(Failure.ERROR, "ValueError", "no"))
    with monkeypatch.context() as away:
        away.setattr(ResultOutbox, "record", raising(DatabaseUnreachableError("it", "away")))
        with pytest.raises(DatabaseUnreachableError):
            process.results.record(claim, failed, time.monotonic())
    # When the process releases its unstarted claims
    process.claims.give_back()
    # Then it keeps the attempt
    assert rows(client, study)[claim.id] == ("running", 1)
    recorded = ResultOutbox(client.settings, line).record(claim, failed)
    assert recorded is not None
    assert recorded == RecordedOutcome(failed, seconds=recorded.seconds)


def test_a_main_process_whose_threads_close_descriptors_is_not_replaced(client, scratch, line, process, monkeypatch):
    """A pool "solo" runs messages in the main process, where no function runs and other threads have connections."""
    monkeypatch.setattr("qexp.worker.attempt.runner.AttemptSignals.install", lambda _: None)
    monkeypatch.setattr("qexp.worker.attempt.runner.password_masking.hide_from_functions", lambda _: None)
    connection = os.open(os.devnull, os.O_RDONLY)
    runner = AttemptRunner(client.settings, line, scratch, SlotTable(scratch.slots), None)
    environment = AttemptEnvironment(runner, process.claims.next())
    os.close(connection)
    environment.close()
    assert runner.unrestored == []


def test_a_process_that_is_told_to_stop_stops_although_postgres_refuses_its_outcome(process, monkeypatch):
    process.work(0.0)
    claim = process.claims.next()
    errors = iter([SystemExit(143), psycopg.errors.InsufficientPrivilege("no")])
    monkeypatch.setattr(ResultOutbox, "record", lambda *_: raising(next(errors))())
    with pytest.raises(SystemExit):
        process.results.record(claim, Outcome(departure=Departure("paused")), time.monotonic())


def raising(error):
    def fail(*_):
        raise error

    return fail


def test_prefetched_experiments_behind_a_long_one_go_to_other_processes(client, study, scratch, line, worker):
    # Given a process whose messages are late immediately
    settings = client.settings.model_copy(update={"bundle": -60.0})
    process = Process(settings, line, scratch, worker()).open(list(rows(client, study)))
    process.work(0.0)
    current = process.claims.next()
    # When the main process checks it while an experiment runs
    process.claims.give_back_if_late()
    process.results.record(current, FINE, time.monotonic())
    process.results.flush()
    # Then it keeps only the running one
    assert process.claims.next() is None
    assert others_wait(client, study)
    assert [row for row in rows(client, study).values() if row == ("done", 1)] == [("done", 1)] * 2


def test_an_attempt_ends_while_other_experiments_are_released(client, study, process, monkeypatch):
    # Given a process that releases its unstarted claims to a broker that does not answer
    process.work(0.0)
    current = process.claims.next()
    called, answers = threading.Event(), threading.Event()

    def republish(_, ids):
        called.set()
        assert answers.wait(60)

    monkeypatch.setattr(Publisher, "republish", republish)
    giving = threading.Thread(target=process.claims.give_back)
    giving.start()
    assert called.wait(60)
    # When its attempt ends, then the outcome is recorded meanwhile
    process.results.record(current, FINE, time.monotonic())
    process.results.flush()
    assert rows(client, study)[current.id] == ("done", 1)
    answers.set()
    giving.join(60)
    assert others_wait(client, study)


@pytest.fixture
def runner(client, scratch, line, worker, monkeypatch):
    """Run messages in this process, with its own signals and with simulated attempts."""
    monkeypatch.setattr("qexp.worker.attempt.runner.AttemptSignals.install", lambda _: None)

    def runner(attempt):
        monkeypatch.setattr(AttemptRunner, "attempt", lambda _, claim: attempt(claim))
        return MessageRunner(client.settings, line, worker(), scratch, None, WorkerLifetime(client.settings))

    return runner


class StoppedAt:
    """
    Raises SystemExit before the main thread executes the line of this count in qexp/worker/child.

    Lines with `with` or `try` are skipped, because Python handles signals only inside the protected block.
    """

    def __init__(self, number):
        self.left = number

    def __enter__(self):
        sys.settrace(self._trace)
        return self

    def __exit__(self, kind, *_):
        sys.settrace(None)
        return kind is SystemExit

    def _trace(self, frame, event, _):
        if "/qexp/worker/child/" not in frame.f_code.co_filename:
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and not line.lstrip().startswith(("with ", "try:")):
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise SystemExit(143)
        return self._trace


@pytest.mark.parametrize("outcome", [FINE, Outcome(departure=Departure("paused"))], ids=lambda outcome: outcome.name)
def test_a_process_may_be_told_to_stop_at_any_moment(client, raw, tmp_path, runner, stops, outcome):
    # Given a process with messages of two experiments and a cancelled one
    study = make_study(client, raw, tmp_path, 1500)
    cancelled, *ids = rows(client, study)
    raw.execute("UPDATE experiment SET status = 'cancelled' WHERE id = %s", [cancelled])
    process = runner(lambda _: outcome)
    for number in itertools.count(1):
        # When it is told to stop, together with its worker, before any executed line
        with StoppedAt(number) as moment:
            process.run([cancelled, ids.pop(), ids.pop()])
        if moment.left > 0:
            break
    # Then each experiment has the outcome of its attempt, or waits for another process
    final = (outcome.name, 1)

    def all_ended_well():
        _, *found = rows(client, study).values()
        return all(row == final or (row[0] in ("pending", "queued") and row[1] <= 1) for row in found)

    eventually(all_ended_well, "all experiments to be recorded or released")
    assert number > 50


def test_a_process_that_is_told_to_stop_without_its_worker_is_charged(client, study, runner):
    """Otherwise a function that signals its own process would be retried for ever."""

    def told(_):
        raise SystemExit(143)

    number = next(iter(rows(client, study)))
    with pytest.raises(SystemExit):
        runner(told).run([number])
    assert outcomes(client, number) == [("crashed", "ProcessStopped")]


def test_the_running_experiment_is_released_if_the_worker_stops_too(client, study, runner, stops):
    def told(_):
        raise SystemExit(143)

    number = next(iter(rows(client, study)))
    with pytest.raises(SystemExit):
        runner(told).run([number])
    assert outcomes(client, number) == [("released", None)]
    assert rows(client, study)[number] in (("pending", 1), ("queued", 1))


def test_no_attempt_starts_if_the_worker_stops_after_a_claim(client, study, runner, scratch, monkeypatch):
    # Given a worker that stops immediately after its process has claimed experiments
    slots, began = SlotTable(scratch.slots), []
    start_next = HeldExperiments.start_next

    def start_and_close(held):
        claim = start_next(held)
        slots.refuse_new()
        return claim

    monkeypatch.setattr(HeldExperiments, "start_next", start_and_close)
    # When the process runs a message, then no attempt starts, and others get the experiments
    runner(began.append).run(list(rows(client, study)))
    assert began == []
    assert slots.read(0) is None
    assert set(rows(client, study).values()) <= {("pending", 0), ("queued", 0)}


def test_the_slot_names_the_running_experiment_until_its_release(client, study, runner, stops, scratch, monkeypatch):
    first = next(iter(rows(client, study)))
    seen = []

    def told(_):
        raise SystemExit(143)

    monkeypatch.setattr(ResultOutbox, "record", lambda *_: seen.append(SlotTable(scratch.slots).read(0)))
    with pytest.raises(SystemExit):
        runner(told).run([first])
    assert [(entry.experiment, entry.attempt) for entry in seen] == [(first, 1)]


def test_the_slot_names_the_running_experiment_if_its_process_fails_before_the_outcome_is_known(
    client, study, runner, scratch
):
    """Otherwise the main process would release it as unstarted, and it would run again for ever."""
    first = next(iter(rows(client, study)))

    def fail(_):
        raise GeneratorExit

    with pytest.raises(GeneratorExit):
        runner(fail).run([first])
    entry = SlotTable(scratch.slots).read(0)
    assert (entry.experiment, entry.attempt) == (first, 1)
