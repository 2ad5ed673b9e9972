"""Where an experiment comes from: its study's grid, rows made by code, or a grid that has left it out since."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("experiment", sa.Column("origin", sa.Text(), server_default="grid", nullable=False))
    op.create_check_constraint("an_origin_is_one_of_three", "experiment", "origin IN ('grid', 'code', 'orphaned')")


def downgrade() -> None:
    op.drop_column("experiment", "origin")
