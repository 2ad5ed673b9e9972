"""Roles of `qexp db roles`: workers have only the rights that they need, and readers cannot change anything."""

import json
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy import select
from tests_support import eventually

from qexp import load
from qexp.client import Client
from qexp.errors import NotAllowedError, RoleError
from qexp.grid import Grid
from qexp.settings import socket_url
from qexp.store.connection import connect
from qexp.store.rules import failure_limit, notifications, worker_quarantine
from qexp.store.schema import schema_version
from qexp.store.writes import control

WORKER, READER = 'work"er; DROP TABLE study; --', "réader's"
PASSWORD = "p@ss: %41"
SOURCE = """
import os, signal, subprocess, sys
from pathlib import Path

import qexp

def f(way, folder, context: qexp.Context):
    steps = 0
    for step in context.resumable(range(3)):
        context.metric(step, loss=1 / (step + 1))
        context.append("rows", {"step": step})
        steps += 1
    print("printed by", way)
    context.record(early=steps)
    context.artifact("model.txt", way.encode())
    if way == "raises" or (way == "again" and context.attempt == 1):
        raise ValueError(way)
    if way == "crashes":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "saves":
        context.save({"w": [1.0]}, name="weights", keep=True)
    if way == "pauses":
        return context.pause("wait for a person")
    if way == "attached":
        code = f"import qexp\\nwith qexp.attach({context.id}) as context: context.metric(9, loss=0.5)"
        subprocess.run([sys.executable, "-c", code], check=True)
    if way == "silent" and context.attempt == 1:
        Path(folder, "began").touch()
        import time
        time.sleep(600)
    return {"way": way.upper(), "score": 1.5}
"""
PLAIN = "def f(x):\n    return {'y': x}\n"


@pytest.fixture(scope="module")
def roles(site):
    """Settings for a separate database as its owner, as the worker role and as the reader role."""
    with connect(site) as raw:
        raw.execute("DROP DATABASE IF EXISTS roles WITH (FORCE)")
        raw.execute("CREATE DATABASE roles")
    owner = site.model_copy(update={"database_url": site.database_url.replace("/qexp?", "/roles?")})
    Client(owner).migrate()
    script = Client(owner).roles(WORKER, READER)
    with connect(owner) as raw:
        for _ in range(2):  # a second run succeeds
            raw.execute(script)
        for name in (WORKER, READER):
            raw.execute(SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(name), Literal(PASSWORD)))
    folder = conninfo_to_dict(owner.database_url)["host"]

    def of(name):
        return owner.model_copy(update={"database_url": socket_url(name, PASSWORD, folder, "roles")})

    yield SimpleNamespace(owner=owner, worker=of(WORKER), reader=of(READER))
    with connect(site) as raw:
        raw.execute("DROP DATABASE roles WITH (FORCE)")
        for name in (WORKER, READER):
            raw.execute(SQL("DROP ROLE {}").format(Identifier(name)))


@pytest.fixture
def start(roles, start_worker, monkeypatch):
    """Start workers with the worker role on the test's own queue."""
    queue = f"q_{uuid.uuid4().hex[:8]}"

    def start(*options):
        with monkeypatch.context() as patch:
            patch.setenv("QEXP_DATABASE_URL", roles.worker.database_url)
            patch.setenv("QEXP_LEASE", "3")
            patch.setenv("QEXP_HEARTBEAT", "0.5")
            return start_worker("-Q", queue, *options).await_ready()

    start.queue = queue
    return start


@pytest.fixture
def enqueue(roles, start, qexp, tmp_path):
    """Enqueue a study as the owner; return its name and a function that runs commands as the owner."""

    def as_owner(*arguments):
        return qexp(*arguments, environ={"QEXP_DATABASE_URL": roles.owner.database_url})

    def enqueue(source, parameters, **keys):
        name = f"s_{uuid.uuid4().hex[:8]}"
        (tmp_path / "experiment.py").write_text(source)
        grid = {"study": name, "function": "experiment:f", "queue": start.queue, "parameters": parameters, **keys}
        (tmp_path / "grid.yaml").write_text(json.dumps(grid))
        done = as_owner("enqueue", "grid.yaml")
        assert done.returncode == 0, done.stderr
        return name, as_owner

    return enqueue


