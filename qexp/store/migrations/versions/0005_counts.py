"""Studies of a million are counted by one small index, and the table that everything goes through is kept tidy."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# revision and worker of an attempt are its experiment's, whose row was held against theirs; they took a quarter
# whatever changes an experiment's status leaves a dead row and dead entries in indexes, which every look at the line
# has to step over; and only a page that was vacuumed is counted without looking at its rows
_TIDY = {"autovacuum_vacuum_scale_factor": 0.05, "autovacuum_analyze_scale_factor": 0.05}


def upgrade() -> None:
    op.drop_constraint("attempt_worker_fkey", "attempt")
    op.drop_constraint("attempt_study_revision_fkey", "attempt")
    op.create_index("experiment_by_status", "experiment", ["study", "status"])
    op.drop_index("experiment_queued", "experiment")
    op.execute(f"ALTER TABLE experiment SET ({', '.join(f'{name} = {value}' for name, value in _TIDY.items())})")


def downgrade() -> None:
    op.execute(f"ALTER TABLE experiment RESET ({', '.join(_TIDY)})")
    op.create_index("experiment_queued", "experiment", ["study"], postgresql_where=sa.text("status = 'queued'"))
    op.drop_index("experiment_by_status", "experiment")
    op.create_foreign_key("attempt_worker_fkey", "attempt", "worker", ["worker"], ["id"])
    op.create_foreign_key(
        "attempt_study_revision_fkey",
        "attempt",
        "revision",
        ["study", "revision"],
        ["study", "number"],
        ondelete="CASCADE",
    )
