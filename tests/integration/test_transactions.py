"""What may take long happens outside of transactions: others would wait for the locks in it."""

import uuid

import pytest

from qexp.client import code_provenance
from qexp.grid import Grid
from qexp.store.connection import connect
from qexp.store.selection.selectors import Selection

ASKING = """
import pathlib
import psycopg

with psycopg.connect({url!r}, autocommit=True) as connection:
    query = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    (number,) = connection.execute(query).fetchone()
pathlib.Path({asked!r}).open("a").write(f"{{number}} ")

def f(x): ...
"""
"""A module that notes, when it is imported, how many transactions wait for their clients."""


@pytest.fixture
def grid(client, tmp_path):
    """A grid whose function asks, when it is imported, who is in a transaction."""
    (tmp_path / "experiment.py").write_text(
        ASKING.format(url=client.settings.database_url, asked=str(tmp_path / "asked"))
    )
    data = {"study": f"asks_{uuid.uuid4().hex[:8]}", "function": "experiment:f", "queue": "nobody"}
    return Grid.from_dict({**data, "parameters": {"x": [1, 2]}}, tmp_path)


@pytest.fixture
def taken(raw, monkeypatch):
    """How many transactions waited for their clients, each time that code was packed."""
    numbers, of_folder = [], code_provenance.of_folder

    def taken(*arguments, **keys):
        query = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        numbers.extend(raw.execute(query).fetchone())
        return of_folder(*arguments, **keys)

    monkeypatch.setattr(code_provenance, "of_folder", taken)
    return numbers


def test_the_code_of_a_person_is_imported_outside_of_transactions(client, grid, tmp_path):
    # When a study is made, compared and extended, each time with a module that has changed
    client.enqueue(grid)
    for verb in (client.compare, lambda grid: client.extend(grid.study, [{"x": 7}])):
        with (tmp_path / "experiment.py").open("a") as file:
            file.write("\n")
        verb(grid)
    # Then nobody was in a transaction whenever it was imported
    asked = (tmp_path / "asked").read_text().split()
    assert len(asked) >= 3
    assert set(asked) == {"0"}


def test_code_is_packed_outside_of_transactions(client, grid, taken):
    client.enqueue(grid)
    client.compare(grid)
    client.cancel(Selection(grid.study))
    client.requeue(Selection(grid.study))
    assert taken == [0, 0, 0]


def test_a_requeue_leaves_newer_code_alone_that_an_enqueue_has_brought_meanwhile(client, grid, tmp_path, monkeypatch):
    # Given a requeue that has packed the code, and an enqueue with an edited file before it goes on
    client.enqueue(grid)
    client.cancel(Selection(grid.study))
    (tmp_path / "experiment.py").write_text("def f(x): return 1\n")
    of_folder = code_provenance.of_folder

    def packed(*arguments, **keys):
        found = of_folder(*arguments, **keys)
        monkeypatch.undo()
        (tmp_path / "experiment.py").write_text("def f(x): return 2\n")
        client.enqueue(grid)
        return found

    monkeypatch.setattr(code_provenance, "of_folder", packed)
    # When the requeue goes on
    assert len(client.requeue(Selection(grid.study)).ids) == 2
    # Then the study's code is that of the enqueue
    assert client.study(grid.study).revision == 2


def test_an_extension_is_checked_again_if_its_study_changed_meanwhile(client, grid, tmp_path, monkeypatch):
    # Given a study whose function is another one by the time that new rows have been checked
    from qexp.client import enqueue

    client.enqueue(grid)
    checked = enqueue.checked

    def changed(rows, **options):
        found = checked(rows, **options)
        monkeypatch.undo()
        (tmp_path / "experiment.py").write_text("def f(x: float): ...\n")
        client.enqueue(grid)
        return found

    monkeypatch.setattr(enqueue, "checked", changed)
    # When they are added
    assert client.extend(grid.study, [{"x": 7}]).new == 1
    # Then they are as the present function has them
    added = client.experiments(Selection(grid.study))[-1].params["x"]
    assert (added, type(added)) == (7, float)


def test_a_requeue_runs_the_code_as_it_is_now(client, grid, tmp_path):
    client.enqueue(grid)
    client.cancel(Selection(grid.study))
    (tmp_path / "experiment.py").write_text("def f(x): return 1\n")
    client.requeue(Selection(grid.study))
    assert client.study(grid.study).revision == 2


def test_nobody_waits_for_a_study_while_its_code_is_packed(client, grid, monkeypatch):
    # Given a requeue of which the code takes long to pack
    client.enqueue(grid)
    client.cancel(Selection(grid.study))
    of_folder = code_provenance.of_folder

    def packed(*arguments, **keys):
        # Then the study can be had meanwhile
        with connect(client.settings) as other, other.transaction():
            other.execute("SELECT FROM study WHERE name = %s FOR UPDATE NOWAIT", [grid.study])
        return of_folder(*arguments, **keys)

    monkeypatch.setattr(code_provenance, "of_folder", packed)
    assert len(client.requeue(Selection(grid.study)).ids) == 2
