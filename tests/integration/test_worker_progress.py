"""When a worker logs the progress of studies, their end, and why it waits."""

import re
import time
import uuid

import pytest
from finished_studies import FAILED

from qexp.client import Client
from qexp.errors import DatabaseUnreachableError
from qexp.store.connection import Database
from qexp.store.reads import worker_progress
from qexp.worker.log.worker_log import WorkerLog
from qexp.worker.main import progress as module
from qexp.worker.main.progress import ProgressLogger
from qexp.worker.slots import SlotEntry, SlotTable


@pytest.fixture
def queue():
    return f"q_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def progress(client, queue, tmp_path, caplog):
    """A ProgressLogger without its thread. `pass_` lets seconds pass and looks; it returns the new lines."""
    caplog.set_level("INFO", "qexp.worker.main.progress")
    slots = SlotTable(tmp_path / "slots")
    slots.create()
    made = ProgressLogger(client.settings, slots, WorkerLog())
    made._queues = [queue]

    def pass_(seconds):
        for name in ("_report_at", "_busy_at"):
            setattr(made, name, getattr(made, name) - seconds)
        for study in made._taken.values():
            study.taken_at, study.check_at = study.taken_at - seconds, study.check_at - seconds
        caplog.clear()
        made.look()
        return [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"]

    def run(experiment, child=1):
        slots.write(child, SlotEntry(child, 0.0, experiment, 1, child))

    made.pass_, made.run, made.rest = pass_, run, lambda child=1: slots.clear(child)
    return made


def without_other_queues(lines):
    """Other tests leave studies on other queues."""
    return [re.sub(r"; [\d,]+ stud(y waits|ies wait) on queue [^;\s]+", "", line) for line in lines]


def without_pace(lines):
    return [line.partition(" (")[0] for line in lines]


def test_a_running_study_has_a_line_a_minute_while_its_numbers_change(progress, make_study, queue):
    study = make_study().enqueue(parameters={"x": {"range": [10]}}, queue=queue)
    progress.run(1)
    progress.note(study.name, 1)
    assert progress.pass_(59) == []
    assert without_pace(progress.pass_(1.5)) == [f"{study.name}: 10 waiting"]
    assert progress.pass_(61) == [], "nothing has changed"
    study.end(lambda params: {"y": 1} if params["x"] < 3 else None)
    assert without_pace(progress.pass_(61)) == [f"{study.name}: 3 done, 7 waiting"]


def test_the_end_of_a_study_has_one_line_and_then_the_reason_why_the_worker_waits(progress, make_study, queue):
    study = make_study().enqueue(parameters={"x": [1, 2]}, queue=queue)
    progress.note(study.name, 1)
    progress.run(1)
    assert progress.pass_(1) == []
    # When its experiments have ended
    study.end(lambda params: {"y": 1} if params["x"] == 1 else FAILED)
    progress.rest()
    (line,) = progress.pass_(3)
    assert line.startswith(f"{study.name} finished: 1 done, 1 failed in ")
    assert line.endswith(f"; see 'qexp errors {study.name}'")
    # Then the worker waits, and says so once
    assert without_other_queues(progress.pass_(3)) == [f"waiting: nothing to do on queue {queue}"]
    assert progress.pass_(600) == []
    # And again after it had work
    progress.note(study.name, 1)
    assert progress.pass_(3)[0].startswith(f"{study.name} finished")
    assert without_other_queues(progress.pass_(3)) == [f"waiting: nothing to do on queue {queue}"]


def test_the_end_of_a_study_is_told_while_another_one_runs(progress, make_study, queue):
    # Given two studies in two children
    short, long = (make_study().enqueue(parameters={"x": [1]}, queue=queue) for _ in range(2))
    for child, study in enumerate((short, long), 1):
        progress.note(study.name, child)
        progress.run(child, child)
    # When one of them has ended
    short.end(lambda _: {"y": 1})
    progress.rest(1)
    assert progress.pass_(1) == []
    # Then the log says so within seconds, by one query
    (line,) = progress.pass_(2)
    assert line.startswith(f"{short.name} finished: 1 done in ")
    assert progress.pass_(30) == []
    # And of the other one when it ends
    long.end(lambda _: {"y": 1})
    progress.rest(2)
    assert progress.pass_(3)[0].startswith(f"{long.name} finished: 1 done in ")


def test_a_study_that_runs_on_other_workers_is_checked_more_and_more_rarely(progress, make_study, queue, raw):
    study = make_study().enqueue(parameters={"x": [1]}, queue=queue)
    study.end(lambda _: None)
    worker = study.worker()
    raw.execute(
        "UPDATE experiment e SET status = 'running', worker = %s, pid = 1, started_at = now(), attempt = 1 "
        "FROM study s WHERE s.id = e.study AND s.name = %s",
        [worker, study.name],
    )
    progress.note(study.name, 1)
    assert progress.pass_(3) == []
    told = without_other_queues(progress.pass_(3))
    assert told == [f"waiting: nothing to do on queue {queue}; {study.name} runs on other workers"]
    raw.execute(
        "UPDATE experiment e SET status = 'done', result = '{}', finished_at = now() WHERE worker = %s", [worker]
    )
    assert progress.pass_(0.5) == [], "it has looked a moment ago"
    (line,) = progress.pass_(30)
    assert line.startswith(f"{study.name} finished: 1 done")


def test_ready_experiments_are_no_reason_to_wait_until_their_messages_do_not_come(progress, make_study, queue):
    study = make_study().enqueue(parameters={"x": [1]}, queue=queue)
    assert progress.pass_(6) == []
    assert progress.pass_(20) == [
        f"waiting: {study.name} could run here, but no message comes; see 'qexp explain {study.name}'"
    ]
    # And a worker in quarantine is not asked
    progress._has_said_why = False
    progress.stop_taking()
    assert progress.pass_(20) == []


def test_retries_paused_studies_and_other_queues_are_told_apart(client, make_study, queue, raw):
    def state():
        with Database(client.settings).begin() as connection:
            return worker_progress.open_studies(connection, [queue])

    paused, waits, other = (make_study() for _ in range(3))
    paused.enqueue(parameters={"x": [1]}, queue=queue)
    waits.enqueue(parameters={"x": [1, 2]}, queue=queue)
    other.enqueue(parameters={"x": [1]}, queue=f"{queue}_other")
    assert state().ready == [paused.name, waits.name]
    client.pause(paused.name)
    raw.execute(
        "UPDATE experiment e SET status = 'pending', not_before = now() + interval '90 s' "
        "FROM study s WHERE s.id = e.study AND s.name = %s",
        [waits.name],
    )
    found = state()
    assert (found.ready, found.elsewhere, found.paused, found.retries) == ([], [], [paused.name], 2)
    assert 80 < found.retry_in <= 90
    assert found.other_queues[f"{queue}_other"] == 1


def test_studies_of_other_names_and_deleted_ones_have_no_line(client, progress, caplog):
    progress.note("' OR 1=1 --", 1)
    assert progress.pass_(70)[-1].startswith("waiting: nothing to do")
    progress.log_last()


def test_a_postgres_that_is_away_is_said_by_the_heartbeat_alone(progress, monkeypatch):
    def away(*_):
        raise DatabaseUnreachableError("here", "no answer")

    monkeypatch.setattr(Database, "begin", away)
    progress.note("lenet", 1)
    assert progress.pass_(70) == []


def test_slow_counts_make_lines_rarer(progress, make_study, queue, monkeypatch):
    study = make_study().enqueue(parameters={"x": [1]}, queue=queue)
    monkeypatch.setattr(module.worker_progress, "progress", lambda *_: time.sleep(0.5) or [])
    progress.run(1)
    progress.note(study.name, 1)
    began = time.monotonic()
    progress.pass_(61)
    assert progress._report_at - began >= 0.5 / 0.004


def test_a_paused_study_is_settled_when_none_of_it_runs(client: Client, make_study, queue):
    def settled():
        with Database(client.settings).begin() as connection:
            found = worker_progress.settled(connection, [study.name], client.settings.lease)
            return [settled.progress.study for settled in found]

    study = make_study().enqueue(parameters={"x": [1]}, queue=queue)
    assert settled() == []
    client.pause(study.name)
    assert settled() == [study.name]
