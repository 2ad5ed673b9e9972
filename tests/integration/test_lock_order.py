"""Commands on many experiments lock them in one order, so that they cannot deadlock."""

import threading
import uuid

import pytest
from tests_support import eventually

from qexp.client import Client
from qexp.grid import Grid
from qexp.model import Departure, Error, Failure, Outcome, Status
from qexp.store.connection import connect
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, publishing, worker_rows

LOST = Error(Failure.LOST, "WorkerLost", "silent", fingerprint="abc")


@pytest.fixture
def study(client, raw, tmp_path):
    """A study of four experiments whose rows are stored in descending order of ids."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = f"locks_{uuid.uuid4().hex[:8]}"

    def grid(size):
        keys = {"study": name, "function": "experiment:f", "queue": name, "parameters": {"x": list(range(size))}}
        return Grid.from_dict(keys, tmp_path)

    client.enqueue(grid(4))
    return name, grid


def reverse_rows(raw, numbers):
    """Rewrite rows in descending order, as retries and requeues do over time."""
    for number in reversed(numbers):
        raw.execute("UPDATE experiment SET pid = 1 WHERE id = %s", [number])


def commands(settings, study, numbers, worker):
    """Return each command by its name: the status that it needs, and a function that runs it on its own connection."""

    def raw(action):
        def do():
            with connect(settings) as connection:
                action(connection)

        return do

    def put_back():
        with Client(settings).begin() as connection:
            publishing.mark_pending(connection, numbers)

    name, grid = study
    lost = worker_rows.SilentWorker(worker, "", "", None, False, list(reversed(numbers)))
    return {
        "cancel": (Status.RUNNING, lambda: Client(settings).cancel(Selection(name))),
        "requeue": (Status.PAUSED, lambda: Client(settings).requeue(Selection(name))),
        "accept": (Status.FAILED, lambda: Client(settings).accept(Selection(name))),
        "pause": (Status.QUEUED, lambda: Client(settings).pause(name)),
        "put_back": (Status.QUEUED, put_back),
        "release": (Status.RUNNING, raw(lambda connection: claiming.release(connection, worker))),
        "rescue": (Status.RUNNING, raw(lambda connection: worker_rows.recover(connection, lost, LOST))),
        "enqueue": (Status.RUNNING, lambda: Client(settings).enqueue(grid(1))),
    }


@pytest.mark.parametrize("verb", ["cancel", "requeue", "accept", "pause", "put_back", "release", "rescue", "enqueue"])
def test_experiments_are_locked_in_the_order_of_their_ids(client, raw, study, verb):
    # Given four experiments, the second last locked by another transaction
    name, _ = study
    numbers = [view.id for view in client.experiments(Selection(name))]
    worker = uuid.uuid4()
    worker_rows.register(raw, worker, worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 4))
    status, do = commands(client.settings, study, numbers, worker)[verb]
    for number in numbers:
        if status is not Status.QUEUED:
            claim = claiming.claim(raw, number, worker, 1)
        if status is Status.FAILED:
            error = Error(Failure.ERROR, "ResultError", "no data", fingerprint="abc")
            claiming.finish(raw, claim, Outcome(result={"y": 1}, error=error))
        if status is Status.PAUSED:
            claiming.finish(raw, claim, Outcome(result={"y": 1}, departure=Departure("paused")))
    reverse_rows(raw, numbers)
    with connect(client.settings) as other, other.transaction():
        other.execute("SELECT FROM experiment WHERE id = %s FOR UPDATE", [numbers[2]])
        holder = other.execute("SELECT pg_backend_pid()").fetchone()[0]
        # When the command reaches it
        thread = threading.Thread(target=do)
        thread.start()
        await_waiting(raw, holder, verb)
        # Then the command has locked those before it, and none after it
        found = free(raw, numbers)
    thread.join()
    # (the smaller grid contains the first one, which stays unlocked)
    assert found == [*numbers[: verb == "enqueue"], numbers[3]]


def await_waiting(raw, holder, what):
    waiting = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    eventually(lambda: raw.execute(waiting, [holder]).fetchone(), f"{what} to wait")


def free(raw, numbers):
    """Return the experiments that no transaction has locked."""
    query = "SELECT id FROM experiment WHERE id = ANY(%s) ORDER BY id FOR UPDATE SKIP LOCKED"
    return [row[0] for row in raw.execute(query, [numbers])]


def test_a_requeue_locks_the_study_before_its_experiments(client, raw, study):
    name, _ = study
    numbers = [view.id for view in client.experiments(Selection(name))]
    client.cancel(Selection(name))
    with connect(client.settings) as other, other.transaction():
        other.execute("SELECT FROM study WHERE name = %s FOR UPDATE", [name])  # like an enqueue or a pause
        holder = other.execute("SELECT pg_backend_pid()").fetchone()[0]
        thread = threading.Thread(target=lambda: Client(client.settings).requeue(Selection(name)))
        thread.start()
        await_waiting(raw, holder, "the requeue")
        found = free(raw, numbers)
    thread.join()
    assert found == numbers


def test_a_worker_repeats_a_statement_that_postgres_ended_in_a_deadlock(client, raw, study):
    """qexp never locks in another order, but a person in psql may."""
    name, _ = study
    first, last = (view.id for view in client.experiments(Selection(name))[::3])
    lock, calls = "SELECT FROM experiment WHERE id = %s FOR UPDATE", []
    with connect(client.settings) as other:
        thread = threading.Thread(target=lambda: (other.execute(lock, [first]), other.rollback()))
        other.autocommit = False
        other.execute("SET deadlock_timeout = '1h'")  # the session that detects the deadlock is the victim
        holder = other.execute("SELECT pg_backend_pid()").fetchone()[0]

        def action(connection):
            calls.append(connection)
            with connection.transaction():
                connection.execute("SET LOCAL deadlock_timeout = '10ms'")
                connection.execute(lock, [first])
                if len(calls) == 1:
                    other.execute(lock, [last])
                    thread.start()
                    held = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
                    await_waiting(raw, held, f"session {holder}")
                connection.execute(lock, [last])

        postgres = ReconnectingConnection(client.settings)
        postgres.run(action, "a test")
        thread.join()
        postgres.release()
    assert len(calls) == 2


def test_a_command_that_postgres_ended_in_a_deadlock_is_repeated(site, client, raw, study):
    # Given a patient session that locks experiments in another order
    name, _ = study
    numbers = [view.id for view in client.experiments(Selection(name))]
    done = []
    with connect(site) as other, other.transaction():
        other.execute("SET LOCAL deadlock_timeout = '1 min'")
        other.execute("SELECT FROM experiment WHERE id = %s FOR UPDATE", [numbers[-1]])
        thread = threading.Thread(target=lambda: done.append(client.cancel(Selection(name))))
        thread.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        eventually(lambda: raw.execute(waits).fetchone(), "the command to wait")
        # When both wait for each other, so that Postgres ends the command
        other.execute("SELECT FROM experiment WHERE id = %s FOR UPDATE", [numbers[0]])
    thread.join()
    # Then the command succeeds after a retry
    assert [item.ids for item in done] == [numbers]


@pytest.mark.parametrize("verb", ["cancel", "pause", "enqueue", "requeue"])
def test_a_command_names_the_session_whose_lock_it_waits_for_and_continues_after_it(
    client, raw, study, verb, monkeypatch, caplog
):
    # Given an open psql session that has locked a study and its experiments
    monkeypatch.setattr("qexp.client.transactions.LOCK_TIMEOUT", "50ms")
    name, grid = study
    client.cancel(Selection(name))
    if verb != "requeue":
        client.requeue(Selection(name))
    do = {
        "cancel": lambda: client.cancel(Selection(name)),
        "pause": lambda: client.pause(name),
        "enqueue": lambda: client.enqueue(grid(6)),
        "requeue": lambda: client.requeue(Selection(name)),
    }
    done = []
    with connect(client.settings) as other, other.transaction():
        both = "SELECT FROM experiment e JOIN study s ON s.id = e.study WHERE s.name = %s FOR UPDATE"
        other.execute(both, [name])
        holder = other.info.backend_pid
        # When a command needs them, then it names that session once
        thread = threading.Thread(target=lambda: done.append(do[verb]()))
        thread.start()
        eventually(
            lambda: f"waiting for a lock of process {holder} of" in caplog.text,
            "the command to name the process that holds the lock",
        )
        await_waiting(raw, holder, verb)
        assert not done
    # And it finishes after that session has ended
    thread.join()
    assert done
    assert caplog.text.count("waiting for a lock") == 1
