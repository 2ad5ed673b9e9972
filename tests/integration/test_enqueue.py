"""Enqueue writes each row once, announces its id, and leaves no partial write."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import uuid

import pytest
import redis
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from qexp.client import Client
from qexp.client.study import Study
from qexp.errors import BrokerUnreachableError, GridError, SelectorError
from qexp.grid import Grid
from qexp.model import Status
from qexp.queueing import broker
from qexp.store.reads import study_rows
from qexp.store.schema import views
from qexp.store.selection.selectors import Selection, parse


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "experiment.py").write_text("def f(x, y=0, z=0): ...\n")
    name = f"enqueue_{uuid.uuid4().hex[:8]}"

    def grid(**keys):
        keys = {"parameters": {"x": [1, 2, 3]}, **keys}
        return Grid.from_dict({"study": name, "function": "experiment:f", "queue": name, **keys}, tmp_path)

    return grid


def test_the_same_grid_again_adds_nothing(client, grid):
    assert (client.enqueue(grid()).new, client.enqueue(grid()).new) == (3, 0)


def test_a_larger_grid_adds_the_new_experiments_without_gaps_in_the_ids(client, grid):
    client.enqueue(grid())
    done = client.enqueue(grid(parameters={"x": [1, 2, 3, 4]}))
    assert (done.total, done.new, done.known, done.announced) == (4, 1, 3, 1)
    ids = [view.id for view in client.experiments(Selection(done.study))]
    assert ids == list(range(ids[0], ids[0] + 4))


def test_ids_follow_the_order_of_the_grid(client, grid):
    done = client.enqueue(grid(parameters={"x": [3, 1, 2], "y": ["b", "a"]}))
    views = client.experiments(Selection(done.study))
    assert [(view.params["x"], view.params["y"]) for view in views][:3] == [(3, "b"), (3, "a"), (1, "b")]


def test_each_id_is_announced_once_on_its_queue(client, grid):
    done = client.enqueue(grid())
    with redis.Redis.from_url(client.settings.broker_url) as server:
        assert broker.waiting(server, [(done.study, 5)])[done.study, 5].number == 3
    assert {view.status for view in client.experiments(Selection(done.study))} == {Status.QUEUED}


def test_another_grid_or_setting_is_another_revision_and_the_same_one_is_not(client, grid):
    numbers = [
        client.enqueue(made).revision
        for made in (grid(), grid(), grid(settings={"z": 1}), grid(settings={"z": 1}), grid(description="why"))
    ]
    assert numbers == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("before", "after"), [(1, 1.0), (True, 1), (0, False), ({"b": 1, "a": 2}, {"a": 2, "b": 1}), ([1], [True])]
)
def test_a_setting_that_the_function_receives_differently_is_another_revision(client, grid, before, after):
    first = client.enqueue(grid(settings={"z": before})).revision
    done = client.enqueue(grid(settings={"z": after}))
    assert done.revision == first + 1
    with client.begin() as connection:
        found, _ = study_rows.current(connection, study_rows.find(connection, done.study))
    assert repr(found["z"]) == repr(after)


def test_two_concurrent_enqueues_of_one_grid_write_each_experiment_once(client, grid):
    made, results = grid(parameters={"x": list(range(500))}), []
    threads = [threading.Thread(target=lambda: results.append(Client(client.settings).enqueue(made))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert sum(done.new for done in results) == 500
    assert sum(done.announced for done in results) == 40, "the window of a study with unknown durations"
    assert client.counts(made.study)[0].total == 500


def test_a_broker_that_is_gone_leaves_nothing_written(client, grid):
    lost = Client(client.settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"}))
    with pytest.raises(BrokerUnreachableError):
        lost.enqueue(grid())
    assert grid().study not in [counts.study for counts in client.counts()]


def test_a_broker_that_goes_away_while_publishing_leaves_the_rows_pending(client, grid, monkeypatch):
    lost = Client(client.settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"}))
    monkeypatch.setattr(broker, "check", lambda settings: None)
    with pytest.raises(BrokerUnreachableError):
        lost.enqueue(grid())
    assert client.counts(grid().study)[0].counts[Status.PENDING] == 3
    assert client.enqueue(grid()).announced == 3


def test_bad_input_leaves_nothing_written(client, grid):
    with pytest.raises(GridError):
        client.enqueue(grid(parameters={"w": 1}))
    assert grid().study not in [counts.study for counts in client.counts()]


def test_rows_made_by_code_join_a_study(client, grid):
    done = client.enqueue(grid())
    added = client.extend(done.study, [{"x": 3}, {"x": 9, "y": 1}])
    assert (added.total, added.new, added.revision) == (2, 1, 1)
    assert client.study(done.study).parameters == ["x", "y"]


def test_every_value_comes_back_as_it_was(client, grid):
    values = [1, 2.5, True, None, "a'\"%s\\ 🧪", [1, [2]], {"b": 1, "a": None}, 10**30, 1e-300]
    done = client.enqueue(grid(parameters={"x": {"values": values}}))
    found = [view.params["x"] for view in client.experiments(Selection(done.study))]
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


def test_a_study_has_a_view_with_typed_columns(client, raw, grid):
    done = client.enqueue(grid(parameters={"x": [1, 2], "y": [0.5], "z": ["a"]}))
    rows = raw.execute(f"SELECT x, y, z, status FROM study_{done.study} ORDER BY id").fetchall()
    assert rows == [(1, 0.5, "a", "queued"), (2, 0.5, "a", "queued")]
    types = raw.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", [f"study_{done.study}"]
    )
    assert dict(types.fetchall())["y"] == "double precision"


def test_a_view_that_another_one_builds_on_stays(client, raw, grid, caplog):
    done = client.enqueue(grid())
    raw.execute(f"CREATE VIEW mine_{done.study} AS SELECT x FROM study_{done.study}")
    client.enqueue(grid(parameters={"x": [1], "y": [7]}))
    assert "cannot be updated" in caplog.text
    assert raw.execute(f"SELECT count(*) FROM study_{done.study}").fetchone() == (4,)


LONG = "n" * 62
NAMES = ['a"; DROP TABLE study; --', "it's", "100%s", "%(x)s", "{}", "back\\slash", "x", "X", "ü", "a b", "line\nbreak"]
NAMES += [LONG + "a", LONG + "ab", LONG + "ac", "id", "param.id", "param.param.id", "status", "result.x", "select"]


@pytest.fixture
def hostile(client, raw):
    """A study with hostile names, as far as grids and functions allow them."""
    name = f"hostile_{uuid.uuid4().hex[:8]}"
    values = Jsonb({name: str(number) for number, name in enumerate(NAMES)})
    (study,) = raw.execute(
        "INSERT INTO study (name, function, queue, revision, parameters, results) "
        "VALUES (%s, 'm:f', 'nobody', 1, %s, %s) RETURNING id",
        [name, NAMES, NAMES],
    ).fetchone()
    raw.execute(
        "INSERT INTO experiment (study, params, fingerprint, status, result) VALUES (%s, %s, %s, 'done', %s)",
        [study, values, uuid.uuid4(), values],
    )
    yield study, name
    raw.execute(SQL("DROP VIEW IF EXISTS {}").format(Identifier(f"study_{name}")))
    raw.execute("DELETE FROM study WHERE id = %s", [study])


def columns(raw, study):
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    return [row[0] for row in raw.execute(query, [f"study_{study}"])]


def test_any_name_of_a_parameter_or_result_is_a_column_or_left_out(raw, hostile):
    study, name = hostile
    views.refresh(raw, study)
    found = columns(raw, name)
    assert {known for known in NAMES if known not in ("id", "status") and len(known.encode()) <= 63} <= set(found)
    assert {"result.X", "result.it's", "param.param.param.id"} <= set(found)
    assert not {LONG + "ab", LONG + "ac"} & set(found), "names that Postgres would cut have no column"
    query = SQL("SELECT {}, {}, {} FROM {}")
    row = raw.execute(query.format(*map(Identifier, (NAMES[0], "x", "X", f"study_{name}")))).fetchone()
    assert row == tuple(str(NAMES.index(known)) for known in (NAMES[0], "x", "X"))
    assert raw.execute("SELECT count(*) > 0 FROM study").fetchone() == (True,)


@pytest.mark.parametrize(
    ("moment", "text", "stored"),
    [
        ("compared", "nothing was enqueued", 1),
        ("announced", "the experiments are stored, and workers will queue them", 3),
    ],
)
def test_an_interrupted_enqueue_says_what_is_stored(client, grid, moment, text, stored):
    client.enqueue(grid(parameters={"x": [1]}))

    def interrupt(label, number):
        if label == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=f"^{text}$"):
        client.enqueue(grid(), interrupt)
    assert len(client.experiments(Selection(grid().study))) == stored


def test_experiments_that_a_changed_grid_leaves_out_are_named_and_kept(client, grid):
    # Given a study of three experiments, and one that code added
    client.enqueue(grid())
    client.extend(grid().study, [{"x": 77}])
    # When its new grid keeps one of them and adds one
    changed = grid(parameters={"x": [3, 4]}, settings={"z": 5})
    preview = client.compare(changed)
    before = [view.id for view in client.experiments(Selection(changed.study))]
    done = client.enqueue(changed)
    # Then the preview lists it without a write, and the omitted ones exclude the experiment of code
    assert (preview.new, preview.kept, preview.orphaned) == (done.new, done.known, done.orphaned) == (1, 1, 2)
    assert preview.changes == {"parameters.x": ([1, 2, 3], [3, 4]), "settings.z": (None, 5)}
    assert len(before) == 4
    left_out = Selection(changed.study, orphaned=True)
    assert [view.params["x"] for view in client.experiments(left_out)] == [1, 2]
    # And the omitted ones can be cancelled, or restored by a grid that contains them
    assert len(client.cancel(left_out).ids) == 2
    again = client.enqueue(grid())
    assert (again.new, again.orphaned) == (0, 1)
    assert [view.status for view in client.experiments(Selection(changed.study))][:2] == [Status.CANCELLED] * 2


def test_current_chooses_all_but_the_experiments_that_the_newest_grid_leaves_out(client, grid):
    # Given a study whose grid has lost x=1, with an experiment that code has added
    client.enqueue(grid())
    done = client.enqueue(grid(parameters={"x": [2, 3]}))
    client.extend(done.study, [{"x": 9}])
    # When the current and the orphaned ones are chosen, then each experiment is in one of both
    study = Study(done.study, client)
    assert sorted(study.frame(current=True).x) == [2, 3, 9]
    assert [view.params["x"] for view in client.experiments(parse([done.study], current=True))] == [2, 3, 9]
    assert [view.params["x"] for view in client.experiments(parse([done.study], orphaned=True))] == [1]
    with pytest.raises(SelectorError, match="orphaned=True and current=True"):
        parse([done.study], orphaned=True, current=True)


def test_a_preview_of_an_unknown_study_is_all_new(client, grid):
    assert client.compare(grid()).new == 3
    assert grid().study not in [counts.study for counts in client.counts()]


def test_an_enqueue_that_is_killed_while_it_writes_leaves_nothing_and_can_be_repeated(client, grid, tmp_path):
    # Given a client that dies during COPY
    made = grid(parameters={"x": {"range": [0, 30_000]}})
    code = (
        "import os, sys, json, signal; from pathlib import Path\n"
        "from qexp.client import Client; from qexp.grid import Grid\n"
        "data, folder = json.loads(sys.argv[1]), Path(sys.argv[2])\n"
        "die = lambda what, number: os.kill(os.getpid(), signal.SIGKILL) if number >= 20_000 else None\n"
        "Client().enqueue(Grid.from_dict(data, folder), die)\n"
    )
    data = json.dumps(made.source.data)
    done = subprocess.run([sys.executable, "-c", code, data, str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    # Then no row exists, and the next enqueue writes all
    assert made.study not in [counts.study for counts in client.counts()]
    assert client.enqueue(made).new == 30_000


@pytest.mark.parametrize("text", ["back\\slash", "tab\tnew\nline", '"quotes"', "\\N", "\\.", "é🧪"])
def test_any_text_survives_the_copy(client, grid, text):
    done = client.enqueue(grid(parameters={"x": [text]}))
    assert [view.params["x"] for view in client.experiments(Selection(done.study))] == [text]


def test_rows_are_checked_against_the_snapshot_that_workers_run(client, grid, tmp_path):
    # Given a study whose function now takes another parameter
    study = client.enqueue(grid()).study
    (tmp_path / "experiment.py").write_text("def f(x, w=0): ...\n")
    # When rows are added, then the snapshot that workers run decides
    with pytest.raises(GridError, match="takes no 'w'"):
        client.extend(study, [{"x": 7, "w": 1}])
    assert client.extend(study, [{"x": 7, "y": 1}]).new == 1


def test_rows_are_added_on_a_host_without_the_folder_of_the_study(client, grid, tmp_path):
    # Given a study without its folder, and a client without its unpacked snapshot
    study = client.enqueue(grid()).study
    shutil.rmtree(tmp_path)
    # When rows are added, then qexp checks them against the snapshot in the database
    with pytest.raises(GridError, match="takes no 'w'"):
        client.extend(study, [{"w": 1}])
    assert client.extend(study, [{"x": 9}]).new == 1
