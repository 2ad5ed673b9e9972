"""What was done before a requeue keeps its result in a table of its own: a million are requeued in less time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "earlier_result",
        sa.Column("experiment", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("result", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment"], ["experiment.id"], name="earlier_result_experiment_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("experiment", "number", name="earlier_result_pkey"),
        comment="the result of an attempt that was done before its experiment was requeued",
    )


def downgrade() -> None:
    op.execute(
        "UPDATE attempt a SET result = r.result FROM earlier_result r "
        "WHERE r.experiment = a.experiment AND r.number = a.number"
    )
    op.drop_table("earlier_result")