def columns(settings, name):
    with connect(settings) as raw:
        rows = raw.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [f"study_{name}"]
        )
        return {row[0] for row in rows}


def test_the_worker_role_has_all_rights_that_workers_need(roles, start, enqueue, tmp_path):
    # Given workers with the role, and experiments that use every feature
    ways = ["returns", "raises", "again", "crashes", "saves", "pauses", "attached", "silent"]
    retries = {"error": 1, "crashed": 0, "lost": 5, "delay": "0.1s"}
    name, as_owner = enqueue(SOURCE, {"way": ways}, settings={"folder": str(tmp_path)}, retries=retries)
    first = start("-c", "2")
    eventually((tmp_path / "began").exists, "the experiment of the silent worker to run")
    second = start("-c", "1")

    def statuses():
        rows = json.loads(as_owner("list", name, "--format", "json").stdout)
        return {row["params"]["way"]: row["status"] for row in rows}

    eventually(lambda: list(statuses().values()).count("running") == 1, "all others to end")
    # When one of them becomes silent
    first.kill()
    eventually(lambda: statuses()["silent"] == "done", "the leader to recover it for the other one")
    # Then each experiment has the expected end and all recorded data
    ends = {"raises": "failed", "crashes": "failed", "pauses": "paused"}
    assert statuses() == {way: ends.get(way, "done") for way in ways}
    shown = json.loads(as_owner("show", name, "--format", "json").stdout)
    outcomes = {row["params"]["way"]: [attempt["outcome"] for attempt in row["attempts"]] for row in shown}
    assert outcomes["raises"] == ["error", "error"]
    assert outcomes["again"] == ["error", "done"]
    assert outcomes["silent"] == ["lost", "done"]
    with connect(roles.owner) as raw:
        for table, number in (("metric", 7), ("entry", 7), ("output", 7), ("artifact", 8)):
            query = SQL("SELECT count(DISTINCT experiment) FROM {}").format(Identifier(table))
            assert raw.execute(query).fetchone()[0] >= number, table
        assert raw.execute("SELECT count(*) FROM checkpoint WHERE name = 'weights'").fetchone() == (1,)
        assert raw.execute("SELECT value FROM metric WHERE step = 9").fetchall() == [(0.5,)]
    refused = [line for worker in (first, second) for line in worker.text().splitlines() if "must be owner" in line]
    assert all("is written later" in line for line in refused)
    assert "permission denied" not in first.text() + second.text()
    # And the view, which workers cannot write, has the new columns after a wait of the owner
    as_owner("wait", name)
    assert {"way", "score", "early"} <= columns(roles.owner, name)


def test_the_worker_role_may_act_as_leader(roles, view):
    suspect = worker_quarantine.SuspectWorker(uuid.uuid4(), "w@here", "here", [1], ["x"], "ValueError")
    with Client(roles.worker).begin() as connection:
        assert failure_limit.exceeded(connection) == []
        assert worker_quarantine.suspects(connection, 30.0) == []
        assert worker_quarantine.conviction(connection, suspect) is None
        assert list(connection.execute(worker_quarantine.done_by_others(suspect, datetime.now(UTC)))) == []
        assert not connection.execute(select(worker_quarantine.survived(suspect))).scalar_one()
        assert not worker_quarantine.quarantine(connection, suspect, "it fails", 30.0)
        news = notifications.news(connection, True, 30.0, 30.0)[0]
        notifications.note(connection, news.id, notifications.Event.FAILED, news.renewed_at, "text", ["json://here/x"])
        due = next(notice for notice in notifications.due(connection) if notice.text == "text")
        assert notifications.take(connection, due)
        notifications.refused(connection, due, "no route")
        notifications.sent(connection, due)
        assert control.pause(connection, "plain", "too much fails")
        connection.rollback()


