"""No command waits for the view of a study, and each change of the study updates the view."""

import json
import math
import uuid

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from qexp.client import Client
from qexp.grid import Grid
from qexp.model import Outcome
from qexp.store.connection import Database, connect
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.schema import views
from qexp.store.schema.value_columns import WIDEST
from qexp.store.selection.selectors import Selection, parse
from qexp.store.writes import claiming
from qexp.worker.child import outbox
from qexp.worker.main.leader_jobs import LeaderJobs


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "experiment.py").write_text("def f(x, **more): ...\n")
    data = {"study": f"seen_{uuid.uuid4().hex[:8]}", "function": "experiment:f", "queue": "nobody"}

    def grid(**parameters):
        return Grid.from_dict({**data, "parameters": {"x": [1, 2], **parameters}}, tmp_path)

    return grid


@pytest.fixture
def name(client, grid):
    """An existing study."""
    return client.enqueue(grid()).study


@pytest.fixture
def reader(site, name):
    """An open transaction that has read the study's view, such as one of psql."""
    with connect(site) as other:
        other.autocommit = False
        other.execute(SQL("SELECT FROM {}").format(Identifier(f"study_{name}")))
        yield other


def columns(raw, study):
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    return [row[0] for row in raw.execute(query, [f"study_{study}"])]


def name_result(client, raw, name):
    """Record the name of a result, like a worker."""
    postgres = ReconnectingConnection(client.settings)
    (study,) = raw.execute("SELECT id FROM study WHERE name = %s", [name]).fetchone()
    postgres.run(lambda raw: outbox.name_results(raw, study, ["newest"]), "a test")
    postgres.release()


