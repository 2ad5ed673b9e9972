"""Runs migrations on the connection that `qexp.store.schema` hands over."""

from alembic import context

from qexp.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
