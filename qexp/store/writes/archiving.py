"""Archive studies: overviews leave them out until they get work again."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, or_, select, update

from qexp.errors import BusyStudyError
from qexp.model import OPEN, counted
from qexp.store.connection import Connection
from qexp.store.reads import study_progress, study_rows
from qexp.store.schema import tables
from qexp.store.schema.expressions import has


def archive(connection: Connection, name: str) -> bool:
    """Archive a study. Returns False if it was archived. Raises BusyStudyError if experiments are unfinished."""
    known = study_rows.find(connection, name, lock=True)
    if connection.execute(select(or_(*(has(status, known.id) for status in OPEN)))).scalar_one():
        number = study_progress.of_study(connection, known.id).open
        raise BusyStudyError(
            name,
            f"{counted(number, 'experiment')} {'has' if number == 1 else 'have'} not finished; "
            f"'qexp wait {name}' waits for them, 'qexp cancel {name}' cancels them",
        )
    query = update(tables.study).where(tables.study.c.id == known.id).values(archived_at=func.now())
    return known.archived_at is None and bool(connection.execute(query).rowcount)


def unarchive(connection: Connection, ids: Sequence[int]) -> list[str]:
    """Bring the archived ones of some studies back, and return their names."""
    columns = tables.study.c
    query = update(tables.study).where(columns.id.in_(ids), columns.archived_at.is_not(None)).values(archived_at=None)
    return sorted(connection.execute(query.returning(columns.name)).scalars())
