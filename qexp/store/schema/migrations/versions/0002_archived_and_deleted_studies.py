"""Columns for archived and deleted studies, and the files that deleted studies leave."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE study ADD COLUMN archived_at timestamptz, ADD COLUMN deleted_at timestamptz,
  ADD CONSTRAINT a_deleted_study_is_paused CHECK (deleted_at IS NULL OR paused_at IS NOT NULL);

CREATE TABLE deleted_file (
  url text PRIMARY KEY, size bigint NOT NULL, host text, created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE deleted_file
  IS 'a file of a deleted study that is still to be removed from its folder or object store';
"""


def upgrade() -> None:
    op.execute(CHANGES)


def downgrade() -> None:
    op.execute("DROP TABLE deleted_file; ALTER TABLE study DROP COLUMN archived_at, DROP COLUMN deleted_at")
