"""The first tables: study, revision, worker, experiment, attempt."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("parameters", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("results", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name="a_study_name_is_unique"),
        comment="the named collection of experiments that a grid belongs to",
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("queues", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        comment="one Celery worker process with its children",
    )
    op.create_table(
        "experiment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("study", sa.Integer(), nullable=False),
        sa.Column("params", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("fingerprint", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("error_fingerprint", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("worker", sa.Uuid(), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="a_failed_experiment_says_how"),
        sa.CheckConstraint(
            "failure IN ('error', 'timeout', 'crashed', 'lost', 'invalid')", name="a_failure_is_one_of_five"
        ),
        sa.CheckConstraint("status <> 'done' OR result IS NOT NULL", name="a_done_experiment_has_a_result"),
        sa.CheckConstraint(
            "status <> 'running' OR (worker IS NOT NULL AND started_at IS NOT NULL AND finished_at IS NULL)",
            name="a_running_experiment_has_a_worker",
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'queued', 'running', 'done', 'failed', 'cancelled', 'paused')",
            name="a_status_is_one_of_seven",
        ),
        sa.CheckConstraint("attempt >= 0", name="attempts_count_up"),
        sa.ForeignKeyConstraint(["study"], ["study.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["worker"],
            ["worker.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study", "fingerprint", name="a_parameter_set_is_once_in_a_study"),
        comment="one parameter set of a study: one row, one id, one result",
    )
    op.create_index(
        "experiment_by_error",
        "experiment",
        ["study", "error_fingerprint"],
        unique=False,
        postgresql_where=sa.text("error_fingerprint IS NOT NULL"),
    )
    op.create_index(
        "experiment_running_on", "experiment", ["worker"], unique=False, postgresql_where=sa.text("status = 'running'")
    )
    op.create_index(
        "experiment_to_publish",
        "experiment",
        ["study", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "revision",
        sa.Column("study", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("grid", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("python", sa.Text(), nullable=False),
        sa.Column("qexp", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("number >= 1", name="revisions_count_from_1"),
        sa.ForeignKeyConstraint(["study"], ["study.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study", "number"),
        comment="one version of a study's grid, settings and function",
    )
    op.create_table(
        "attempt",
        sa.Column("experiment", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("study", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Uuid(), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_frame", sa.Text(), nullable=True),
        sa.Column("error_fingerprint", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('done', 'released') OR error_type IS NOT NULL", name="a_failed_attempt_says_why"
        ),
        sa.CheckConstraint(
            "outcome IN ('done', 'released') OR outcome IN ('error', 'timeout', 'crashed', 'lost', 'invalid')",
            name="an_outcome_is_one_of_seven",
        ),
        sa.CheckConstraint("number >= 1", name="attempts_count_from_1"),
        sa.ForeignKeyConstraint(["experiment"], ["experiment.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["study", "revision"], ["revision.study", "revision.number"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["worker"],
            ["worker.id"],
        ),
        sa.PrimaryKeyConstraint("experiment", "number"),
        comment="one try at running an experiment, written once, when it ends",
    )


def downgrade() -> None:
    for table in ("attempt", "experiment", "revision", "study", "worker"):
        op.drop_table(table)
