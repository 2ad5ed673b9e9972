"""Claims are on the disk before they are told, so a crash of the server forgets none of them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("intact")


def downgrade() -> None:
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
