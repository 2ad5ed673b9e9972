"""Accept the kept results of failed experiments: a person decides that they are done."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, func, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB

from qexp.model import Status, compact
from qexp.store.connection import Connection
from qexp.store.schema import tables
from qexp.store.schema.expressions import among
from qexp.store.writes.control import drop_checkpoints


@dataclass(frozen=True)
class Accepted:
    """The ids of experiments that are done now, and of chosen failed ones without a result."""

    ids: list[int]
    empty: list[int]
    urls: list[str] = field(default_factory=list)
    """Files of checkpoints that were dropped."""

    @property
    def note(self) -> str:
        """Text about the experiments without a result, empty without any."""
        if not self.empty:
            return ""
        return f"{len(self.empty)} unchanged, since no part of their result was kept: {compact(self.empty)}"


def accept(connection: Connection, condition: ColumnElement[bool], who: str) -> Accepted:
    """
    Mark chosen experiments as done if they have failed and kept a result; others stay as they are.

    Their attempts keep outcomes and errors. The reason says *who* accepted the result and when. Checkpoints are dropped
    as for any experiment that is done.
    """
    columns = tables.experiment.c
    has_result = columns.result.is_not(None) & (columns.result != literal({}, JSONB))
    chosen = connection.execute(
        select(columns.id, has_result)
        .where(condition, columns.status == Status.FAILED)
        .order_by(columns.id)
        .with_for_update(of=tables.experiment)
    ).all()
    ids = [row[0] for row in chosen if row[1]]
    moment = func.to_char(func.timezone("UTC", func.now()), 'YYYY-MM-DD HH24:MI "UTC"')
    reason = func.concat(f"accepted by {who} at ", moment)
    connection.execute(
        update(tables.experiment)
        .where(among(columns.id, ids), columns.status == Status.FAILED)
        .values(status=Status.DONE, failure=None, error_fingerprint=None, reason=reason)
    )
    urls = drop_checkpoints(connection, ids, kept=False)
    return Accepted(ids, [row[0] for row in chosen if not row[1]], urls)
