"""A study's view is a convenience: nobody waits for it, and it is written again by whoever changes something."""

import uuid

import pytest
from psycopg.sql import SQL, Identifier

from qexp.client import Client
from qexp.grid import Grid
from qexp.store.connect import connect
from qexp.store.line import Line
from qexp.store.selectors import Selection
from qexp.worker.attempt import delivery
from qexp.worker.upkeep import Upkeep


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "experiment.py").write_text("def f(x, **more): ...\n")
    data = {"study": f"seen_{uuid.uuid4().hex[:8]}", "function": "experiment:f", "queue": "nobody"}

    def grid(**parameters):
        return Grid.from_dict({**data, "parameters": {"x": [1, 2], **parameters}}, tmp_path)

    return grid


@pytest.fixture
def name(client, grid):
    """A study that is there."""
    return client.enqueue(grid()).study


@pytest.fixture
def reader(site, name):
    """A transaction that has read the study's view, and lasts: a notebook's, or psql's."""
    with connect(site) as other:
        other.autocommit = False
        other.execute(SQL("SELECT FROM {}").format(Identifier(f"study_{name}")))
        yield other


def columns(raw, study):
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    return [row[0] for row in raw.execute(query, [f"study_{study}"])]


def name_result(client, raw, name):
    """Bring the name of a result, as a worker does."""
    line = Line(client.settings)
    (study,) = raw.execute("SELECT id FROM study WHERE name = %s", [name]).fetchone()
    line.do(lambda raw: delivery._name_results(raw, study, ["newest"]), "a test")
    line.release()


CHANGES = {
    "enqueue": lambda client, grid, raw: client.enqueue(grid(newest=[7])),
    "extend": lambda client, grid, raw: client.extend(grid().study, [{"x": 7, "newest": 1}]),
    "a worker": lambda client, grid, raw: name_result(client, raw, grid().study),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("later", ["requeue", "wait", "migrate", "leader"])
def test_nobody_waits_for_a_view_that_somebody_reads_and_it_is_written_later(
    client, raw, grid, name, reader, change, later
):
    # Given a transaction that has read the view, when names come, then that ends while the transaction lasts
    CHANGES[change](client, grid, raw)
    assert "newest" not in columns(raw, name)
    client.cancel(Selection(name))
    # When the transaction has ended and something is changed again
    reader.rollback()
    verbs = {
        "requeue": lambda: client.requeue(Selection(name)),
        "wait": lambda: client.wait(name),
        "migrate": client.migrate,
        "leader": lambda: Upkeep(client).look(at_once=True),
    }
    verbs[later]()
    # Then the view has the names
    assert "newest" in columns(raw, name)


def test_a_look_writes_no_view(client, raw, name):
    # Given a study whose results got a name without its view, as from a worker that may not write views
    raw.execute("UPDATE study SET results = results || ARRAY['newest'] WHERE name = %s", [name])
    # When somebody looks, then the view is as it was
    other = Client(client.settings)
    other.counts()
    other.experiments(Selection(name))
    assert "newest" not in columns(raw, name)
    # When something is changed, then it is written, once
    other.renew_views()
    assert "newest" in columns(raw, name)
    before = raw.execute("SELECT %s::regclass::oid", [f"study_{name}"]).fetchone()
    other.renew_views()
    assert raw.execute("SELECT %s::regclass::oid", [f"study_{name}"]).fetchone() == before


def test_the_view_of_a_study_that_somebody_changes_is_left_to_later(client, raw, name, site):
    raw.execute("UPDATE study SET results = results || ARRAY['newest'] WHERE name = %s", [name])
    with connect(site) as other, other.transaction():
        other.execute("SELECT FROM study WHERE name = %s FOR UPDATE", [name])
        client.renew_views()
        assert "newest" not in columns(raw, name)
    client.renew_views()
    assert "newest" in columns(raw, name)
