"""Parameters and results keep what JSONB would change in them: the order of keys, -0.0, large whole floats."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("experiment", "params_exact"),
    ("experiment", "result_exact"),
    ("attempt", "result_exact"),
    ("earlier_result", "result_exact"),
)


def upgrade() -> None:
    for table, column in _COLUMNS:
        op.add_column(table, sa.Column(column, JSONB()))
    op.alter_column("entry", "data", type_=sa.JSON(), postgresql_using="data::json")


def downgrade() -> None:
    op.alter_column("entry", "data", type_=JSONB(), postgresql_using="data::jsonb")
    for table, column in _COLUMNS:
        op.drop_column(table, column)
