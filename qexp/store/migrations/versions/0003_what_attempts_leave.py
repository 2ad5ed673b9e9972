"""What an attempt can leave and how it is run: retries, limits, sources, metrics, output, checkpoints, artifacts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_FAILURES = "outcome IN ('error', 'timeout', 'crashed', 'lost', 'invalid')"


def upgrade() -> None:
    _environments_and_sources()
    _how_attempts_are_run()
    _how_attempts_ended()
    _what_attempts_leave()


def _environments_and_sources() -> None:
    op.create_table(
        "environment",
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("python", sa.Text(), nullable=False),
        sa.Column("implementation", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("cpu", sa.Text(), nullable=False),
        sa.Column("cores", sa.Integer(), nullable=False),
        sa.Column("packages", JSONB(), nullable=False),
        comment="what is installed where a grid was enqueued or a worker runs: one row for all that have the same",
    )
    op.create_table(
        "source",
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("archive", sa.LargeBinary(), nullable=False),
        sa.Column("files", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        comment="a snapshot of a grid's folder, as a zip",
    )
    op.execute("ALTER TABLE source ALTER archive SET STORAGE EXTERNAL")  # it is compressed already
    op.create_table(
        "leader",
        sa.Column("one", sa.Boolean(), server_default="true", primary_key=True),
        sa.Column("worker", sa.Uuid(), nullable=False),
        sa.Column("until", _MOMENT, nullable=False),
        sa.CheckConstraint("one", name="there_is_one_leader"),
        comment="the worker that announces what has become due, until its lease ends",
    )


def _how_attempts_are_run() -> None:
    for column in (
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
    ):
        op.add_column("revision", column)
    op.create_check_constraint("an_isolation_is_one_of_two", "revision", "isolation IN ('child', 'process')")
    op.add_column("worker", sa.Column("last_seen", _MOMENT, server_default=sa.text("now()"), nullable=False))
    op.add_column("worker", sa.Column("user", sa.Text()))
    op.add_column("worker", sa.Column("environment", sa.Text(), sa.ForeignKey("environment.digest")))
    op.add_column("experiment", sa.Column("reason", sa.Text()))
    op.add_column("experiment", sa.Column("not_before", _MOMENT))
    op.add_column("experiment", sa.Column("forgiven", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("experiment", sa.Column("recorded_at", JSONB()))
    op.create_index(
        "experiment_due",
        "experiment",
        ["not_before"],
        postgresql_where=sa.text("status = 'pending' AND not_before IS NOT NULL"),
    )


def _how_attempts_ended() -> None:
    for column in (
        sa.Column("exit_signal", sa.Text()),
        sa.Column("result", JSONB()),
        sa.Column("source", sa.Text()),
        sa.Column("cpu_seconds", sa.Double()),
        sa.Column("peak_memory", sa.BigInteger()),
        sa.Column("gpu_memory", sa.BigInteger()),
        sa.Column("energy_kwh", sa.Double()),
    ):
        op.add_column("attempt", column)
    op.drop_constraint("an_outcome_is_one_of_seven", "attempt")
    op.drop_constraint("a_failed_attempt_says_why", "attempt")
    op.create_check_constraint(
        "an_outcome_is_one_of_eight", "attempt", f"outcome IN ('done', 'released', 'paused') OR {_FAILURES}"
    )
    op.create_check_constraint(
        "a_failed_attempt_says_why", "attempt", "outcome IN ('done', 'released', 'paused') OR error_type IS NOT NULL"
    )


def _of_attempt() -> list[sa.Column[object]]:
    return [
        sa.Column("experiment", sa.BigInteger(), sa.ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("attempt", sa.Integer(), primary_key=True),
    ]


def _what_attempts_leave() -> None:
    op.create_table(
        "metric",
        *_of_attempt(),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("step", sa.BigInteger(), primary_key=True),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        comment="one point of a series that an attempt has recorded",
    )
    op.create_table(
        "entry",
        *_of_attempt(),
        sa.Column("list", sa.Text(), primary_key=True),
        sa.Column("key", sa.Uuid(), primary_key=True),
        sa.Column("data", JSONB(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        comment="one row of a list that an attempt has appended to",
    )
    op.create_table(
        "output",
        *_of_attempt(),
        sa.Column("position", sa.BigInteger(), primary_key=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        comment="a piece of what an attempt has printed, by its offset and size in bytes; "
        "the middle of much output is left out",
    )
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
        sa.Column("at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(data IS NULL) <> (url IS NULL)", name="a_checkpoint_is_in_one_place"),
        comment="where an experiment's next attempt goes on from; dropped when it is done, unless kept",
    )
    op.execute("ALTER TABLE checkpoint ALTER data SET STORAGE EXTERNAL")
    op.create_table(
        "artifact",
        *_of_attempt(),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        comment="a file that an attempt has left in the folder or object store for artifacts",
    )


def downgrade() -> None:
    for table in ("artifact", "checkpoint", "output", "entry", "metric", "leader"):
        op.drop_table(table)
    op.drop_constraint("an_outcome_is_one_of_eight", "attempt")
    op.drop_constraint("a_failed_attempt_says_why", "attempt")
    op.create_check_constraint(
        "an_outcome_is_one_of_seven", "attempt", f"outcome IN ('done', 'released') OR {_FAILURES}"
    )
    op.create_check_constraint(
        "a_failed_attempt_says_why", "attempt", "outcome IN ('done', 'released') OR error_type IS NOT NULL"
    )
    for name in ("exit_signal", "result", "source", "cpu_seconds", "peak_memory", "gpu_memory", "energy_kwh"):
        op.drop_column("attempt", name)
    op.drop_index("experiment_due", "experiment")
    for name in ("reason", "not_before", "forgiven", "recorded_at"):
        op.drop_column("experiment", name)
    op.drop_column("worker", "environment")
    op.drop_column("worker", "user")
    op.drop_column("worker", "last_seen")
    op.drop_constraint("an_isolation_is_one_of_two", "revision")
    for name in ("source", "git_commit", "git_dirty", "git_diff", "environment", "timeout", "memory", "retries"):
        op.drop_column("revision", name)
    op.drop_column("revision", "isolation")
    op.drop_column("revision", "output")
    op.drop_table("source")
    op.drop_table("environment")
