"""Where results come from: the imports of attempts, and the environments of the workers that ran them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, any_, literal, select

from qexp.model import Imports
from qexp.store import tables
from qexp.store.connect import Connection


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


def of_workers(connection: Connection) -> list[EnvironmentView]:
    """Return the different environments of all workers."""
    columns = tables.environment.c
    known = select(tables.worker.c.environment).distinct()
    query = select(columns.packages, columns.cpu, columns.gpus).where(columns.digest.in_(known))
    return [EnvironmentView(row[0], row[1], tuple(row[2])) for row in connection.execute(query)]


def environments(connection: Connection, experiments: Sequence[int]) -> dict[int, EnvironmentView]:
    """Return the environment in which the last attempt of each experiment ran, where it is known."""
    columns, worker, environment = tables.experiment.c, tables.worker.c, tables.environment.c
    query = (
        select(columns.id, environment.packages, environment.cpu, environment.gpus)
        .join_from(tables.experiment, tables.worker, worker.id == columns.worker)
        .join(tables.environment, environment.digest == worker.environment)
        .where(columns.id == any_(literal(list(experiments), ARRAY(BigInteger))))
    )
    return {row[0]: EnvironmentView(row[1], row[2], tuple(row[3])) for row in connection.execute(query)}


def imports(connection: Connection, experiments: Sequence[int]) -> dict[int, Imports]:
    """Return the imports of the last attempt of each experiment, where they are known."""
    columns, attempt, imported = tables.experiment.c, tables.attempt.c, tables.imported.c
    query = (
        select(columns.id, imported.files, imported.packages)
        .join_from(
            tables.experiment,
            tables.attempt,
            (attempt.experiment == columns.id) & (attempt.number == columns.attempt),
        )
        .join(tables.imported, imported.digest == attempt.imported)
        .where(columns.id == any_(literal(list(experiments), ARRAY(BigInteger))))
    )
    return {row[0]: Imports(tuple(row[1]), tuple(row[2])) for row in connection.execute(query)}


def lists(connection: Connection, digests: Sequence[UUID]) -> dict[UUID, Imports]:
    """Return lists of imports by their digests."""
    columns = tables.imported.c
    query = select(columns.digest, columns.files, columns.packages).where(columns.digest.in_(digests))
    return {row[0]: Imports(tuple(row[1]), tuple(row[2])) for row in connection.execute(query)}
