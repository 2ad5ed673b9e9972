"""The experiments that a figure of a study may show, and the numbers of stale and left-out ones."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_

from qexp.model import Origin, Status
from qexp.store.connection import Connection
from qexp.store.reads import staleness, study_progress
from qexp.store.reads.study_rows import StudyRow
from qexp.store.schema import tables


def planned(chosen: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition for the chosen experiments that the newest grid has, or that code added."""
    return and_(chosen, tables.experiment.c.origin != Origin.ORPHANED)


def stale(connection: Connection, chosen: ColumnElement[bool], study: StudyRow) -> int:
    """Return how many of the chosen experiments that the newest grid has are stale; see `reads.staleness`."""
    is_stale = and_(planned(chosen), staleness.condition(connection, [study]))
    return study_progress.count_by_status(connection, is_stale).closed


def left_out(connection: Connection, chosen: ColumnElement[bool]) -> int:
    """Return how many of the chosen experiments are done, but not in the newest grid."""
    columns = tables.experiment.c
    is_left_out = and_(chosen, columns.origin == Origin.ORPHANED, columns.status == Status.DONE)
    return study_progress.count_by_status(connection, is_left_out).total
