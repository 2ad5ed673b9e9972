"""Origins of results: the imports of attempts, and the environments of the workers that ran them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, cast, distinct, exists, func, select

from qexp.model import Imports
from qexp.store.connection import Connection
from qexp.store.schema import tables
from qexp.store.schema.expressions import among, is_last_attempt, seconds


@dataclass(frozen=True)
class EnvironmentView:
    """The installed packages and the hardware of a worker."""

    packages: Mapping[str, str]
    """Versions by names, as package indexes write them."""
    cpu: str
    gpus: tuple[str, ...]

    @property
    def hardware(self) -> str:
        """The models of the processor and the GPUs."""
        return ", ".join([self.cpu, *self.gpus])


def varieties(connection: Connection) -> tuple[int, int]:
    """
    Return the numbers of different sets of packages, and of different machines, among all workers.

    Workers that recorded no environment count as one more of each.
    """
    columns, worker = tables.environment.c, tables.worker.c
    is_unknown = cast(exists().where(worker.environment.is_(None)), Integer)
    packages = func.count(distinct(columns.packages))
    machines = func.count(distinct(func.row(columns.cpu, columns.gpus)))
    used = columns.digest.in_(select(worker.environment).distinct())
    row = connection.execute(select(packages + is_unknown, machines + is_unknown).where(used)).one()
    return row[0], row[1]


def environments(connection: Connection, experiments: Sequence[int]) -> dict[int, EnvironmentView]:
    """Return the known environments in which the last attempts of experiments ran, by experiment."""
    columns, worker, environment = tables.experiment.c, tables.worker.c, tables.environment.c
    query = (
        select(columns.id, environment.packages, environment.cpu, environment.gpus)
        .join_from(tables.experiment, tables.worker, worker.id == columns.worker)
        .join(tables.environment, environment.digest == worker.environment)
        .where(among(columns.id, experiments))
    )
    return {row[0]: EnvironmentView(row[1], row[2], tuple(row[3])) for row in connection.execute(query)}


def imports(connection: Connection, experiments: Sequence[int]) -> dict[int, Imports]:
    """Return the known imports of the last attempts of experiments, by experiment."""
    columns, attempt, imported = tables.experiment.c, tables.attempt.c, tables.imported.c
    query = (
        select(columns.id, imported.files, imported.packages)
        .join_from(tables.experiment, tables.attempt, is_last_attempt())
        .join(tables.imported, imported.digest == attempt.imported)
        .where(among(columns.id, experiments))
    )
    return {row[0]: Imports(tuple(row[1]), tuple(row[2])) for row in connection.execute(query)}


def lists(connection: Connection, digests: Sequence[UUID]) -> dict[UUID, Imports]:
    """Return lists of imports by their digests."""
    columns = tables.imported.c
    query = select(columns.digest, columns.files, columns.packages).where(columns.digest.in_(digests))
    return {row[0]: Imports(tuple(row[1]), tuple(row[2])) for row in connection.execute(query)}


@dataclass(frozen=True)
class Machine:
    """A host with its environment, and the attempts that it ran."""

    host: str | None
    """None: the worker of these attempts is not known."""
    cpu: str | None
    cores: int | None
    gpus: tuple[str, ...]
    python: str | None
    platform: str | None
    attempts: int
    wall_seconds: float


def machines(connection: Connection, study: int) -> list[Machine]:
    """Return the machines that ran attempts of a study, the busiest first."""
    past, worker, environment = tables.attempt.c, tables.worker.c, tables.environment.c
    names = ("cpu", "cores", "gpus", "python", "platform")
    facts = [worker.host, *(environment[name] for name in names)]
    wall = func.sum(seconds(past.finished_at - past.started_at))
    query = (
        select(*facts, func.count(), wall)
        .outerjoin_from(tables.attempt, tables.worker, worker.id == past.worker)
        .outerjoin(tables.environment, environment.digest == worker.environment)
        .where(past.study == study)
        .group_by(*facts)
        .order_by(wall.desc(), *facts)
    )
    found: list[Any] = [(*row[:3], tuple(row[3] or ()), *row[4:]) for row in connection.execute(query)]
    return [Machine(*row) for row in found]


def origins(connection: Connection, study: int) -> list[tuple[EnvironmentView, Imports, int]]:
    """Return the known environments and imports of a study's done attempts, each with its number of attempts."""
    past, worker, environment, imported = tables.attempt.c, tables.worker.c, tables.environment.c, tables.imported.c
    counted = (
        select(past.imported, worker.environment, func.count().label("count"))
        .join_from(tables.attempt, tables.worker, worker.id == past.worker)
        .where(past.study == study, past.outcome == "done")
        .group_by(past.imported, worker.environment)
        .subquery()
        .c
    )
    query = (
        select(
            environment.packages, environment.cpu, environment.gpus, imported.files, imported.packages, counted.count
        )
        .join_from(tables.environment, counted.imported.table, environment.digest == counted.environment)
        .join(tables.imported, imported.digest == counted.imported)
        .order_by(counted.count.desc(), imported.digest, environment.digest)
    )
    return [
        (EnvironmentView(row[0], row[1], tuple(row[2])), Imports(tuple(row[3]), tuple(row[4])), row[5])
        for row in connection.execute(query)
    ]
