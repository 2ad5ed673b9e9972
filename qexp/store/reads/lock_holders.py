"""The transaction that blocks a command on rows of a study or an experiment."""

from __future__ import annotations

from sqlalchemy import text

from qexp.store.connection import Connection

_HOLDER = text(
    """
    SELECT format('process %s of %s (%s), in a transaction for %s s', a.pid, a.usename,
                  coalesce(nullif(a.application_name, ''), 'no name'), extract(epoch FROM now() - a.xact_start)::int)
    FROM   pg_stat_activity a
    WHERE  a.pid <> pg_backend_pid() AND a.datname = current_database() AND EXISTS (
             SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.granted AND l.mode <> 'AccessShareLock'
             AND l.relation IN ('study'::regclass, 'experiment'::regclass))
    ORDER  BY a.xact_start LIMIT 1
    """
)


def holder(connection: Connection) -> str | None:
    """Describe the oldest transaction that may lock rows of studies or experiments. Returns None if there is none."""
    return connection.execute(_HOLDER).scalar()
