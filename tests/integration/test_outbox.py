"""Outcomes wait in outbox files while Postgres is down, and no damaged or foreign file blocks the others."""

import dataclasses
import errno
import fcntl
import json
import math
import os
import uuid

import pytest

from qexp.client.doctor import runtime_checks as doctor
from qexp.client.doctor.finding import DoctorState
from qexp.grid import Grid
from qexp.model import Departure, Error, Failure, Outcome, Usage
from qexp.settings import SettingsWithOrigins
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming
from qexp.worker.child.outbox import ResultOutbox
from qexp.worker.child.outbox_files import OutboxFiles

FINE = Outcome(result={"y": 1})


@pytest.fixture
def settings(client, tmp_path):
    """The settings of a worker with its own home."""
    return client.settings.model_copy(update={"home": tmp_path / "home"})


@pytest.fixture
def claim(client, raw, tmp_path, worker):
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    grid = {"study": f"outbox_{uuid.uuid4().hex[:8]}", "function": "experiment:f", "parameters": {"x": 1}}
    client.enqueue(Grid.from_dict({**grid, "queue": "nobody"}, tmp_path))
    (view,) = client.experiments(Selection(grid["study"]))
    return claiming.claim(raw, view.id, worker(), 1)


@pytest.fixture
def files(settings):
    return OutboxFiles(settings)


@pytest.fixture
def outbox(settings):
    postgres = ReconnectingConnection(settings)
    yield ResultOutbox(settings, postgres)
    postgres.release()


def waits(files, claim, outcome=FINE):
    """Put an outcome of a dead process into the outbox; return its file."""
    os.close(files.keep_outcome(claim, outcome))
    return files.of(claim)


def status(client, claim):
    return str(client.experiments(Selection(ids=((claim.id, claim.id),)))[0].status)


def changed(**keys):
    return lambda text: json.dumps({**json.loads(text), **keys}).encode()


