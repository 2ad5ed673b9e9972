"""An attempt knows what it imported, a snapshot the content of each file, a revision the size of its grid."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "imported",
        sa.Column("digest", sa.Uuid(), nullable=False),
        sa.Column("files", ARRAY(sa.Text()), nullable=False),
        sa.Column("packages", ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="imported_pkey"),
        comment="files of a snapshot and packages that attempts imported: one row for all that imported the same",
    )
    op.add_column("attempt", sa.Column("imported", sa.Uuid()))
    op.add_column("source", sa.Column("contents", JSONB()))
    op.add_column("revision", sa.Column("total", sa.Integer()))
    op.add_column("environment", sa.Column("gpus", ARRAY(sa.Text()), server_default="{}", nullable=False))


def downgrade() -> None:
    op.drop_column("environment", "gpus")
    op.drop_column("revision", "total")
    op.drop_column("source", "contents")
    op.drop_column("attempt", "imported")
    op.drop_table("imported")
