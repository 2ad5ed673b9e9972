"""Slow work happens outside of transactions, because others would wait for their locks."""

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
"""A module that records at its import how many transactions wait for their clients."""


@pytest.fixture
def grid(client, tmp_path):
    """A grid whose function checks at its import which sessions are in a transaction."""
    (tmp_path / "experiment.py").write_text(
        ASKING.format(url=client.settings.database_url, asked=str(tmp_path / "asked"))
    )
    data = {"study": f"asks_{uuid.uuid4().hex[:8]}", "function": "experiment:f", "queue": "nobody"}
    return Grid.from_dict({**data, "parameters": {"x": [1, 2]}}, tmp_path)


@pytest.fixture
def taken(raw, monkeypatch):
    """The number of transactions that waited for their clients, for each packing of code."""
    numbers, take = [], code_provenance.take

    def taken(*arguments, **keys):
        query = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        numbers.extend(raw.execute(query).fetchone())
        return take(*arguments, **keys)

    monkeypatch.setattr(code_provenance, "take", taken)
    return numbers


def test_the_code_of_a_user_is_imported_outside_of_transactions(client, grid, tmp_path):
    # When a study is made, compared and extended, each time with a changed module
    client.enqueue(grid)
    for verb in (client.compare, lambda grid: client.extend(grid.study, [{"x": 7}])):
        with (tmp_path / "experiment.py").open("a") as file:
            file.write("\n")
        verb(grid)
    # Then no session was in a transaction during an import
    asked = (tmp_path / "asked").read_text().split()
    assert len(asked) >= 3
    assert set(asked) == {"0"}


def test_code_is_packed_outside_of_transactions(client, grid, taken):
    client.enqueue(grid)
    client.compare(grid)
    client.cancel(Selection(grid.study))
    client.requeue(Selection(grid.study))
    assert taken == [0, 0, 0]


def test_a_requeue_keeps_newer_code_of_a_concurrent_enqueue(client, grid, tmp_path, monkeypatch):
    # Given a requeue that has packed the code, and then an enqueue with an edited file
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
    # When the requeue continues
    assert len(client.requeue(Selection(grid.study)).ids) == 2
    # Then the study has the code of the enqueue
    assert client.study(grid.study).revision == 2


def test_an_extension_is_checked_again_if_its_study_changed_meanwhile(client, grid, tmp_path, monkeypatch):
    # Given a study whose function changes while new rows are checked
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
    # When the rows are added
    assert client.extend(grid.study, [{"x": 7}]).new == 1
    # Then they fit the new function
    added = client.experiments(Selection(grid.study))[-1].params["x"]
    assert (added, type(added)) == (7, float)


def test_a_requeue_runs_the_code_as_it_is_now(client, grid, tmp_path):
    client.enqueue(grid)
    client.cancel(Selection(grid.study))
    (tmp_path / "experiment.py").write_text("def f(x): return 1\n")
    client.requeue(Selection(grid.study))
    assert client.study(grid.study).revision == 2


def test_a_study_is_not_locked_while_its_code_is_packed(client, grid, monkeypatch):
    # Given a requeue whose code takes long to pack
    client.enqueue(grid)
    client.cancel(Selection(grid.study))
    of_folder = code_provenance.of_folder

    def packed(*arguments, **keys):
        # Then the study is not locked meanwhile
        with connect(client.settings) as other, other.transaction():
            other.execute("SELECT FROM study WHERE name = %s FOR UPDATE NOWAIT", [grid.study])
        return of_folder(*arguments, **keys)

    monkeypatch.setattr(code_provenance, "of_folder", packed)
    assert len(client.requeue(Selection(grid.study)).ids) == 2
