"""What keeps a study going or stops it: priorities, pauses, brakes, notices, quarantine, lost announcements."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_FAILURES = "outcome IN ('error', 'timeout', 'crashed', 'lost', 'invalid')"


def upgrade() -> None:
    op.add_column("study", sa.Column("priority", sa.Integer(), server_default="0", nullable=False))
    op.add_column("study", sa.Column("paused_at", _MOMENT))
    op.add_column("study", sa.Column("pause_reason", sa.Text()))
    op.add_column("study", sa.Column("resumed_at", _MOMENT))
    op.create_check_constraint("only_a_paused_study_says_why", "study", "paused_at IS NOT NULL OR pause_reason IS NULL")
    op.add_column("revision", sa.Column("stop_after", JSONB(), server_default="{}", nullable=False))
    op.add_column("revision", sa.Column("notify", ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.add_column("worker", sa.Column("quarantined_at", _MOMENT))
    op.add_column("worker", sa.Column("quarantine_reason", sa.Text()))
    op.add_column("leader", sa.Column("site", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False))
    op.add_column("experiment", sa.Column("queued_at", _MOMENT))
    op.create_index("experiment_queued", "experiment", ["study"], postgresql_where=sa.text("status = 'queued'"))
    op.drop_constraint("an_outcome_is_one_of_eight", "attempt")
    op.drop_constraint("a_failed_attempt_says_why", "attempt")
    op.create_check_constraint(
        "an_outcome_is_one_of_nine", "attempt", f"outcome IN ('done', 'released', 'paused', 'cancelled') OR {_FAILURES}"
    )
    op.create_check_constraint(
        "a_failed_attempt_says_why",
        "attempt",
        "outcome IN ('done', 'released', 'paused', 'cancelled') OR error_type IS NOT NULL",
    )
    op.create_table(
        "notice",
        sa.Column("study", sa.Integer(), sa.ForeignKey("study.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("event", sa.Text(), primary_key=True),
        sa.Column("since", _MOMENT, primary_key=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", _MOMENT),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text()),
        comment="a message about an event of a study, sent once to those that its grid or the settings name",
    )


def downgrade() -> None:
    op.drop_table("notice")
    op.drop_constraint("an_outcome_is_one_of_nine", "attempt")
    op.drop_constraint("a_failed_attempt_says_why", "attempt")
    op.create_check_constraint(
        "an_outcome_is_one_of_eight", "attempt", f"outcome IN ('done', 'released', 'paused') OR {_FAILURES}"
    )
    op.create_check_constraint(
        "a_failed_attempt_says_why",
        "attempt",
        "outcome IN ('done', 'released', 'paused') OR error_type IS NOT NULL",
    )
    op.drop_index("experiment_queued", "experiment")
    op.drop_column("experiment", "queued_at")
    op.drop_column("leader", "site")
    for name in ("quarantined_at", "quarantine_reason"):
        op.drop_column("worker", name)
    for name in ("stop_after", "notify"):
        op.drop_column("revision", name)
    op.drop_constraint("only_a_paused_study_says_why", "study")
    for name in ("priority", "paused_at", "pause_reason", "resumed_at"):
        op.drop_column("study", name)