FORBIDDEN = [
    "DELETE FROM experiment",
    "DELETE FROM study",
    "DELETE FROM attempt",
    "DELETE FROM metric",
    "DELETE FROM source",
    "TRUNCATE experiment",
    "DROP TABLE output",
    "DROP VIEW {view}",
    "ALTER TABLE study ADD COLUMN x int",
    "CREATE TABLE mine (x int)",
    "CREATE TEMP TABLE mine (x int)",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "CREATE INDEX ON experiment (created_at)",
    "INSERT INTO study (name, function, queue, revision, parameters) VALUES ('x', 'x', 'x', 1, '{{}}')",
    "INSERT INTO experiment (study, params, fingerprint) VALUES (1, '{{}}', gen_random_uuid())",
    "INSERT INTO source (digest, archive, files) VALUES ('x', '', '{{}}')",
    "UPDATE study SET name = 'x'",
    "UPDATE study SET function = 'os:system'",
    "UPDATE revision SET source = NULL",
    "UPDATE source SET archive = ''",
    "UPDATE experiment SET params = '{{}}'",
    "UPDATE experiment SET study = 1",
    "UPDATE attempt SET traceback = ''",
    "UPDATE alembic_version SET version_num = 'x'",
    "UPDATE worker SET host = 'x'",
    "UPDATE notice SET recipient = 'x'",
    "UPDATE metric SET attempt = 0",
    "UPDATE artifact SET attempt = 0",
    "SELECT * FROM {view}",
    "SELECT grid FROM revision",
    "SELECT git_diff FROM revision",
    "SELECT * FROM environment",
    "SELECT traceback FROM attempt",
    "SELECT text FROM output",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY study TO PROGRAM 'cat'",
]


@pytest.fixture(scope="module")
def view(roles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("view")
    (folder / "experiment.py").write_text(PLAIN)
    grid = {"study": "plain", "function": "experiment:f", "parameters": {"x": [1, 2]}, "queue": "nobody"}
    Client(roles.owner).enqueue(Grid.from_dict(grid, folder))
    return "study_plain"


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_worker_role_may_do_nothing_more(roles, view, statement):
    with connect(roles.worker) as raw, pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw.execute(statement.format(view=view))


READ_ONLY = [
    "DELETE FROM metric",
    "UPDATE study SET results = '{{}}'",
    "UPDATE experiment SET status = 'done'",
    "INSERT INTO leader (worker, until) VALUES (gen_random_uuid(), now())",
    "TRUNCATE output",
    "DROP VIEW {view}",
    "CREATE TABLE mine (x int)",
    "CREATE VIEW mine AS SELECT 1",
    "SELECT id FROM study FOR UPDATE",
    "SELECT rolpassword FROM pg_authid",
    "SELECT notify FROM revision",
    "SELECT * FROM revision",
    "SELECT revision FROM revision",
]


@pytest.mark.parametrize("statement", READ_ONLY)
def test_a_reader_can_change_nothing(roles, view, statement):
    with connect(roles.reader) as raw, pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw.execute(statement.format(view=view))


def test_only_the_owner_may_delete_a_study(roles, view):
    for role in (roles.worker, roles.reader):
        with pytest.raises(NotAllowedError, match=r"refused: (permission denied|must be owner)"):
            Client(role).delete_study("plain")
    assert Client(roles.owner).counts("plain")[0].total == 2


def test_another_role_prunes_its_machine_and_is_told_what_it_may_not_remove(roles, view, tmp_path):
    # Given an unpacked snapshot in the home of a worker's role, and a snapshot that no study has
    with connect(roles.owner) as raw:
        raw.execute("INSERT INTO source VALUES ('unneeded', 'zip', '{}', '{}')")
    code = tmp_path / "home" / "sources" / ("0" * 64)
    code.mkdir(parents=True)
    # When that role prunes
    done = Client(roles.worker.model_copy(update={"home": tmp_path / "home"})).prune()
    # Then the unpacked one is gone, and the notes say the rest
    assert {kind.kind: kind.number for kind in done.kinds if kind.number} == {"unpacked snapshots of code": 1}
    assert [note for note in done.notes if note.startswith("snapshots of code in the database left: ")]
    assert not code.exists()


def test_a_reader_sees_all(roles, start, enqueue, qexp, tmp_path, monkeypatch):
    name, as_owner = enqueue(SOURCE, {"way": ["returns", "raises"]}, settings={"folder": ""}, retries={"error": 0})
    start("-c", "1")
    assert as_owner("wait", name, "--timeout", "120").returncode == 1

    def look(*arguments):
        return qexp(*arguments, environ={"QEXP_DATABASE_URL": roles.reader.database_url})

    number = json.loads(as_owner("list", name, "--format", "json").stdout)[0]["id"]
    commands = [("status",), ("list", name), ("show", name), ("errors", name), ("logs", number), ("metrics", name)]
    commands += [("explain", number), ("workers",), ("list", name, "--where", "way = 'returns'")]
    commands += [("artifacts", name), ("source", number), ("export", name, "-o", "out.csv"), ("diff", "grid.yaml")]
    commands += [("report", name, "-o", "report.html")]
    for command in commands:
        done = look(*command)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), (command, done.stderr)
    assert "1.5" in (tmp_path / "out.csv").read_text()
    examined = look("doctor")
    assert "permission denied" not in examined.stdout + examined.stderr
    assert "Traceback" not in examined.stderr
    with monkeypatch.context() as patch:
        patch.setenv("QEXP_DATABASE_URL", roles.reader.database_url)
        assert sorted(load(name)["status"]) == ["done", "failed"]
    with connect(roles.reader) as raw:
        rows = raw.execute(SQL("SELECT way, score FROM {} ORDER BY id").format(Identifier(f"study_{name}"))).fetchall()
    assert rows == [("returns", 1.5), ("raises", None)]
    # And a forbidden command is an error of one line
    for command in (("enqueue", "grid.yaml"), ("requeue", name, "--failed", "-y"), ("cancel", name, "-y")):
        done = look(*command)
        assert done.returncode == 3, (command, done.stderr)
        assert "refused: permission denied for" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert PASSWORD not in done.stderr