CHANGES = {
    "enqueue": lambda client, grid, raw: client.enqueue(grid(newest=[7])),
    "extend": lambda client, grid, raw: client.extend(grid().study, [{"x": 7, "newest": 1}]),
    "a worker": lambda client, grid, raw: name_result(client, raw, grid().study),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("later", ["requeue", "wait", "migrate", "leader"])
def test_a_view_in_use_blocks_no_command_and_is_updated_later(client, raw, grid, name, reader, change, later):
    # Given an open transaction that has read the view, when names arrive, then the write ends before the transaction
    CHANGES[change](client, grid, raw)
    assert "newest" not in columns(raw, name)
    client.cancel(Selection(name))
    # When the transaction ends and the study changes again
    reader.rollback()
    verbs = {
        "requeue": lambda: client.requeue(Selection(name)),
        "wait": lambda: client.wait(name),
        "migrate": client.migrate,
        "leader": lambda: LeaderJobs(Database(client.settings)).run_due(run_all=True),
    }
    verbs[later]()
    # Then the view has the names
    assert "newest" in columns(raw, name)


def test_a_read_writes_no_view(client, raw, name):
    # Given a result name without a view column, like from a worker without rights on views
    raw.execute("UPDATE study SET results = results || ARRAY['newest'] WHERE name = %s", [name])
    # When a command reads the study, then the view is unchanged
    other = Client(client.settings)
    other.counts()
    other.experiments(Selection(name))
    assert "newest" not in columns(raw, name)
    # When a command changes the study, then the view is written once
    other.renew_views()
    assert "newest" in columns(raw, name)
    before = raw.execute("SELECT %s::regclass::oid", [f"study_{name}"]).fetchone()
    other.renew_views()
    assert raw.execute("SELECT %s::regclass::oid", [f"study_{name}"]).fetchone() == before


def test_the_view_of_a_locked_study_is_updated_later(client, raw, name, site):
    raw.execute("UPDATE study SET results = results || ARRAY['newest'] WHERE name = %s", [name])
    with connect(site) as other, other.transaction():
        other.execute("SELECT FROM study WHERE name = %s FOR UPDATE", [name])
        client.renew_views()
        assert "newest" not in columns(raw, name)
    client.renew_views()
    assert "newest" in columns(raw, name)


@pytest.fixture
def record(client, raw, worker, site):
    """Finish the next experiments of a study with these results."""
    postgres = ReconnectingConnection(site)
    made = outbox.ResultOutbox(site, postgres)

    def record(study, *results):
        waiting = [view.id for view in client.experiments(Selection(study)) if view.status == "queued"]
        for number, result in zip(waiting, results, strict=False):
            assert made.record(claiming.claim(raw, number, worker(), 1), Outcome(result=result))

    yield record
    postgres.release()


def select(raw, study, what):
    query = SQL("SELECT {} FROM {} ORDER BY 1").format(SQL(what), Identifier(f"study_{study}"))
    return [row[0] for row in raw.execute(query)]


def values(raw, study, column):
    """Return the values of a column of done experiments, by id."""
    query = SQL("SELECT {} FROM {} WHERE status = 'done' ORDER BY id")
    return [row[0] for row in raw.execute(query.format(Identifier(column), Identifier(f"study_{study}")))]


@pytest.mark.parametrize("first", [None, math.nan, math.inf])
@pytest.mark.parametrize("later", ["wait", "leader"])
def test_a_column_without_a_type_becomes_one_of_numbers_when_numbers_arrive(client, raw, grid, record, first, later):
    study = client.enqueue(grid(n=[1, 2, 3])).study
    # Given a result without a type
    record(study, {"acc": first})
    assert str(select(raw, study, "avg(acc)")[0]) == str(first)
    # When numbers follow, then the view shows them, also fractions
    record(study, {"acc": 1}, {"acc": 0.5})
    client.cancel(Selection(study))
    jobs = LeaderJobs(Database(client.settings))
    {"wait": lambda: client.wait(study), "leader": lambda: jobs.run_due(run_all=True)}[later]()
    assert values(raw, study, "acc")[1:] == [1, 0.5]
    assert select(raw, study, "sum(acc) FILTER (WHERE acc < 10)") == [1.5]
    assert select(raw, study, "pg_typeof(acc)::text")[0] == "double precision"


CASES = [
    ([1, "n/a"], [1, "n/a"]),
    (["n/a", 1, None], ["n/a", 1, None]),
    ([1, 2.5], [1, 2.5]),
    ([True, "yes"], [True, "yes"]),
    ([True, 1], [True, 1]),
    ([None, "adam"], [None, "adam"]),
    ([None, True], [None, True]),
    ([0.5, [1, 2]], [0.5, [1, 2]]),
    ([{}, 1], [{}, 1]),
    (["NaN", "adam"], ["NaN", "adam"]),
    ([math.nan, "adam"], ["NaN", "adam"]),
    (["NaN", 1], ["NaN", 1]),
]


@pytest.mark.parametrize(("given", "expected"), CASES, ids=json.dumps)
def test_a_column_shows_values_of_any_types(client, raw, grid, record, given, expected):
    study = client.enqueue(grid(n=[1, 2, 3])).study
    for value in given:
        record(study, {"acc": value})
        client.renew_views()
    assert values(raw, study, "acc") == expected


def test_a_column_changes_its_type_when_experiments_run_again(client, raw, grid, record):
    # Given a column of numbers and text
    study = client.enqueue(grid()).study
    record(study, {"acc": 1}, {"acc": "n/a"})
    client.renew_views()
    with pytest.raises(psycopg.errors.UndefinedFunction):
        select(raw, study, "avg(acc)")
    # When the text disappears, and the study is enqueued again
    client.requeue(Selection(study))
    client.enqueue(grid())
    record(study, {"acc": 1}, {"acc": 2})
    # Then the column is numeric
    assert select(raw, study, "avg(acc)") == [1.5]


def test_columns_hold_the_parameters_of_grids_and_of_code(client, raw, grid):
    # Given more experiments with whole numbers than one check reads, and one with text before them
    study = client.enqueue(grid(size=["all", *range(1500)])).study
    assert set(select(raw, study, "size #>> '{}'")) >= {"all", "7"}
    # When code adds a fraction to a column of whole numbers, and then text
    client.enqueue(grid(n=[1, 2]))
    assert select(raw, study, "max(n)") == [2]
    client.extend(study, [{"x": 1, "n": 0.5}])
    assert select(raw, study, "min(n)") == [0.5]
    client.extend(study, [{"x": 1, "n": "many"}])
    assert "many" in select(raw, study, "n")


def test_keys_of_mappings_are_columns_by_the_names_of_frames(client, raw, grid, record):
    study = client.enqueue(grid(opt=[{"name": "sgd", "lr": 0.1}], duration=[1], n=[1, 2, 3])).study
    assert select(raw, study, '"opt.lr"')[0] == 0.1
    wide = {str(number): number for number in range(WIDEST + 1)}
    record(
        study,
        {"train": {"acc": 1, "deep": {"er": "a"}}, "train.acc": 2, "loss": 0.5, "wide": wide, "n": 7, "seconds": 9},
        {"train": {"acc": 0.5}, "loss": {"val": 3}, "finished_at": 1},
    )
    client.renew_views()
    # Then the view has the columns and values of the frame
    frame = client.frame(Selection(study))
    assert set(frame) - {"error"} <= set(columns(raw, study))
    for name in ("train.acc", "result.train.acc", "loss", "loss.val", "train.deep.er", "param.duration", "wide"):
        found = frame[name][:2].astype(object)
        assert values(raw, study, name) == found.where(found.notna(), None).tolist(), name
    assert values(raw, study, "seconds") == [9, None]
    assert values(raw, study, "finished_at") == [None, 1]
    # When a new key arrives, then it is a column
    record(study, {"train": {"new": True}, "loss": {}})
    client.renew_views()
    assert values(raw, study, "train.new") == [None, None, True]
    assert values(raw, study, "loss") == [0.5, None, {}]


def test_a_parameter_that_sets_a_key_of_a_mapping_is_one_column_with_that_key(client, raw, grid):
    study = client.enqueue(grid()).study
    rows = [{"opt": {"lr": 5}, "opt.lr": 1}, {"opt": {"lr": 0.5}}, {"opt": {"lr": 7}, "opt.lr": None}, {"opt": {}}]
    for row in rows:
        raw.execute(
            "INSERT INTO experiment (study, params, fingerprint) "
            "SELECT id, %s, gen_random_uuid() FROM study WHERE name = %s",
            [Jsonb(row), study],
        )
    raw.execute("UPDATE study SET parameters = '{opt,opt.lr}' WHERE name = %s", [study])
    client.renew_views()
    query = SQL("SELECT {} FROM {} ORDER BY id OFFSET 2")
    found = raw.execute(query.format(Identifier("opt.lr"), Identifier(f"study_{study}"))).fetchall()
    assert found == [(1,), (0.5,), (None,), (None,)]
    chosen = client.experiments(parse([study], where="opt.lr < 2"))
    assert [view.params["opt"] for view in chosen] == [{"lr": 5}, {"lr": 0.5}]


def test_types_of_a_view_in_use_are_updated_later(client, raw, grid, site):
    # Given a numeric column in an open transaction, when code adds text to it
    study = client.enqueue(grid(n=[1])).study
    with connect(site) as other:
        other.autocommit = False
        other.execute(SQL("SELECT FROM {}").format(Identifier(f"study_{study}")))
        client.extend(study, [{"x": 1, "n": "many"}])
        assert None in select(raw, study, "n")
    # Then the leader updates the view after the transaction
    LeaderJobs(Database(client.settings)).run_due(run_all=True)
    assert "many" in select(raw, study, "n")


def test_rights_on_a_view_survive_a_change_of_its_types(client, raw, grid, record):
    # Given a view that another role may read
    study, role = client.enqueue(grid()).study, f'Reader "{uuid.uuid4().hex[:8]}"'
    raw.execute(SQL("CREATE ROLE {}").format(Identifier(role)))
    raw.execute(SQL("GRANT SELECT ON {} TO {}, PUBLIC").format(Identifier(f"study_{study}"), Identifier(role)))
    before = raw.execute("SELECT relacl::text[] FROM pg_class WHERE relname = %s", [f"study_{study}"]).fetchone()
    # When the view is written again
    record(study, {"acc": 1}, {"acc": "n/a"})
    client.renew_views()
    # Then the rights are unchanged
    assert values(raw, study, "acc") == [1, "n/a"]
    after = raw.execute("SELECT relacl::text[] FROM pg_class WHERE relname = %s", [f"study_{study}"]).fetchone()
    assert sorted(after[0]) == sorted(before[0])
    raw.execute(SQL("REVOKE ALL ON {} FROM {}").format(Identifier(f"study_{study}"), Identifier(role)))
    raw.execute(SQL("DROP ROLE {}").format(Identifier(role)))


def test_a_view_whose_values_all_fit_is_not_rewritten(client, raw, grid, record):
    study = client.enqueue(grid(n=[1, 2])).study
    record(study, {"acc": 0.5, "train": {"loss": 1}})
    before = raw.execute("SELECT %s::regclass::oid", [f"study_{study}"]).fetchone()
    record(study, {"acc": 0.25, "train": {"loss": None}}, {"acc": None, "train": None})
    client.renew_views()
    client.enqueue(grid(n=[1, 2]))
    assert raw.execute("SELECT %s::regclass::oid", [f"study_{study}"]).fetchone() == before


KEYS = st.sampled_from(["a", "b", "a.b", "", "it's", 'a"b', "100%s", "{}", "%(x)s", "back\\slash", "ü", "1", "n" * 70])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "1", "true", "NaN", "Infinity", "n/a", "it's"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.lists(st.dictionaries(KEYS, VALUES, max_size=3), min_size=1, max_size=6), max_size=3))
def test_the_view_shows_all_values_of_any_types(client, raw, caplog, steps):
    # Given a study with results of any types, which arrive in several steps
    name = f"any_{uuid.uuid4().hex[:8]}"
    make = (
        "INSERT INTO study (name, function, queue, revision, parameters) VALUES (%s, 'm:f', 'q', 1, '{}') RETURNING id"
    )
    (study,) = raw.execute(make, [name]).fetchone()
    add = (
        "INSERT INTO experiment (study, params, fingerprint, status, result, finished_at) "
        "VALUES (%s, '{}', gen_random_uuid(), 'done', %s, now())"
    )
    views.refresh(raw, study)
    for results in steps:
        for result in results:
            raw.execute(add, [study, Jsonb(result)])
            if result:
                claiming.name_results(raw, study, list(result))
        # When the view is updated
        client.renew_views()
    # Then it has every value of the frame
    assert "fit no column" not in caplog.text
    frame = client.frame(Selection(name))
    names = [label for label in frame if label in columns(raw, name)]
    assert {label for label in frame if 0 < len(label.encode()) <= 63} - {"error"} <= set(names)
    for label in names:
        query = SQL("SELECT {} FROM {} ORDER BY id").format(Identifier(label), Identifier(f"study_{name}"))
        missing = [row[0] is None for row in raw.execute(query)]
        empty = frame[label].isna().tolist()
        assert [there for there, absent in zip(empty, missing, strict=True) if absent and not there] == [], label
    raw.execute(SQL("DROP VIEW {}").format(Identifier(f"study_{name}")))
    raw.execute("DELETE FROM study WHERE id = %s", [study])
