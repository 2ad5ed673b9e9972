"""qexp creates the schema automatically and once, and never changes a newer one."""

import shutil
import threading

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from qexp.client import Client
from qexp.errors import NewerSchemaError, NoTablesError, OlderWorkersError, OldSchemaError
from qexp.grid import Grid
from qexp.store.connection import Database, connect
from qexp.store.schema import schema_version
from qexp.store.schema.tables import metadata
from qexp.store.selection.selectors import Selection


@pytest.fixture
def empty(site):
    """The settings of a separate database without tables."""
    with connect(site) as raw:
        raw.execute("DROP DATABASE IF EXISTS fresh WITH (FORCE)")
        raw.execute("CREATE DATABASE fresh")
    yield site.model_copy(update={"database_url": site.database_url.replace("/qexp?", "/fresh?")})
    with connect(site) as raw:
        raw.execute("DROP DATABASE fresh WITH (FORCE)")


def test_parallel_creations_of_the_tables_do_not_collide(empty):
    failures = []

    def first():
        try:
            assert Client(empty).migrate().version == schema_version.HEAD
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=first) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_newer_schema_is_refused(empty):
    Client(empty).migrate()
    with connect(empty) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    for verb in (Client(empty).counts, Client(empty).migrate, Client(empty).prepare):
        with pytest.raises(NewerSchemaError, match=r"9999.*pip install --upgrade qexp"):
            verb()


def test_a_read_creates_no_tables_and_says_that_nothing_was_enqueued(empty):
    # Given a database without tables, when a command reads it
    client = Client(empty)
    assert client.counts() == []
    assert client.workers() == []
    for verb in (lambda: client.counts("a"), lambda: client.experiments(Selection("a")), lambda: client.explain(1)):
        with pytest.raises(NoTablesError, match=r"no tables of qexp yet.*'qexp enqueue grid.yaml'"):
            verb()
    # Then it still has no tables
    with connect(empty) as raw:
        assert raw.execute("SELECT to_regclass('study'), to_regclass('alembic_version')").fetchone() == (None, None)


NEXT = """
from alembic import op

revision, down_revision = "9000", "HEAD"


def upgrade():
    op.execute("ALTER TABLE study ADD COLUMN later int")
"""


@pytest.fixture
def older(empty, tmp_path, monkeypatch):
    """The settings of a database whose schema lacks the newest migration."""
    Client(empty).migrate()
    shutil.copytree(schema_version.MIGRATIONS, tmp_path / "migrations")
    (tmp_path / "migrations/versions/9000_next.py").write_text(NEXT.replace("HEAD", schema_version.HEAD))
    monkeypatch.setattr(schema_version, "MIGRATIONS", tmp_path / "migrations")
    monkeypatch.setattr(schema_version, "HEAD", "9000")
    return empty


def version(settings):
    with Database(settings).begin() as connection:
        return schema_version.version(connection)


def test_a_read_of_an_older_schema_names_the_needed_command_and_changes_nothing(older):
    before = version(older)
    for verb in (Client(older).counts, Client(older).workers, lambda: Client(older).requeue(Selection("a"))):
        with pytest.raises(
            OldSchemaError, match=f"{before}, .* needs schema {schema_version.HEAD}: .*'qexp db migrate'"
        ):
            verb()
    assert version(older) == before


def test_an_enqueue_migrates_an_older_schema(older, tmp_path):
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    grid = {"study": "old", "function": "experiment:f", "parameters": {"x": 1}, "queue": "nobody"}
    assert Client(older).enqueue(Grid.from_dict(grid, tmp_path)).new == 1
    assert version(older) == schema_version.HEAD


def test_a_schema_with_older_workers_is_migrated_only_on_request(older, tmp_path):
    # Given an older schema with a live worker and a stopped one
    before = version(older)
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    grid = Grid.from_dict({"study": "old", "function": "experiment:f", "parameters": {"x": 1}}, tmp_path)
    with connect(older) as raw:
        raw.execute(
            "INSERT INTO worker (id, host, pid, name, queues, concurrency, stopped_at) "
            "SELECT gen_random_uuid(), 'h', 1, name, '{}', 1, stopped_at "
            "FROM   (VALUES ('old@h', NULL), ('gone@h', now())) AS v (name, stopped_at)"
        )
    # When a migration or an enqueue runs, then it names the live worker and changes nothing
    for verb in (Client(older).migrate, lambda: Client(older).enqueue(grid)):
        with pytest.raises(
            OlderWorkersError, match=r"older workers are running: old@h; stop .*'qexp db migrate --under-workers'"
        ):
            verb()
    assert version(older) == before
    # When it is forced, then it migrates and names the worker again
    done = Client(older).migrate(under_workers=True)
    assert (done.version, done.older) == (schema_version.HEAD, ["old@h"])
    assert version(older) == schema_version.HEAD


def test_the_migrations_make_the_tables_of_the_code(empty):
    Client(empty).migrate()
    with Database(empty).begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_migrations_make_the_checks_of_the_code(empty, site):
    Client(empty).migrate()
    with connect(empty) as raw:
        found = {row[0] for row in raw.execute("SELECT conname FROM pg_constraint WHERE contype = 'c'")}
    named = {str(c.name) for table in metadata.tables.values() for c in table.constraints if hasattr(c, "sqltext")}
    assert named <= found


def test_head_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", str(schema_version.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == schema_version.HEAD


def test_a_migration_that_fails_leaves_nothing(empty, monkeypatch):
    monkeypatch.setattr("alembic.op.execute", lambda *args, **keys: (_ for _ in ()).throw(psycopg.DataError("no")))
    with pytest.raises(psycopg.DataError):
        Client(empty).migrate()
    with connect(empty) as raw:
        assert raw.execute("SELECT to_regclass('study'), to_regclass('alembic_version')").fetchone() == (None, None)