def test_a_worker_whose_role_lacks_rights_ends_with_an_error(roles, start_worker, monkeypatch):
    monkeypatch.setenv("QEXP_DATABASE_URL", roles.reader.database_url)
    worker = start_worker("-c", "1")
    eventually(lambda: worker.process.poll() is not None, "the worker to end")
    assert worker.process.returncode == 3
    assert "refused: permission denied for table environment" in worker.text()
    assert "Traceback" not in worker.text()


def test_a_worker_cannot_migrate_the_schema_and_names_who_can(roles, qexp):
    with connect(roles.owner) as raw:
        raw.execute("DELETE FROM alembic_version")
    try:
        done = qexp("db", "migrate", environ={"QEXP_DATABASE_URL": roles.worker.database_url})
        assert done.returncode == 2
        assert f"the database has no tables of qexp, this qexp needs schema {schema_version.HEAD}" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    finally:
        with connect(roles.owner) as raw:
            raw.execute("INSERT INTO alembic_version VALUES (%s)", [schema_version.HEAD])


def test_the_sql_of_roles_is_printed_and_not_executed(qexp, roles):
    environ = {"QEXP_DATABASE_URL": roles.owner.database_url}
    done = qexp("db", "roles", "--worker", "w", "--reader", "r", environ=environ)
    assert done.returncode == 0
    assert '\\password "w"' in done.stdout
    assert conninfo_to_dict(roles.owner.database_url)["password"] not in done.stdout
    with connect(roles.owner) as raw:
        assert raw.execute("SELECT 1 FROM pg_roles WHERE rolname IN ('w', 'r')").fetchone() is None


NO_NAMES = [("qexp", "r"), ("x" * 64, "r"), ("ü" * 32, "r"), ("w", ""), ("w", "a\nb"), ("same", "same"), ("\0", "r")]


@pytest.mark.parametrize("names", NO_NAMES, ids=repr)
def test_invalid_names_of_roles_are_refused(roles, names):
    with pytest.raises(RoleError, match="expected") as caught:
        Client(roles.owner).roles(*names)
    assert "\n" not in str(caught.value)
