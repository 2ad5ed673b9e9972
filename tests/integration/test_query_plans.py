"""Frequent queries find their experiments by an index, for any number of finished ones."""

import uuid
from datetime import timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import event

from qexp.client import Client, experiment_queries
from qexp.model import Status
from qexp.store.connection import Database, connect
from qexp.store.reads import study_overview, study_progress, study_rows, worker_progress
from qexp.store.rules import failure_limit, notifications, worker_quarantine
from qexp.store.selection.selectors import Selection, parse
from qexp.store.writes import claiming, publishing, worker_rows

HOT = {**claiming.SQL, **worker_rows.SQL}
MANY = 100_000
WORKER = uuid.UUID(int=1)
LEASE = 30.0


@pytest.fixture(scope="module")
def large(site):
    """The settings of a separate database with a study of many experiments in all states."""
    with connect(site) as raw:
        raw.execute("DROP DATABASE IF EXISTS large WITH (FORCE)")
        raw.execute("CREATE DATABASE large")
    settings = site.model_copy(update={"database_url": site.database_url.replace("/qexp?", "/large?")})
    Client(settings).migrate()
    with connect(settings) as raw:
        fill(raw)
    yield settings
    with connect(site) as raw:
        raw.execute("DROP DATABASE large WITH (FORCE)")


def fill(raw):
    worker_rows.register(raw, WORKER, worker_rows.WorkerInfo("here", 1, "worker@here", ["large"], 4))
    raw.execute(
        "INSERT INTO study (name, function, queue, revision, parameters) VALUES ('large', 'm:f', 'large', 1, '{x}')"
    )
    raw.execute(
        """
        INSERT INTO revision (study, number, grid, settings, function, python, qexp, host, "user", stop_after, notify)
        VALUES (1, 1, '{}', '{}', 'm:f', '', '', '', '', '{"failures": 9000, "rate": 0.5}', '{json://nowhere}')
        """
    )
    # of a hundred in a row: 70 done, 5 failed, 5 cancelled, 1 running, 4 queued, 15 pending, 1 of them for a retry
    raw.execute(
        """
        INSERT INTO experiment (study, fingerprint, params, status, attempt, revision, worker, pid, result, failure,
                                error_fingerprint, started_at, finished_at, queued_at, not_before)
        SELECT 1, gen_random_uuid(), jsonb_build_object('x', i), status, attempt, nullif(attempt, 0),
               CASE WHEN attempt = 1 THEN %s::uuid END, 1,
               CASE WHEN status = 'done' THEN '{"y": 1}'::jsonb END,
               CASE WHEN status = 'failed' THEN 'error' END, CASE WHEN status = 'failed' THEN 'abc' || i %% 7 END,
               CASE WHEN attempt = 1 THEN at END,
               CASE WHEN status IN ('done', 'failed') THEN at + interval '1 s' END, at,
               CASE WHEN i %% 100 = 99 THEN now() + interval '1 h' END
        FROM   generate_series(1, %s) AS i,
               LATERAL (SELECT now() - interval '1 s' * (100000 - i) AS at,
                               CASE WHEN i %% 100 < 70 THEN 'done' WHEN i %% 100 < 75 THEN 'failed'
                                    WHEN i %% 100 < 80 THEN 'cancelled' WHEN i %% 100 < 81 THEN 'running'
                                    WHEN i %% 100 < 85 THEN 'queued' ELSE 'pending' END AS status) AS chosen,
               LATERAL (SELECT (status IN ('done', 'failed', 'running'))::int AS attempt) AS tries
        """,
        [WORKER, MANY],
    )
    raw.execute(
        """
        INSERT INTO attempt (experiment, number, study, revision, worker, started_at, finished_at, outcome, error_type,
                             error_fingerprint)
        SELECT id, 1, 1, 1, worker, started_at, finished_at, coalesce(failure, 'done'), 'E', error_fingerprint
        FROM   experiment WHERE finished_at IS NOT NULL
        """
    )
    raw.execute("VACUUM ANALYZE")


