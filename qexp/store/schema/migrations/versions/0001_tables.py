"""All tables of the first release, as `qexp.store.schema.tables` describes them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "environment",
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("python", sa.Text(), nullable=False),
        sa.Column("implementation", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("cpu", sa.Text(), nullable=False),
        sa.Column("cores", sa.Integer(), nullable=False),
        sa.Column("packages", JSONB(), nullable=False),
        sa.Column("gpus", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        comment="the packages where a grid was enqueued or a worker runs; equal environments share a row",
    )
    op.create_table(
        "imported",
        sa.Column("digest", sa.Uuid(), primary_key=True),
        sa.Column("files", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("packages", sa.ARRAY(sa.Text()), nullable=False),
        comment="files of a snapshot and packages that attempts imported: one row for all that imported the same",
    )
    op.create_table(
        "leader",
        sa.Column("one", sa.Boolean(), server_default="true", primary_key=True),
        sa.Column("worker", sa.Uuid(), nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("site", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.CheckConstraint("one", name="there_is_one_leader"),
        comment="the worker that leads, until its lease ends",
    )
    op.create_table(
        "source",
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("archive", sa.LargeBinary(), nullable=False),
        sa.Column("files", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("contents", JSONB(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        comment="a snapshot of a grid's folder, as a zip",
    )
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text()),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("longest_first", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("parameters", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("results", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("paused_at", MOMENT),
        sa.Column("pause_reason", sa.Text()),
        sa.Column("resumed_at", MOMENT),
        sa.Column("renewed_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.UniqueConstraint("name", name="a_study_name_is_unique"),
        sa.CheckConstraint("paused_at IS NOT NULL OR pause_reason IS NULL", name="only_a_paused_study_says_why"),
        comment="the named collection of experiments that a grid belongs to",
    )
    op.create_table(
        "experiment",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("study", sa.Integer(), sa.ForeignKey("study.id", ondelete="CASCADE"), nullable=False),
        sa.Column("params", JSONB(), nullable=False),
        sa.Column("params_exact", JSONB()),
        sa.Column("fingerprint", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("origin", sa.Text(), server_default="grid", nullable=False),
        sa.Column("result", JSONB()),
        sa.Column("result_exact", JSONB()),
        sa.Column("failure", sa.Text()),
        sa.Column("error_fingerprint", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("queued_at", MOMENT),
        sa.Column("not_before", MOMENT),
        sa.Column("forgiven", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("worker_deaths", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("recorded_at", JSONB()),
        sa.Column("revision", sa.Integer()),
        sa.Column("worker", sa.Uuid()),
        sa.Column("pid", sa.Integer()),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("started_at", MOMENT),
        sa.Column("finished_at", MOMENT),
        sa.Column("seconds_before", sa.Double()),
        sa.UniqueConstraint("study", "fingerprint", name="a_parameter_set_is_once_in_a_study"),
        sa.CheckConstraint("status <> 'done' OR result IS NOT NULL", name="a_done_experiment_has_a_result"),
        sa.CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="a_failed_experiment_says_how"),
        sa.CheckConstraint(
            "failure IN ('error', 'timeout', 'crashed', 'lost', 'invalid')", name="a_failure_is_one_of_five"
        ),
        sa.CheckConstraint(
            "status <> 'running' OR (worker IS NOT NULL AND started_at IS NOT NULL AND finished_at IS NULL)",
            name="a_running_experiment_has_a_worker",
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'queued', 'running', 'done', 'failed', 'cancelled', 'paused')",
            name="a_status_is_one_of_seven",
        ),
        sa.CheckConstraint("origin IN ('grid', 'code', 'orphaned')", name="an_origin_is_one_of_three"),
        sa.CheckConstraint("attempt >= 0", name="attempts_count_up"),
        comment="one parameter set of a study: one row, one id, one result",
    )
    op.create_index(
        "experiment_by_error",
        "experiment",
        ["study", "error_fingerprint"],
        postgresql_where=sa.text("error_fingerprint IS NOT NULL"),
    )
    op.create_index("experiment_by_status", "experiment", ["study", "status"])
    op.create_index(
        "experiment_due",
        "experiment",
        ["not_before"],
        postgresql_where=sa.text("status = 'pending' AND not_before IS NOT NULL"),
    )
    op.create_index(
        "experiment_ended",
        "experiment",
        ["study", "finished_at"],
        postgresql_where=sa.text("status IN ('done', 'failed')"),
    )
    op.create_index("experiment_running_on", "experiment", ["worker"], postgresql_where=sa.text("status = 'running'"))
    op.create_index(
        "experiment_to_publish", "experiment", ["study", "id"], postgresql_where=sa.text("status = 'pending'")
    )
    op.create_table(
        "notice",
        sa.Column("study", sa.Integer(), sa.ForeignKey("study.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("event", sa.Text(), primary_key=True),
        sa.Column("since", MOMENT, primary_key=True),
        sa.Column("recipient", sa.Text(), primary_key=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("sent_at", MOMENT),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("error", sa.Text()),
        comment="a message about an event of a study, sent once to those that its grid or the settings name",
    )
    op.create_table(
        "revision",
        sa.Column("study", sa.Integer(), sa.ForeignKey("study.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("grid", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("total", sa.Integer()),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text()),
        sa.Column("python", sa.Text(), nullable=False),
        sa.Column("qexp", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), sa.ForeignKey("source.digest")),
        sa.Column("git_commit", sa.Text()),
        sa.Column("git_dirty", sa.Boolean()),
        sa.Column("git_diff", sa.Text()),
        sa.Column("environment", sa.Text(), sa.ForeignKey("environment.digest")),
        sa.Column("timeout", sa.Double()),
        sa.Column("memory", sa.BigInteger()),
        sa.Column("retries", JSONB(), server_default="{}", nullable=False),
        sa.Column("isolation", sa.Text(), server_default="child", nullable=False),
        sa.Column("output", sa.Integer(), server_default="65536", nullable=False),
        sa.Column("stop_after", JSONB(), server_default="{}", nullable=False),
        sa.Column("notify", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("isolation IN ('child', 'process')", name="an_isolation_is_one_of_two"),
        sa.CheckConstraint("number >= 1", name="revisions_count_from_1"),
        comment="one version of a study's grid, settings and function",
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("queues", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("user", sa.Text()),
        sa.Column("environment", sa.Text(), sa.ForeignKey("environment.digest")),
        sa.Column("started_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("last_seen", MOMENT, server_default=NOW, nullable=False),
        sa.Column("stopped_at", MOMENT),
        sa.Column("quarantined_at", MOMENT),
        sa.Column("quarantine_reason", sa.Text()),
        sa.Column("boot", sa.Text()),
        sa.Column("told_to_stop", sa.Boolean(), server_default="false", nullable=False),
        comment="one Celery worker process with its children",
    )
    op.create_table(
        "artifact",
        sa.Column("experiment", sa.BigInteger(), sa.ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("attempt", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, server_default=NOW, nullable=False),
        comment="a file that an attempt has left in the folder or object store for artifacts",
    )
    op.create_table(
        "attempt",
        sa.Column("experiment", sa.BigInteger(), sa.ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("study", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Uuid()),
        sa.Column("pid", sa.Integer()),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("error_frame", sa.Text()),
        sa.Column("error_fingerprint", sa.Text()),
        sa.Column("traceback", sa.Text()),
        sa.Column("exit_signal", sa.Text()),
        sa.Column("result", JSONB()),
        sa.Column("result_exact", JSONB()),
        sa.Column("source", sa.Text()),
        sa.Column("imported", sa.Uuid()),
        sa.Column("cpu_seconds", sa.Double()),
        sa.Column("peak_memory", sa.BigInteger()),
        sa.Column("gpu_memory", sa.BigInteger()),
        sa.Column("energy_kwh", sa.Double()),
        sa.CheckConstraint(
            "outcome IN ('done', 'released', 'paused', 'cancelled') OR error_type IS NOT NULL",
            name="a_failed_attempt_says_why",
        ),
        sa.CheckConstraint(
            "outcome IN ('done', 'released', 'paused', 'cancelled') OR "
            "outcome IN ('error', 'timeout', 'crashed', 'lost', 'invalid')",
            name="an_outcome_is_one_of_nine",
        ),
        sa.CheckConstraint("number >= 1", name="attempts_count_from_1"),
        comment="one try at running an experiment, written once, when it ends",
    )
    op.create_index("attempt_of_worker", "attempt", ["worker", "finished_at"])
    op.create_table(
        "checkpoint",
        sa.Column("experiment", sa.BigInteger(), sa.ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary()),
        sa.Column("url", sa.Text()),
        sa.Column("keep", sa.Boolean(), nullable=False),
        sa.Column("progress", JSONB(), nullable=False),
        sa.Column("at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("(data IS NULL) <> (url IS NULL)", name="a_checkpoint_is_in_one_place"),
        comment="the state from which an experiment's next attempt continues; deleted when it is done, unless kept",
    )
    op.create_table(
        "earlier_result",
        sa.Column("experiment", sa.BigInteger(), sa.ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("result", JSONB(), nullable=False),
        sa.Column("result_exact", JSONB()),
        comment="the result of an attempt that was done before its experiment was requeued",
    )
    op.create_table(
        "entry",
        sa.Column("experiment", sa.BigInteger(), sa.ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("attempt", sa.Integer(), primary_key=True),
        sa.Column("list", sa.Text(), primary_key=True),
        sa.Column("key", sa.Uuid(), primary_key=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        comment="one row of a list that an attempt has appended to",
    )
    op.create_table(
        "metric",
        sa.Column("experiment", sa.BigInteger(), sa.ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("attempt", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("step", sa.BigInteger(), primary_key=True),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        comment="one point of a series that an attempt has recorded",
    )
    op.create_table(
        "output",
        sa.Column("experiment", sa.BigInteger(), sa.ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("attempt", sa.Integer(), primary_key=True),
        sa.Column("position", sa.BigInteger(), primary_key=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        comment="a piece of what an attempt has printed, by its offset and size in bytes; "
        "the middle of much output is left out",
    )
    op.execute("ALTER TABLE source ALTER archive SET STORAGE EXTERNAL")  # it is compressed already
    op.execute("ALTER TABLE checkpoint ALTER data SET STORAGE EXTERNAL")
    # Each change of a status leaves a dead row and dead index entries, which every query of the queue steps over.
    # Only a vacuumed page is counted without reading its rows.
    op.execute(
        "ALTER TABLE experiment SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)"
    )


def downgrade() -> None:
    for table in (
        "output",
        "metric",
        "entry",
        "earlier_result",
        "checkpoint",
        "attempt",
        "artifact",
        "worker",
        "revision",
        "notice",
        "experiment",
        "study",
        "source",
        "leader",
        "imported",
        "environment",
    ):
        op.drop_table(table)
