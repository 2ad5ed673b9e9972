"""Find studies whose done experiments have left nothing: no result, series, list or artifact."""

from __future__ import annotations

from sqlalchemy import text

from qexp.store.connection import Connection, by_index
from qexp.store.reads import study_rows

_SAMPLE = 50
"""The done experiments whose records are looked up, since a study may have a million."""

_FOUND = text(
    """
    WITH done AS MATERIALIZED (
      SELECT id FROM experiment WHERE study = :study AND status = 'done' LIMIT :sample
    )
    SELECT EXISTS (SELECT FROM done)
       AND NOT EXISTS (
         SELECT FROM done d CROSS JOIN LATERAL (
           (SELECT FROM metric m WHERE m.experiment = d.id LIMIT 1)
           UNION ALL (SELECT FROM entry e WHERE e.experiment = d.id LIMIT 1)
           UNION ALL (SELECT FROM artifact a WHERE a.experiment = d.id LIMIT 1)
         ) AS record
       )
    """
)


def is_empty(connection: Connection, study: str) -> bool:
    """
    Say whether a study has done experiments, but neither results nor records.

    It looks for the records of some done experiments only.
    """
    found = study_rows.find(connection, study)
    if found.results:
        return False
    by_index(connection)
    return bool(connection.execute(_FOUND, {"study": found.id, "sample": _SAMPLE}).scalar_one())
