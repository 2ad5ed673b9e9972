"""A wait for a study of any size uses one connection and cheap queries."""

import threading
import uuid

import pytest
import sqlalchemy
from sqlalchemy import event
from tests_support import eventually

from qexp.client import Client
from qexp.grid import Grid
from qexp.store.selection.selectors import Selection


@pytest.fixture
def name(client, tmp_path):
    """A study of two experiments without a worker."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    grid = {"study": f"wait_{uuid.uuid4().hex[:8]}", "function": "experiment:f", "queue": "nobody"}
    return client.enqueue(Grid.from_dict({**grid, "parameters": {"x": [1, 2]}}, tmp_path)).study


@pytest.fixture
def used():
    """The connections that SQLAlchemy opens, and the statements that it sends."""
    opened, sent = [], []

    def connected(connection, record):
        opened.append(connection)

    def note(connection, cursor, statement, *_):
        sent.append(statement)

    event.listen(sqlalchemy.pool.Pool, "connect", connected)
    event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
    yield opened, sent
    event.remove(sqlalchemy.pool.Pool, "connect", connected)
    event.remove(sqlalchemy.Engine, "before_cursor_execute", note)


@pytest.fixture
def waiting(client, name):
    """Wait for the study in a thread with its own client; cancel the study, and return the result of the wait."""
    found = []

    def waiting(**options):
        other = Client(client.settings)
        thread = threading.Thread(target=lambda: found.append(other.wait(name, **options)))
        thread.start()

        def end():
            client.cancel(Selection(name))
            thread.join()
            return found[0]

        return end

    return waiting


def counting(sent):
    return [statement for statement in sent if "count(" in statement]


def test_a_wait_opens_one_connection_and_counts_at_its_end_only(waiting, used):
    # Given a wait for a study, with many queries
    opened, sent = used
    end = waiting()
    eventually(lambda: len(sent) > 40, "many queries")
    # Then all used one connection, and none counted experiments
    assert len(opened) == 1
    assert counting(sent) == []
    # When the study is cancelled, then the wait returns the counts
    assert end().counts["cancelled"] == 2


def test_a_wait_reports_progress(waiting, used):
    opened, told, checked = used[0], [], []
    end = waiting(progress=told.append, check=lambda: checked.append(1))
    eventually(lambda: len(told) > 2, "progress")
    assert len(opened) == 1
    assert told[0].open == 2
    assert len(checked) >= len(told)
    end()


def test_a_wait_continues_when_its_connection_is_lost(waiting, used, raw):
    # Given a wait that has sent a query
    opened, sent = used
    end = waiting()
    eventually(lambda: len(sent) > 10, "some queries")
    # When Postgres ends its connection
    raw.execute("SELECT pg_terminate_backend(%s)", [opened[0].info.backend_pid])
    seen = len(sent)
    eventually(lambda: len(sent) > seen + 10, "further queries")
    # Then the wait continues over another one
    assert end().open == 0


def test_a_wait_ends_when_its_study_is_paused_and_after_its_time(client, name):
    with pytest.raises(TimeoutError, match=f"{name}: 2 experiments are unfinished after 0 s"):
        client.wait(name, timeout=0)
    with pytest.raises(TimeoutError, match="unfinished after nan s"):
        client.wait(name, timeout=float("nan"))
    client.pause(name)
    assert client.wait(name).open == 2
