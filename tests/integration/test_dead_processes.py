"""The outcomes of a dead process are recorded, and unreadable ones block no other worker."""

import os
import threading
import uuid

import pytest
from integration.conftest import entry

from qexp.errors import DatabaseUnreachableError
from qexp.grid import Grid
from qexp.model import Departure, Error, Failure, Outcome, Status
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.child import result_log
from qexp.worker.child.outbox import RecordedOutcome, ResultOutbox
from qexp.worker.child.outbox_files import ChildDeath
from qexp.worker.child.result_log import ResultLog
from qexp.worker.lifetime import WorkerLifetime
from qexp.worker.main.process import MainProcess
from qexp.worker.main.reconciler import Reconciler

PID = 2**22 + 7
"""A process id above 2**22, which Linux never assigns."""


@pytest.fixture
def claims(client, raw, tmp_path, worker):
    """Three experiments that a process has claimed together."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = f"settling_{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": [1, 2, 3]}, "queue": "nobody"}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    ids = [row.id for row in client.experiments(Selection(name))]
    return claiming.claims(raw, ids, worker(), PID)


@pytest.fixture
def settle(client, tmp_path):
    """Have another worker record the outcomes that a process left in a folder."""
    main_process = MainProcess(client.settings, uuid.uuid4(), Scratch(uuid.uuid4()), WorkerLifetime(client.settings))
    return lambda claim, begun=(): main_process.recovery.recover_process(claim.worker, tmp_path, PID, list(begun))


def found(client, claims):
    (name,) = {claim.study for claim in claims}
    rows = {row.id: (str(row.status), row.attempt) for row in client.experiments(Selection(name))}
    return [rows[claim.id] for claim in claims]


WAITS = [("pending", 0), ("queued", 0)]


def test_a_result_that_postgres_refuses_does_not_affect_the_others(client, claims, tmp_path, settle):
    # Given a process that ran two of three experiments, one with an unstorable result, and died
    log = ResultLog(tmp_path, PID)
    for claim, value in zip(claims, (1, "\0"), strict=False):
        log.add(claiming.encode_result(claim, Outcome(result={"y": value}), 1.0, 2.0))
    # When another worker recovers it
    settle(claims[0])
    # Then one result counts, the other experiment has failed, and the third waits
    fine, poison, unbegun = found(client, claims)
    assert (fine, poison) == (("done", 1), ("failed", 1))
    assert unbegun in WAITS
    (shown,) = client.show(Selection(ids=((claims[1].id, claims[1].id),)))
    assert [(attempt.outcome, attempt.error_type) for attempt in shown.attempts] == [
        ("error", "qexp.errors.ResultError")
    ]


def test_the_running_attempt_of_a_dead_process_is_ended_elsewhere(client, claims, settle):
    settle(claims[0], [claims[0].id])
    first, *rest = found(client, claims)
    assert first == ("running", 1)
    assert all(row in WAITS for row in rest)


def test_a_damaged_log_loses_none_of_its_results(client, claims, tmp_path, settle, caplog):
    # Given the log of a dead process with foreign text between two results
    log = ResultLog(tmp_path, PID)
    path = result_log.path_of(tmp_path, PID)
    for claim in claims[:2]:
        log.add(claiming.encode_result(claim, Outcome(result={"y": 1}), 1.0, 2.0))
        with path.open("ab") as file:
            file.write(b"\0\n")
    # When another worker recovers it, twice
    settle(claims[0])
    settle(claims[0])
    # Then both results count, and the file is set aside and logged once
    assert found(client, claims)[:2] == [("done", 1)] * 2
    assert not path.exists()
    assert (client.settings.home / "unreadable" / path.name).exists()
    assert len([record for record in caplog.records if path.name in record.getMessage()]) == 1
    (client.settings.home / "unreadable" / path.name).unlink()


def test_a_claim_that_is_made_after_its_process_died_is_taken_back(client, raw, claims, main_process):
    # Given a child whose death is recorded, and a claim of it that Postgres makes later
    main_process.recovery.record_death(
        ChildDeath(main_process.worker, PID, Error(Failure.CRASHED, "ProcessDied", "it is dead"))
    )
    assert all(row in WAITS for row in found(client, claims))
    raw.execute("UPDATE experiment SET status = 'queued' WHERE id = ANY (%s)", [[claim.id for claim in claims]])
    claiming.claims(raw, [claim.id for claim in claims], main_process.worker, PID)
    # When the worker reconciles its children with the rows
    main_process.heartbeat.send()
    # Then the experiments wait again, and no retry is charged
    assert all(row in WAITS for row in found(client, claims))


def test_a_death_that_cannot_be_recorded_waits_in_the_outbox(client, raw, claims, main_process, monkeypatch):
    # Given a child that died during the first of three experiments, while Postgres was down
    first, *rest = claims
    main_process.slots.write(0, entry(PID, first.id))
    with monkeypatch.context() as away:
        away.setattr(main_process.recovery, "record_death", raising(DatabaseUnreachableError("it", "away")))
        main_process.record_crash([claim.id for claim in claims], PID, "signal 9 (SIGKILL)")
    assert found(client, claims) == [("running", 1)] * 3
    # When Postgres is back, then the next heartbeat or the next worker records the death
    main_process.heartbeat.send()
    assert found(client, [first]) == [("pending", 1)]
    assert all(row in WAITS for row in found(client, rest))
    assert main_process.slots.find(PID) is None
    (shown,) = client.show(Selection(ids=((first.id, first.id),)))
    assert [(attempt.outcome, attempt.error_message) for attempt in shown.attempts] == [
        ("crashed", "its process died: signal 9 (SIGKILL)")
    ]
    assert list((main_process.settings.home / "outbox").glob("*")) == []


@pytest.mark.parametrize("damage", ["cut", "garbage", "missing"])
def test_a_dead_worker_with_unreadable_slots_is_recovered_by_its_lease(client, claims, main_process, tmp_path, damage):
    slots = tmp_path / "slots"
    if damage != "missing":
        slots.write_bytes(b"\xff" * (10 if damage == "cut" else 400_000))
    main_process.recovery.recover_worker(main_process.worker, tmp_path)
    assert found(client, claims) == [("running", 1)] * 3


def test_an_outcome_that_a_dead_process_recorded_is_not_logged_as_late(client, raw, claims, tmp_path, settle, caplog):
    # Given a process that recorded the first of three and died before it could note it; another is cancelled
    caplog.set_level("INFO", "qexp")
    first, second, _ = claims
    log = ResultLog(tmp_path, PID)
    results = [claiming.encode_result(claim, Outcome(result={"y": 1}), 1.0, 2.0) for claim in (first, second)]
    for result in results:
        log.add(result)
    assert set(claiming.finish_all(raw, first.worker, results[:1])) == {first.id}
    client.cancel(Selection(ids=((second.id, second.id),)))
    # When another worker recovers it
    settle(first)
    # Then no log line mentions the first one
    assert not [record for record in caplog.records if "too late" in record.getMessage()]
    told = [record.getMessage() for record in caplog.records if "cancelled" in record.getMessage()]
    assert told == [f"{second.study} #{second.id} cancelled"]
    assert found(client, [first, second]) == [("done", 1), ("cancelled", 1)]


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(result={"y": 1}),
        Outcome(error=Error(Failure.ERROR, "ValueError", "no")),
        Outcome(departure=Departure("released")),
    ],
    ids=lambda outcome: outcome.name,
)
def test_an_outcome_whose_answer_was_lost_is_not_logged_as_late(client, raw, claims, outcome, caplog):
    postgres = ReconnectingConnection(client.settings)
    results = ResultOutbox(client.settings, postgres)
    assert claiming.finish(raw, claims[0], outcome) is not None
    assert results.record(claims[0], outcome) == RecordedOutcome(outcome, was_known=True)
    assert results.record(claims[0], Outcome(departure=Departure("paused"))) is None
    assert [record.getMessage() for record in caplog.records if "too late" in record.getMessage()] == [
        f"{claims[0].study} #{claims[0].id}: attempt 1 came too late: its result is discarded"
    ]
    postgres.release()


@pytest.fixture
def main_process(client, claims, tmp_path):
    """The main process of the worker that made those claims."""
    scratch = Scratch(uuid.uuid4())
    scratch.make()
    settings = client.settings.model_copy(update={"home": tmp_path, "heartbeat": 0.05})
    made = MainProcess(settings, claims[0].worker, scratch, WorkerLifetime(settings))
    made.slots.create()
    yield made
    scratch.remove()


def test_an_outcome_that_waits_in_a_file_counts_though_its_process_died_and_the_connection_was_lost(
    client, raw, claims, main_process
):
    # Given a process that wrote an outcome into a file while Postgres was down, and died
    first, *_ = claims
    os.close(main_process.recovery.outbox.files.keep_outcome(first, Outcome(result={"y": 1})))
    raw.execute(
        "SELECT pg_terminate_backend(%s, 5000)",
        [main_process.recovery.postgres.run(lambda line: line.info.backend_pid, "its backend")],
    )
    # When its death is recorded
    error = Error(Failure.CRASHED, "ProcessDied", "it is dead")
    main_process.recovery.record_death(ChildDeath(main_process.worker, PID, error, first.id, first.attempt))
    # Then the experiment has not crashed
    (name,) = {claim.study for claim in claims}
    (shown, *_) = client.show(Selection(name))
    assert [attempt.outcome for attempt in shown.attempts] == ["done"]


def test_a_worker_that_is_told_to_stop_immediately_does_not_wait_for_an_interrupted_statement(
    client, claims, main_process, monkeypatch
):
    # Given a heartbeat that waits for the connection of an interrupted statement
    monkeypatch.setattr("qexp.worker.main.process.GRACE", 0.1)
    sending, stopped, send_heartbeat = threading.Event(), threading.Event(), main_process.heartbeat.send

    def send():
        sending.set()
        send_heartbeat()

    def interrupted(raw):
        main_process.heartbeat.start()
        assert sending.wait(60)
        with raw.lock:  # a statement runs
            # When the worker is told to stop immediately
            main_process.give_back([])
        stopped.set()

    monkeypatch.setattr(main_process.heartbeat, "send", send)
    main = threading.Thread(
        target=main_process.recovery.postgres.run, args=(interrupted, "what was interrupted"), daemon=True
    )
    main.start()
    # Then it stops
    assert stopped.wait(60)
    main.join(60)
    main_process.heartbeat.stop(60)
    (name,) = {claim.study for claim in claims}
    assert {row.status for row in client.experiments(Selection(name))} <= {Status.PENDING, Status.QUEUED}


def test_the_slot_of_a_dead_process_is_empty(claims, tmp_path, at_work):
    _, slots = at_work(PID, claims)
    assert not Reconciler(slots, claims[0].worker, lambda _: None).busy
    slots.write(0, entry(os.getpid(), 17))
    assert Reconciler(slots, claims[0].worker, lambda _: None).busy


def test_outcomes_that_a_worker_cannot_record_are_left_to_the_next_one(client, claims, main_process, monkeypatch):
    folder = main_process.scratch.folder
    ResultLog(folder, PID).add(claiming.encode_result(claims[0], Outcome(result={"y": 1}), 1.0, 2.0))
    with monkeypatch.context() as away:
        away.setattr(main_process.recovery.outbox, "record_encoded", raising(DatabaseUnreachableError("it", "away")))
        main_process.shut_down()
    assert result_log.writers(folder) == [PID]
    main_process.shut_down()
    assert not folder.exists()
    assert found(client, claims)[0] == ("done", 1)


def raising(error):
    def fail(*_, **__):
        raise error

    return fail