VALUES = {
    "id": 50_000,
    "ids": [50_000, 50_001, 50_002],
    "attempts": [1, 1, 1],
    "attempt": 1,
    "worker": WORKER,
    "pid": 1,
    "now": None,
    "clock": 0.0,
    "known": [50_000],
    "begun": [50_000],
    "busy": [1],
    "worker_died": False,
    "stopping": False,
    "boot": None,
    "outcomes": Jsonb([{"id": 50_000, "attempt": 1, "result": {"y": 1}, "began": 0.0, "ended": 1.0}]),
    "seconds": 5.0,
    "lease": LEASE,
    "queues": ["large"],
    "study": 1,
    "number": 1,
    "names": ["y"],
    "result": Jsonb({"y": 1}),
    "result_exact": Jsonb({"=y": "1"}),
    "recorded_at": None,
    "failure": "error",
    "outcome": "released",
    "reason": None,
    "source": None,
    "error_type": "E",
    "error_message": "",
    "error_frame": None,
    "error_fingerprint": "abc",
    "traceback": None,
    "exit_signal": None,
    "cpu_seconds": None,
    "peak_memory": None,
    "gpu_memory": None,
    "energy_kwh": None,
    "host": "here",
    "name": "worker@here",
    "concurrency": 4,
    "silence": 30.0,
    "tries": 5,
    "kept": timedelta(days=1),
    "user": None,
    "environment": None,
}
"""The arguments of all hot statements."""


def read_whole(plan):
    """Return the tables that a plan reads from end to end."""
    found = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return found.union(*(read_whole(part) for part in plan.get("Plans", [])))


@pytest.mark.parametrize("name", HOT)
def test_no_hot_statement_reads_all_experiments_or_attempts(large, name):
    values = VALUES | ({"id": WORKER} if name in ("register", "beat", "deregister", "known") else {})
    with connect(large) as raw:
        (plan,) = psycopg.ClientCursor(raw).execute(f"EXPLAIN (FORMAT JSON) {HOT[name]}", values).fetchone()
    assert not read_whole(plan[0]["Plan"]) & {"experiment", "attempt"}, plan


def an_hour_ago(connection):
    return connection.exec_driver_sql("SELECT now() - interval '1 h'").scalar_one()


LOOKS = {
    "top-up window": lambda connection: publishing.queued_on(connection, "large", 5),
    "announce": lambda connection: publishing.mark_queued(connection, 1, 1000),
    "announce again": lambda connection: publishing.mark_republished(connection, 1, an_hour_ago(connection), 1000),
    "of a study": lambda connection: publishing.number_of(connection, 1, Status.QUEUED),
    "of a message": lambda connection: publishing.oldest_queued(connection, VALUES["ids"]),
    "pace": lambda connection: publishing.recent_durations(connection, 1),
    "waiting": study_rows.waiting,
    "still waiting": lambda connection: publishing.number_of(connection, 1, Status.PENDING),
    "lost": publishing.backlogs,
    "counts": lambda connection: study_progress.counts(connection, LEASE),
    "list": lambda connection: experiment_queries.experiments(connection, Selection(), 51, "-id"),
    "list failed": lambda connection: experiment_queries.experiments(connection, parse([], ["failed"]), 51, "-id"),
    "list cancelled of one": lambda connection: experiment_queries.experiments(
        connection, parse(["large"], ["cancelled"]), 51
    ),
    "counts of one": lambda connection: study_progress.counts(connection, LEASE, 1),
    "overview": lambda connection: study_overview.overview(connection, LEASE, limit=30),
    "progress in a log": lambda connection: worker_progress.progress(connection, ["large"], LEASE),
    "settled studies": lambda connection: worker_progress.settled(connection, ["large"], LEASE),
    "state of queues": lambda connection: worker_progress.open_studies(connection, ["large"]),
    "brakes": failure_limit.exceeded,
    "notices": lambda connection: notifications.news(connection, False, LEASE, 30),
    "suspects": lambda connection: worker_quarantine.suspects(connection, LEASE),
    "errors": lambda connection: worker_quarantine.conviction(
        connection, worker_quarantine.SuspectWorker(WORKER, "worker@here", "here", [1], ["abc1"], "E")
    ),
}


