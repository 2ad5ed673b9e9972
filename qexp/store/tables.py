"""The tables. Columns read well in `SELECT *`; what must always hold is a CHECK that reads as a sentence."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from qexp.model import Failure, Origin, Status

metadata = MetaData()

_now = func.now()
_moment = DateTime(timezone=True)


def _one_of(column: str, values: type[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


study = Table(
    "study",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    Column("function", Text, nullable=False),
    Column("folder", Text),
    Column("description", Text, nullable=False, server_default=""),
    Column("queue", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("parameters", ARRAY(Text), nullable=False),
    Column("results", ARRAY(Text), nullable=False, server_default="{}"),
    Column("created_at", _moment, nullable=False, server_default=_now),
    UniqueConstraint("name", name="a_study_name_is_unique"),
    comment="the named collection of experiments that a grid belongs to",
)

revision = Table(
    "revision",
    metadata,
    Column("study", Integer, ForeignKey("study.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    # JSON, not JSONB: the order of a grid's keys is the order of its axes
    Column("grid", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("function", Text, nullable=False),
    Column("folder", Text),
    Column("python", Text, nullable=False),
    Column("qexp", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created_at", _moment, nullable=False, server_default=_now),
    CheckConstraint("number >= 1", name="revisions_count_from_1"),
    comment="one version of a study's grid, settings and function",
)

worker = Table(
    "worker",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("queues", ARRAY(Text), nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("started_at", _moment, nullable=False, server_default=_now),
    Column("stopped_at", _moment),
    comment="one Celery worker process with its children",
)

experiment = Table(
    "experiment",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("study", Integer, ForeignKey("study.id", ondelete="CASCADE"), nullable=False),
    Column("params", JSONB, nullable=False),
    Column("fingerprint", Uuid, nullable=False),
    Column("status", Text, nullable=False, server_default=Status.PENDING),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("origin", Text, nullable=False, server_default=Origin.GRID),
    Column("result", JSONB),
    Column("failure", Text),
    Column("error_fingerprint", Text),
    Column("revision", Integer),
    Column("worker", Uuid, ForeignKey("worker.id")),
    Column("pid", Integer),
    Column("created_at", _moment, nullable=False, server_default=_now),
    Column("started_at", _moment),
    Column("finished_at", _moment),
    UniqueConstraint("study", "fingerprint", name="a_parameter_set_is_once_in_a_study"),
    CheckConstraint(_one_of("status", Status), name="a_status_is_one_of_seven"),
    CheckConstraint(_one_of("failure", Failure), name="a_failure_is_one_of_five"),
    CheckConstraint(_one_of("origin", Origin), name="an_origin_is_one_of_three"),
    CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="a_failed_experiment_says_how"),
    CheckConstraint(
        "status <> 'running' OR (worker IS NOT NULL AND started_at IS NOT NULL AND finished_at IS NULL)",
        name="a_running_experiment_has_a_worker",
    ),
    CheckConstraint("status <> 'done' OR result IS NOT NULL", name="a_done_experiment_has_a_result"),
    CheckConstraint("attempt >= 0", name="attempts_count_up"),
    # serves: publish, the next pending experiments of a study in order
    Index("experiment_to_publish", "study", "id", postgresql_where=text("status = 'pending'")),
    # serves: crash and release, what a worker is running
    Index("experiment_running_on", "worker", postgresql_where=text("status = 'running'")),
    # serves: errors and the selector --error
    Index("experiment_by_error", "study", "error_fingerprint", postgresql_where=text("error_fingerprint IS NOT NULL")),
    comment="one parameter set of a study: one row, one id, one result",
)

attempt = Table(
    "attempt",
    metadata,
    Column("experiment", BigInteger, ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("study", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("worker", Uuid, ForeignKey("worker.id")),
    Column("pid", Integer),
    Column("started_at", _moment, nullable=False),
    Column("finished_at", _moment, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_frame", Text),
    Column("error_fingerprint", Text),
    Column("traceback", Text),
    ForeignKeyConstraint(["study", "revision"], ["revision.study", "revision.number"], ondelete="CASCADE"),
    CheckConstraint(
        "outcome IN ('done', 'released') OR " + _one_of("outcome", Failure), name="an_outcome_is_one_of_seven"
    ),
    CheckConstraint("number >= 1", name="attempts_count_from_1"),
    CheckConstraint("outcome IN ('done', 'released') OR error_type IS NOT NULL", name="a_failed_attempt_says_why"),
    comment="one try at running an experiment, written once, when it ends",
)
