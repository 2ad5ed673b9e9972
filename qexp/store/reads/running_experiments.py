"""Read how far running experiments are: elapsed time, finished steps of loops, and their newest metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, ScalarSelect, Text, cast, func, literal, select, true

from qexp.model import Status
from qexp.store.connection import Connection
from qexp.store.schema import tables
from qexp.store.schema.expressions import among, seconds

T = TypeVar("T")

_UNNAMED = "loop"
"""The default name of `Context.resumable`."""
_SHOWN = 3
"""The most metrics in a line."""
MOST_SERIES = 50
"""The most series of an experiment that are looked up."""


@dataclass(frozen=True)
class LoopProgress:
    """A loop of `Context.resumable` as its last checkpoint has it."""

    name: str
    done: int
    total: int | None
    """None if the loop's items have no length."""
    at: datetime
    """When the checkpoint was saved; the loop may be further by now."""

    @property
    def text(self) -> str:
        """The finished steps, such as `epoch 12/20`; a loop without a name of its own is `saved`."""
        name = "saved" if self.name == _UNNAMED else self.name
        return f"{name} {self.done}{'' if self.total is None else f'/{self.total}'}"


@dataclass(frozen=True)
class NewestPoint:
    """The last step of a series."""

    name: str
    step: int
    value: float
    at: datetime


@dataclass(frozen=True)
class RunningExperiment:
    """How far a running experiment is."""

    elapsed: float
    """Seconds of this attempt so far, and of the attempts that it continues."""
    loops: tuple[LoopProgress, ...] = ()
    metrics: tuple[NewestPoint, ...] = ()
    """The newest first."""

    @property
    def progress(self) -> str:
        """
        The loops and the metrics of the newest step on a line, such as `epoch 12/20, loss 0.31`.

        Metrics of another step than the last checkpoint's have it beside them: `saved 60/400, step 96, loss 0.31`.
        """
        newest = [one for one in self.metrics if one.step == self.metrics[0].step]
        steps = {one.step for one in newest} - {step for loop in self.loops for step in (loop.done - 1, loop.done)}
        return ", ".join(
            [
                *(loop.text for loop in self.loops),
                *(f"step {step}" for step in steps),
                *(f"{one.name} {one.value:.4g}" for one in newest[:_SHOWN]),
            ]
        )


def running(connection: Connection, experiments: Iterable[int]) -> dict[int, RunningExperiment]:
    """Return how far the running ones of some experiments are, by id."""
    columns = tables.experiment.c
    elapsed = seconds(func.now() - columns.started_at) + func.coalesce(columns.seconds_before, 0.0)
    query = select(columns.id, elapsed).where(among(columns.id, experiments), columns.status == Status.RUNNING)
    found = {row[0]: float(row[1]) for row in connection.execute(query)}
    if not found:
        return {}
    loops, metrics = _loops(connection, found), _metrics(connection, found)
    return {id_: RunningExperiment(time, loops.get(id_, ()), metrics.get(id_, ())) for id_, time in found.items()}


def _loops(connection: Connection, ids: Iterable[int]) -> Mapping[int, tuple[LoopProgress, ...]]:
    columns = tables.checkpoint.c
    done, total = (cast(columns.progress.op("->>")(key), BigInteger) for key in ("done", "total"))
    query = (
        select(columns.experiment, columns.name, done, total, columns.at)
        .where(among(columns.experiment, ids), columns.progress.has_key("done"))
        .order_by(columns.experiment, columns.at.desc(), columns.name)
    )
    return _grouped((row[0], LoopProgress(*row[1:])) for row in connection.execute(query))


def _metrics(connection: Connection, ids: Iterable[int]) -> Mapping[int, tuple[NewestPoint, ...]]:
    """Look up the series of the present attempts one by one, by the primary key: they may have millions of points."""
    chosen, metric = tables.experiment.alias("chosen"), tables.metric.c
    first = select(
        chosen.c.id.label("id"),
        chosen.c.attempt.label("attempt"),
        _next_name(chosen.c.id, chosen.c.attempt, literal("", Text)).label("name"),
        literal(1).label("number"),
    ).where(among(chosen.c.id, ids))
    names = first.cte("names", recursive=True)
    further = select(
        names.c.id, names.c.attempt, _next_name(names.c.id, names.c.attempt, names.c.name), names.c.number + 1
    ).where(names.c.name.is_not(None), names.c.number < MOST_SERIES)
    names = names.union_all(further)
    last = (
        select(metric.step, metric.value, metric.at)
        .where(metric.experiment == names.c.id, metric.attempt == names.c.attempt, metric.name == names.c.name)
        .order_by(metric.step.desc())
        .limit(1)
        .lateral("last")
    )
    query = (
        select(names.c.id, names.c.name, last.c.step, last.c.value, last.c.at)
        .join_from(names, last, true())
        .order_by(names.c.id, last.c.at.desc(), names.c.name)
    )
    return _grouped((row[0], NewestPoint(*row[1:])) for row in connection.execute(query))


def _next_name(
    experiment: ColumnElement[int], attempt: ColumnElement[int], name: ColumnElement[str]
) -> ScalarSelect[Any]:
    """Return the name of the series that follows a name."""
    metric = tables.metric.alias().c
    query = select(func.min(metric.name)).where(
        metric.experiment == experiment, metric.attempt == attempt, metric.name > name
    )
    return query.scalar_subquery()


def _grouped(rows: Iterable[tuple[int, T]]) -> dict[int, tuple[T, ...]]:
    found: dict[int, list[T]] = {}
    for id_, item in rows:
        found.setdefault(id_, []).append(item)
    return {id_: tuple(items) for id_, items in found.items()}
