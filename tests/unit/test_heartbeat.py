"""A worker kills its attempts if other workers may run them."""

import threading
from contextlib import contextmanager
from types import SimpleNamespace
from uuid import uuid4

import psycopg
import pytest

from qexp.errors import DatabaseUnreachableError
from qexp.store.writes.worker_rows import HeartbeatReply
from qexp.worker.main import heartbeat


@pytest.mark.parametrize("error", [DatabaseUnreachableError("it", "away"), psycopg.errors.InsufficientPrivilege("no")])
def test_a_worker_whose_heartbeats_fail_kills_its_attempts_while_another_worker_leads(monkeypatch, error):
    # Given a worker with one heartbeat
    replies, killed = iter([HeartbeatReply(False, uuid4(), None), None, None]), threading.Event()

    def run(*_, **__):
        for reply in replies:
            return reply
        raise error

    recovery = SimpleNamespace(
        worker=uuid4(),
        record_death=None,
        postgres=SimpleNamespace(run=run, release=lambda: None),
        outbox=SimpleNamespace(drain=lambda **_: None),
    )
    reconciler = SimpleNamespace(slots=SimpleNamespace(worker_stops=False), kill_all=killed.set)

    # When the next ones fail for longer than the lease, and a leader reaches Postgres
    @contextmanager
    def connected(_):
        yield SimpleNamespace(exists=lambda _: 1)

    monkeypatch.setattr(heartbeat.broker, "connected", connected)
    sends = heartbeat.Heartbeat(SimpleNamespace(heartbeat=0.01, lease=0.03), recovery, reconciler, None)
    sends.start()
    # Then its attempts are killed
    assert killed.wait(60)
    sends.stop()
