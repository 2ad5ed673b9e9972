"""Studies have brakes and people to tell, a million is counted by one small index, and short experiments cost less."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
# whatever changes an experiment's status leaves a dead row and dead entries in indexes, which every look at the line
# has to step over; and only a page that was vacuumed is counted without looking at its rows
_TIDY = {"autovacuum_vacuum_scale_factor": 0.05, "autovacuum_analyze_scale_factor": 0.05}


def upgrade() -> None:
    op.add_column("study", sa.Column("longest_first", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("study", sa.Column("renewed_at", _MOMENT, server_default=sa.text("now()"), nullable=False))
    op.execute("UPDATE study SET renewed_at = created_at")
    op.execute("DELETE FROM notice")  # none was ever sent
    op.add_column("notice", sa.Column("recipient", sa.Text(), nullable=False))
    op.add_column("notice", sa.Column("due_at", _MOMENT, server_default=sa.text("now()"), nullable=False))
    op.drop_constraint("notice_pkey", "notice")
    op.create_primary_key("notice_pkey", "notice", ["study", "event", "since", "recipient"])
    op.create_index(
        "experiment_ended",
        "experiment",
        ["study", "finished_at"],
        postgresql_where=sa.text("status IN ('done', 'failed')"),
    )
    op.create_index("attempt_of_worker", "attempt", ["worker", "finished_at"])
    op.create_index("experiment_by_status", "experiment", ["study", "status"])
    op.drop_index("experiment_queued", "experiment")
    op.execute(f"ALTER TABLE experiment SET ({', '.join(f'{name} = {value}' for name, value in _TIDY.items())})")
    # revision and worker of an attempt are its experiment's, whose row was held against theirs
    op.drop_constraint("attempt_worker_fkey", "attempt")
    op.drop_constraint("attempt_study_revision_fkey", "attempt")
    # a claim looks at its worker's row anyway
    op.drop_constraint("experiment_worker_fkey", "experiment")


def downgrade() -> None:
    op.create_foreign_key("experiment_worker_fkey", "experiment", "worker", ["worker"], ["id"])
    op.create_foreign_key("attempt_worker_fkey", "attempt", "worker", ["worker"], ["id"])
    op.create_foreign_key(
        "attempt_study_revision_fkey",
        "attempt",
        "revision",
        ["study", "revision"],
        ["study", "number"],
        ondelete="CASCADE",
    )
    op.execute(f"ALTER TABLE experiment RESET ({', '.join(_TIDY)})")
    op.create_index("experiment_queued", "experiment", ["study"], postgresql_where=sa.text("status = 'queued'"))
    op.drop_index("experiment_by_status", "experiment")
    op.drop_index("attempt_of_worker", "attempt")
    op.drop_index("experiment_ended", "experiment")
    op.execute("DELETE FROM notice")
    op.drop_constraint("notice_pkey", "notice")
    op.drop_column("notice", "due_at")
    op.drop_column("notice", "recipient")
    op.create_primary_key("notice_pkey", "notice", ["study", "event", "since"])
    for name in ("longest_first", "renewed_at"):
        op.drop_column("study", name)