@pytest.mark.parametrize("look", LOOKS)
def test_no_query_of_the_leader_or_of_a_command_reads_all_experiments_or_attempts(large, look):
    sent = []
    with Database(large).begin() as connection:
        event.listen(connection, "before_cursor_execute", lambda *args: sent.append(args[2:4]))
        LOOKS[look](connection)
        for statement, values in [one for one in sent if not one[0].startswith("SET")]:
            plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar_one()
            assert not read_whole(plan[0]["Plan"]) & {"experiment", "attempt"}, plan
        connection.rollback()
    assert sent


def test_waiting_experiments_are_read_by_id_although_the_planner_expects_none(large):
    """After a million rows change their status, Postgres needs a minute to update its statistics."""
    with Database(large).begin() as connection:
        connection.exec_driver_sql("UPDATE experiment SET status = 'done', result = '{}', failure = NULL")
        connection.exec_driver_sql("ANALYZE experiment")
        connection.exec_driver_sql("UPDATE experiment SET status = 'pending', not_before = NULL")
        sent = []
        event.listen(connection, "before_cursor_execute", lambda *args: sent.append(args[2:4]))
        assert len(publishing.mark_queued(connection, 1, 1000)) == 1000
        ((statement, values),) = sent
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar_one()
        (update,) = [part for part in plan[0]["Plan"]["Plans"] if part["Parent Relationship"] == "Outer"]
        assert "Nested Loop" not in str(update), plan
        connection.rollback()


@pytest.mark.parametrize(("look", "index"), [("announce", "experiment_to_publish"), ("pace", "experiment_ended")])
def test_the_first_rows_of_an_order_are_found_by_its_index_without_statistics_of_the_table(large, look, index):
    """The leader announces a million experiments in steps of a thousand, from the first minute."""
    sent = []
    with Database(large).begin() as connection:
        connection.exec_driver_sql("DELETE FROM pg_statistic WHERE starelid = 'experiment'::regclass")
        publishing.lock_study(connection, 1)
        event.listen(connection, "before_cursor_execute", lambda *args: sent.append(args[2:4]))
        LOOKS[look](connection)
        ((statement, values),) = [one for one in sent if "experiment" in one[0]]
        plan = str(connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar_one())
        assert "'Node Type': 'Sort'" not in plan, plan
        assert index in plan, plan
        assert "Bitmap Heap Scan" not in plan, plan
        connection.rollback()


def test_claims_are_planned_once_and_use_ids_although_the_planner_expects_no_waiting_rows(large):
    with connect(large) as raw, raw.transaction(force_rollback=True):
        # Given statistics that say all are done, and a window announced later
        raw.execute("UPDATE experiment SET status = 'done', result = '{}', failure = NULL")
        raw.execute("ANALYZE experiment")
        raw.execute("UPDATE experiment SET status = 'queued' WHERE id <= 10000")
        # When many are claimed
        for number in range(1, 20):
            assert claiming.claim(raw, number, WORKER, 1) is not None
        # Then each claim used the id, and no claim had its own plan
        plan = psycopg.ClientCursor(raw).execute(f"EXPLAIN {HOT['claim']}", VALUES | {"ids": [20]}).fetchall()
        assert "experiment_by_status" not in str(plan), plan
        query = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%%chosen%%'"
        ((generic, custom),) = raw.execute(query).fetchall()
        assert generic >= 10
        assert custom == 0
