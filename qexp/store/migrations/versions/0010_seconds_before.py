"""An experiment knows how long the attempts took that its present one went on from."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("experiment", sa.Column("seconds_before", sa.Double()))


def downgrade() -> None:
    op.drop_column("experiment", "seconds_before")
