"""The tables. The name of each CHECK is a sentence that must always be true."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
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
    Column("priority", Integer, nullable=False, server_default=text("0")),
    Column("longest_first", Boolean, nullable=False, server_default="false"),
    Column("revision", Integer, nullable=False),
    Column("parameters", ARRAY(Text), nullable=False),
    Column("results", ARRAY(Text), nullable=False, server_default="{}"),
    # while it is paused, its experiments are neither announced nor claimed
    Column("paused_at", _moment),
    Column("pause_reason", Text),
    Column("resumed_at", _moment),  # the failure limit counts from this time on
    # when it last got work: it was made, enqueued with new experiments, requeued or resumed
    Column("renewed_at", _moment, nullable=False, server_default=_now),
    Column("created_at", _moment, nullable=False, server_default=_now),
    Column("archived_at", _moment),  # left out of overviews until it gets work again
    Column("deleted_at", _moment),  # its rows are being deleted; its name ends in #ID, so that others can take the name
    UniqueConstraint("name", name="a_study_name_is_unique"),
    CheckConstraint("paused_at IS NOT NULL OR pause_reason IS NULL", name="only_a_paused_study_says_why"),
    CheckConstraint("deleted_at IS NULL OR paused_at IS NOT NULL", name="a_deleted_study_is_paused"),
    comment="the named collection of experiments that a grid belongs to",
)

environment = Table(
    "environment",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("python", Text, nullable=False),
    Column("implementation", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("cpu", Text, nullable=False),
    Column("cores", Integer, nullable=False),
    Column("packages", JSONB, nullable=False),
    Column("gpus", ARRAY(Text), nullable=False, server_default="{}"),
    comment="the packages where a grid was enqueued or a worker runs; equal environments share a row",
)

source = Table(
    "source",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("archive", LargeBinary, nullable=False),
    Column("files", ARRAY(Text), nullable=False),
    # the first 16 hex digits of the SHA-256 of each file's content, by its name
    Column("contents", JSONB, nullable=False),
    Column("created_at", _moment, nullable=False, server_default=_now),
    comment="a snapshot of a grid's folder, as a zip",
)

imported = Table(
    "imported",
    metadata,
    Column("digest", Uuid, primary_key=True),
    Column("files", ARRAY(Text), nullable=False),
    Column("packages", ARRAY(Text), nullable=False),
    comment="files of a snapshot and packages that attempts imported: one row for all that imported the same",
)

revision = Table(
    "revision",
    metadata,
    Column("study", Integer, ForeignKey("study.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    # JSON, not JSONB: the order of a grid's keys is the order of its axes
    Column("grid", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    # experiments in the grid; NULL until they are enqueued
    Column("total", Integer),
    Column("function", Text, nullable=False),
    Column("folder", Text),
    Column("python", Text, nullable=False),
    Column("qexp", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("source", Text, ForeignKey("source.digest")),
    Column("git_commit", Text),
    Column("git_dirty", Boolean),
    Column("git_diff", Text),
    Column("environment", Text, ForeignKey("environment.digest")),
    # how attempts are run; seconds and bytes
    Column("timeout", Double),
    Column("memory", BigInteger),
    Column("retries", JSONB, nullable=False, server_default="{}"),
    Column("isolation", Text, nullable=False, server_default="child"),
    Column("output", Integer, nullable=False, server_default="65536"),
    # the failure limit: the number or share of failures that pauses the study
    Column("stop_after", JSONB, nullable=False, server_default="{}"),
    Column("notify", ARRAY(Text), nullable=False, server_default="{}"),
    Column("created_at", _moment, nullable=False, server_default=_now),
    CheckConstraint("number >= 1", name="revisions_count_from_1"),
    CheckConstraint("isolation IN ('child', 'process')", name="an_isolation_is_one_of_two"),
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
    Column("user", Text),
    Column("environment", Text, ForeignKey("environment.digest")),
    Column("started_at", _moment, nullable=False, server_default=_now),
    Column("last_seen", _moment, nullable=False, server_default=_now),
    Column("stopped_at", _moment),
    # it takes no experiments: its attempts failed while other workers succeeded
    Column("quarantined_at", _moment),
    Column("quarantine_reason", Text),
    # an id of the host's last boot
    Column("boot", Text),
    # if so, no experiment counts as the cause of its end
    Column("told_to_stop", Boolean, nullable=False, server_default="false"),
    comment="one Celery worker process with its children",
)

leader = Table(
    "leader",
    metadata,
    Column("one", Boolean, primary_key=True, server_default="true"),
    Column("worker", Uuid, nullable=False),
    Column("until", _moment, nullable=False),
    # tells this database from others that share a broker
    Column("site", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    CheckConstraint("one", name="there_is_one_leader"),
    comment="the worker that leads, until its lease ends",
)

# A change of a status is never a HOT update, because indexes depend on the status. An index of all rows costs every
# experiment three or four entries; an index of the rows in one status costs one.
experiment = Table(
    "experiment",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("study", Integer, ForeignKey("study.id", ondelete="CASCADE"), nullable=False),
    Column("params", JSONB, nullable=False),
    # the changes that JSONB makes in params and result, NULL if none; see qexp/jsonb.py
    Column("params_exact", JSONB),
    Column("fingerprint", Uuid, nullable=False),
    Column("status", Text, nullable=False, server_default=Status.PENDING),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("origin", Text, nullable=False, server_default=Origin.GRID),
    Column("result", JSONB),
    Column("result_exact", JSONB),
    Column("failure", Text),
    Column("error_fingerprint", Text),
    # why it is paused or cancelled, or who accepted its kept result
    Column("reason", Text),
    # when it was announced last
    Column("queued_at", _moment),
    # when a retry is due
    Column("not_before", _moment),
    # attempts up to this one do not count for retries: a requeue restores the budget
    Column("forgiven", Integer, nullable=False, server_default=text("0")),
    # workers that died while it ran although their hosts kept running, since the last requeue
    Column("worker_deaths", Integer, nullable=False, server_default=text("0")),
    # when each recorded part of the result was stored; the others were stored at the end
    Column("recorded_at", JSONB),
    Column("revision", Integer),
    # no foreign key: a claim reads the worker's row, and a second check would cost a tenth of the claim
    Column("worker", Uuid),
    Column("pid", Integer),
    Column("created_at", _moment, nullable=False, server_default=_now),
    Column("started_at", _moment),
    Column("finished_at", _moment),
    # seconds of the attempts that the present one continues; NULL if it began again
    Column("seconds_before", Double),
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
    # serves: counts; the window of a queue, lost messages, whether a study is open
    Index("experiment_by_status", "study", "status"),
    # serves: failure limits and notifications, the experiments of a study that ended since a moment
    Index("experiment_ended", "study", "finished_at", postgresql_where=text("status IN ('done', 'failed')")),
    # serves: due, the retries to announce next
    Index("experiment_due", "not_before", postgresql_where=text("status = 'pending' AND not_before IS NOT NULL")),
    # serves: fail and depart, the experiments that a worker runs
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
    Column("worker", Uuid),
    Column("pid", Integer),
    Column("started_at", _moment, nullable=False),
    Column("finished_at", _moment, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_frame", Text),
    Column("error_fingerprint", Text),
    Column("traceback", Text),
    Column("exit_signal", Text),
    # its records from before it failed or was given back; a done attempt's result is in the experiment's row, and after
    # a requeue in earlier_result
    Column("result", JSONB),
    Column("result_exact", JSONB),
    Column("source", Text),
    # NULL: not known
    Column("imported", Uuid),
    Column("cpu_seconds", Double),
    Column("peak_memory", BigInteger),
    Column("gpu_memory", BigInteger),
    Column("energy_kwh", Double),
    # no foreign keys for revision and worker: their checks would cost a fifth of Postgres's time for a short experiment
    CheckConstraint(
        "outcome IN ('done', 'released', 'paused', 'cancelled') OR " + _one_of("outcome", Failure),
        name="an_outcome_is_one_of_nine",
    ),
    CheckConstraint("number >= 1", name="attempts_count_from_1"),
    CheckConstraint(
        "outcome IN ('done', 'released', 'paused', 'cancelled') OR error_type IS NOT NULL",
        name="a_failed_attempt_says_why",
    ),
    # serves: quarantine, the last attempts of a worker
    Index("attempt_of_worker", "worker", "finished_at"),
    comment="one try at running an experiment, written once, when it ends",
)

# a table, not a column of attempt: an insert takes less time than an update of the attempt's row
earlier_result = Table(
    "earlier_result",
    metadata,
    Column("experiment", BigInteger, ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("result", JSONB, nullable=False),
    Column("result_exact", JSONB),
    comment="the result of an attempt that was done before its experiment was requeued",
)


def _of_attempt() -> list[Column[object]]:
    """Return the two columns that name the attempt of a row."""
    return [
        Column("experiment", BigInteger, ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
        Column("attempt", Integer, primary_key=True),
    ]


metric = Table(
    "metric",
    metadata,
    *_of_attempt(),
    Column("name", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("value", Double, nullable=False),
    Column("at", _moment, nullable=False),
    comment="one point of a series that an attempt has recorded",
)

entry = Table(
    "entry",
    metadata,
    *_of_attempt(),
    Column("list", Text, primary_key=True),
    # sorts by time; rows of the same moment are in random order
    Column("key", Uuid, primary_key=True),
    # not JSONB: no query looks into it, and JSON keeps the order of keys
    Column("data", JSON, nullable=False),
    Column("at", _moment, nullable=False),
    comment="one row of a list that an attempt has appended to",
)

output = Table(
    "output",
    metadata,
    *_of_attempt(),
    Column("position", BigInteger, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("text", Text, nullable=False),
    comment="a piece of what an attempt has printed, by its offset and size in bytes; "
    "the middle of much output is left out",
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("experiment", BigInteger, ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("data", LargeBinary),
    Column("url", Text),
    Column("keep", Boolean, nullable=False),
    Column("progress", JSONB, nullable=False),
    Column("at", _moment, nullable=False, server_default=_now),
    CheckConstraint("(data IS NULL) <> (url IS NULL)", name="a_checkpoint_is_in_one_place"),
    comment="the state from which an experiment's next attempt continues; deleted when it is done, unless kept",
)

artifact = Table(
    "artifact",
    metadata,
    *_of_attempt(),
    Column("name", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("at", _moment, nullable=False, server_default=_now),
    comment="a file that an attempt has left in the folder or object store for artifacts",
)

deleted_file = Table(
    "deleted_file",
    metadata,
    Column("url", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("host", Text),  # where its attempt ran: without a shared folder, only this machine has the file
    Column("created_at", _moment, nullable=False, server_default=_now),
    comment="a file of a deleted study that is still to be removed from its folder or object store",
)

notice = Table(
    "notice",
    metadata,
    Column("study", Integer, ForeignKey("study.id", ondelete="CASCADE"), primary_key=True),
    Column("event", Text, primary_key=True),
    # two events of a kind differ by this time: the study got work, was paused, or moved last
    Column("since", _moment, primary_key=True),
    # a digest of the address, which holds secrets
    Column("recipient", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("created_at", _moment, nullable=False, server_default=_now),
    Column("sent_at", _moment),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    # when the next try may begin; a worker sets a later time before it tries
    Column("due_at", _moment, nullable=False, server_default=_now),
    Column("error", Text),
    comment="a message about an event of a study, sent once to those that its grid or the settings name",
)
