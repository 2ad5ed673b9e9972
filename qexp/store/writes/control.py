"""Pause and resume studies; cancel and requeue experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    select,
    true,
    update,
)

from qexp.model import CLOSED, OPEN, Status
from qexp.store.connection import Connection
from qexp.store.reads import study_rows
from qexp.store.reads.study_progress import count_by_status
from qexp.store.schema import tables
from qexp.store.schema.expressions import among
from qexp.store.writes import publishing


def pause(connection: Connection, name: str, reason: str | None) -> bool:
    """Pause a study. Returns False if it was paused before; it keeps its reason then."""
    known = study_rows.find(connection, name, lock=True)
    if known.paused_at is not None:
        return False
    now = {"paused_at": func.now(), "pause_reason": reason}
    connection.execute(update(tables.study).where(tables.study.c.id == known.id).values(**now))
    publishing.mark_study_pending(connection, known.id)
    return True


def resume(connection: Connection, name: str) -> bool:
    """
    Resume a study. Returns False if it was not paused.

    Ids that were published while it was being paused are published again, since no worker took them.
    """
    known = study_rows.find(connection, name, lock=True)
    if known.paused_at is not None:
        publishing.mark_study_pending(connection, known.id)
    values = {"paused_at": None, "pause_reason": None, "resumed_at": func.now(), "renewed_at": func.now()}
    connection.execute(update(tables.study).where(tables.study.c.id == known.id).values(**values))
    return known.paused_at is not None


def renewed(connection: Connection, ids: Sequence[int]) -> None:
    """Note that studies have new work: their next events are notified again."""
    connection.execute(update(tables.study).where(tables.study.c.id.in_(ids)).values(renewed_at=func.now()))


@dataclass(frozen=True)
class Cancelled:
    """The ids that were cancelled, and those among them that were running."""

    ids: list[int]
    running: list[int]

    @property
    def note(self) -> str:
        """Text about those that were running, empty without any."""
        if not self.running:
            return ""
        one = len(self.running) == 1
        stop = "its worker stops it" if one else "their workers stop them"
        return f"{len(self.running)} {'was' if one else 'were'} running; {stop} within seconds"


def cancel(connection: Connection, condition: ColumnElement[bool], reason: str | None) -> Cancelled:
    """End the chosen experiments that are open, and the attempts of those that run."""
    columns, past = tables.experiment.c, tables.attempt.c
    names = ("worker", "pid", "started_at", "study", "revision", "result", "result_exact")
    chosen = (
        select(columns.id, columns.status, columns.attempt, *(columns[name] for name in names))
        .where(condition, columns.status.in_(OPEN))
        .order_by(columns.id)
        .with_for_update()
        .cte("chosen")
    )
    ended = (
        insert(tables.attempt)
        .from_select(
            ["experiment", "number", *names, "finished_at", "outcome", "error_message", "source"],
            select(
                chosen.c.id,
                chosen.c.attempt,
                *(chosen.c[name] for name in names),
                func.now(),
                literal("cancelled"),
                literal(reason, Text),
                select(tables.revision.c.source)
                .where(tables.revision.c.study == chosen.c.study, tables.revision.c.number == chosen.c.revision)
                .scalar_subquery(),
            ).where(chosen.c.status == Status.RUNNING),
        )
        .returning(past.experiment)
        .cte("ended")
    )
    rows = connection.execute(
        update(tables.experiment)
        .where(columns.id == chosen.c.id)
        .values(
            status=Status.CANCELLED,
            reason=reason,
            not_before=None,
            finished_at=case((chosen.c.status == Status.RUNNING, func.now())),
        )
        .returning(columns.id, exists(ended.c.experiment).where(ended.c.experiment == columns.id))
        .add_cte(ended)
    ).all()
    return Cancelled(sorted(row[0] for row in rows), sorted(row[0] for row in rows if row[1]))


@dataclass(frozen=True)
class RequeuedRows:
    """The requeued ids, their studies, and how many others were chosen but still open."""

    ids: list[int]
    studies: list[int]
    still_open: int
    urls: list[str] = field(default_factory=list)
    """Files of deleted checkpoints; the caller deletes them."""


_CLEARED = (
    *("result", "result_exact", "recorded_at", "failure", "error_fingerprint", "reason", "not_before"),
    *("started_at", "finished_at", "seconds_before", "worker", "pid"),
)
"""Columns that a requeue empties."""


def closed_studies(connection: Connection, condition: ColumnElement[bool]) -> list[study_rows.StudyRow]:
    """Return the studies whose experiments `requeue` would make pending, the oldest first."""
    return study_rows.among(connection, and_(condition, tables.experiment.c.status.in_(CLOSED)))


def requeue(
    connection: Connection, condition: ColumnElement[bool], among: Sequence[int], fresh: bool = False
) -> RequeuedRows:
    """
    Make the chosen closed experiments of some studies pending again, with all of their retries.

    Their attempts stay, and take over the results. With *fresh* their checkpoints are deleted.
    """
    columns, earlier, study = tables.experiment.c, tables.earlier_result, tables.study.c
    still_open = count_by_status(connection, condition).open
    # studies are locked before their experiments, as by an enqueue or a pause: a requeue may make a new revision
    affected = select(columns.study).where(condition, columns.status.in_(CLOSED), columns.study.in_(among))
    locked = connection.execute(select(study.id).where(study.id.in_(affected)).order_by(study.id).with_for_update())
    # only in the locked studies: experiments of others may have ended since
    chosen = and_(condition, columns.status.in_(CLOSED), columns.study.in_(locked.scalars().all()))
    # the count below locks all rows before the first change, and costs less than a join by ids
    held = select(columns.id).where(chosen).order_by(columns.id).with_for_update().cte("held")
    kept = (  # in the same statement, so that both parts see the same done experiments
        insert(earlier)
        .from_select(
            [earlier.c.experiment, earlier.c.number, earlier.c.result, earlier.c.result_exact],
            select(columns.id, columns.attempt, columns.result, columns.result_exact).where(
                chosen, columns.status == Status.DONE
            ),
        )
        .cte("kept")
    )
    sent = (
        update(tables.experiment)
        .where(chosen, select(func.count()).select_from(held).scalar_subquery() > 0)
        .values(status=Status.PENDING, forgiven=columns.attempt, worker_deaths=0, **dict.fromkeys(_CLEARED, null()))
        .returning(columns.id, columns.study)
        .cte("sent")
    )
    by_study = select(sent.c.study, func.array_agg(sent.c.id)).group_by(sent.c.study).add_cte(kept)
    rows = connection.execute(by_study).all()
    ids = sorted(number for _, numbers in rows for number in numbers)
    urls = drop_checkpoints(connection, ids) if fresh else []
    return RequeuedRows(ids, sorted(study for study, _ in rows), still_open, urls)


def drop_checkpoints(connection: Connection, ids: Sequence[int], kept: bool = True) -> list[str]:
    """Delete the checkpoints of experiments, and return the URLs of their files; without *kept* those to keep stay."""
    columns = tables.checkpoint.c
    chosen = (among(columns.experiment, ids), true() if kept else ~columns.keep)
    gone = delete(tables.checkpoint).where(*chosen).returning(columns.url)
    return [url for url in connection.execute(gone).scalars() if url is not None]
