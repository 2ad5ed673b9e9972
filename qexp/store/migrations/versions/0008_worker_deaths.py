"""A crash of the server forgets no claim any more, and an experiment that kills its workers is found out."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("intact")
    op.add_column("experiment", sa.Column("worker_deaths", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("worker", sa.Column("boot", sa.Text()))
    op.add_column("worker", sa.Column("told_to_stop", sa.Boolean(), server_default="false", nullable=False))


def downgrade() -> None:
    for name in ("told_to_stop", "boot"):
        op.drop_column("worker", name)
    op.drop_column("experiment", "worker_deaths")
    op.create_table(
        "intact",
        sa.Column("one", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("one", name="there_is_one_since"),
        sa.PrimaryKeyConstraint("one", name="intact_pkey"),
        prefixes=["UNLOGGED"],
        comment="since when the server has forgotten nothing of what it did not wait for its disk to have",
    )
    op.execute("INSERT INTO intact DEFAULT VALUES")
