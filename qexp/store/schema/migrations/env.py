"""Runs migrations on the connection that `qexp.store.schema.schema_version` hands over."""

from alembic import context

from qexp.store.schema.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