DAMAGE = {
    "empty": lambda _: b"",
    "cut": lambda text: text[: len(text) // 2],
    "NUL": lambda text: b"\0" * len(text),
    "no text": lambda _: b"\xff\xfe",
    "a list": lambda _: b"[]",
    "a number": lambda _: b"5",
    "nested without end": lambda _: b"[" * 100_000,
    "of another version": changed(version=2),
    "without a version": lambda text: json.dumps(
        {k: v for k, v in json.loads(text).items() if k != "version"}
    ).encode(),
    "of no worker": changed(worker="x"),
    "without an outcome": changed(outcome=None),
    "with an outcome of other fields": changed(outcome={"results": {}}),
    "with a number that is none": lambda text: text.replace(b'"attempt": 1', b'"attempt": "one"'),
    "with a claim of another form": changed(claim=[1, 2]),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_file_that_cannot_be_read_is_set_aside_and_the_others_are_delivered(
    client, claim, files, outbox, settings, damage, caplog
):
    # Given a damaged file before the outcome of an experiment
    path = waits(files, claim)
    odd = path.with_name("0.json")
    odd.write_bytes(damage(path.read_bytes()))
    # When the outbox is delivered, twice
    outbox.drain()
    outbox.drain()
    # Then the outcome counts; the file is set aside, logged once and named by the doctor
    assert status(client, claim) == "done"
    assert list(settings.outbox.iterdir()) == []
    assert [found.name for found in settings.unreadable.iterdir()] == ["0.json"]
    assert len([record for record in caplog.records if str(odd) in record.getMessage()]) == 1
    (finding,) = doctor.left_overs("left-overs", DoctorState(SettingsWithOrigins(settings, {})))
    assert str(settings.unreadable / "0.json") in finding.found


def test_a_folder_and_a_link_in_the_place_of_a_file_are_set_aside(client, claim, files, outbox, settings, tmp_path):
    path = waits(files, claim)
    path.with_name("0.json").mkdir()
    (tmp_path / "elsewhere").write_bytes(path.read_bytes())
    path.with_name("1.json").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(path.with_name("2.json"))
    outbox.drain()
    assert status(client, claim) == "done"
    assert sorted(found.name for found in settings.unreadable.iterdir()) == ["0.json", "1.json", "2.json"]
    assert (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_ignored(client, claim, files, outbox, settings):
    path = waits(files, claim)
    os.chown(path, 65534, -1)
    outbox.drain()
    assert status(client, claim) == "running"
    assert [found.name for found in settings.unreadable.iterdir()] == [path.name]


def test_a_file_that_cannot_be_moved_is_logged_once_and_blocks_nothing(client, claim, files, outbox, settings, caplog):
    path = waits(files, claim)
    path.with_name("0.json").write_bytes(b"")
    settings.unreadable.touch()
    for _ in range(3):
        outbox.drain()
    assert status(client, claim) == "done"
    assert len([record for record in caplog.records if "0.json" in record.getMessage()]) == 1


def test_an_outcome_for_another_database_stays(client, claim, files, outbox, settings):
    # Given the outcome of a worker that this database lacks
    path = waits(files, claim._replace(worker=uuid.uuid4()))
    before = path.read_bytes()
    # When a worker of this database delivers the outbox
    outbox.drain()
    outbox.drain()
    # Then the file and the experiment with the same id are unchanged
    assert path.read_bytes() == before
    assert json.loads(before)["database"]
    assert status(client, claim) == "running"
    (shown,) = client.show(Selection(ids=((claim.id, claim.id),)))
    assert shown.attempts == []


def test_a_delivered_outcome_equals_the_original(client, claim, files, outbox):
    usage = Usage(1.5, 10**12, None, 0.25)
    result = {"z": 2**70, "a": [None, {"b": "é\u2028"}], "n": "NaN", "f": 1.5}
    waits(files, claim, Outcome(result=result, recorded_at={"z": "2026-01-31T00:00:00+00:00"}, usage=usage))
    outbox.drain()
    (shown,) = client.show(Selection(ids=((claim.id, claim.id),)))
    assert shown.experiment.result == result
    assert (shown.attempts[0].cpu_seconds, shown.attempts[0].peak_memory) == (1.5, 10**12)


@pytest.mark.parametrize(
    "outcome",
    [
        FINE,
        Outcome(error=Error(Failure.ERROR, "ValueError", "no", "f:1", "abc", "Traceback", "SIGKILL")),
        Outcome(departure=Departure("paused", "why")),
    ],
    ids=lambda outcome: outcome.name,
)
def test_each_kind_of_outcome_is_read_as_it_was_written(claim, files, outcome):
    waits(files, claim, outcome)
    ((_, kept),) = files.unlocked()
    assert dataclasses.asdict(kept.outcome) == dataclasses.asdict(outcome)
    assert kept.claim == claim


def test_a_file_is_delivered_where_locks_ask_for_descriptors_that_may_write(client, claim, files, outbox, monkeypatch):
    """NFS needs write access for these locks: https://man7.org/linux/man-pages/man2/flock.2.html"""
    lock = fcntl.flock

    def as_on_nfs(descriptor, operation):
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        if (operation & fcntl.LOCK_EX and mode == os.O_RDONLY) or (operation & fcntl.LOCK_SH and mode == os.O_WRONLY):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", as_on_nfs)
    waits(files, claim)
    outbox.drain()
    assert status(client, claim) == "done"


def test_files_of_a_living_process_are_left_to_it(claim, files):
    held = files.keep_outcome(claim, FINE)
    assert list(files.unlocked()) == []
    os.close(held)
    assert len(list(files.unlocked())) == 1


def test_a_result_from_a_file_equals_the_original(client, files, outbox, claim):
    # Given a result with every value that JSON or jsonb changes
    result = {"z": math.inf, "text": "NaN", "b": 1e22, "a": -0.0, "config": {"b": [math.nan], "a": 1}}
    path = waits(files, claim, Outcome(result=result))
    # When the next worker delivers it
    outbox.drain()
    # Then the result is unchanged
    assert not path.exists()
    (view,) = client.experiments(Selection(ids=((claim.id, claim.id),)))
    assert repr(view.result) == repr(result)
