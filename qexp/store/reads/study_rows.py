"""Read rows of `study` by name, by id or by their experiments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, select

from qexp.errors import SelectorError, UnknownStudyError
from qexp.model import Json, Status
from qexp.store.connection import Connection
from qexp.store.schema import tables
from qexp.store.schema.expressions import is_due


@dataclass(frozen=True)
class StudyRow:
    """A study as the database has it."""

    id: int
    name: str
    function: str
    folder: str | None
    queue: str
    priority: int
    longest_first: bool
    paused_at: datetime | None
    pause_reason: str | None
    revision: int
    parameters: list[str]
    results: list[str]


COLUMNS = [tables.study.c[name] for name in StudyRow.__dataclass_fields__]


def place(connection: Connection, name: str) -> tuple[str, str | None] | None:
    """Return the function and folder of a study. Returns None if there is no study of this name."""
    query = select(tables.study.c.function, tables.study.c.folder).where(tables.study.c.name == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else (row[0], row[1])


def names(connection: Connection) -> list[str]:
    """Return the names of all studies, the oldest first."""
    return list(connection.execute(select(tables.study.c.name).order_by(tables.study.c.id)).scalars())


def rows(connection: Connection, ids: Sequence[int]) -> list[StudyRow]:
    """Return the studies of these ids, the oldest first."""
    return _rows(connection, tables.study.c.id.in_(ids))


def named(connection: Connection, names: Iterable[str]) -> list[StudyRow]:
    """Return the studies of these names, the oldest first."""
    return _rows(connection, tables.study.c.name.in_(names))


def waiting(connection: Connection) -> list[StudyRow]:
    """Return the studies that have experiments to announce now, by priority, then age."""
    study, experiment = tables.study.c, tables.experiment.c
    some = exists(experiment.id).where(experiment.study == study.id, experiment.status == Status.PENDING, is_due())
    return sorted(_rows(connection, study.paused_at.is_(None), some), key=lambda row: -row.priority)


def _rows(connection: Connection, *conditions: ColumnElement[bool]) -> list[StudyRow]:
    query = select(*COLUMNS).where(*conditions).order_by(tables.study.c.id)
    return [StudyRow(*row) for row in connection.execute(query)]


def among(connection: Connection, condition: ColumnElement[bool]) -> list[StudyRow]:
    """Return the studies of the chosen experiments, the oldest first."""
    ids = connection.execute(select(tables.experiment.c.study).where(condition).distinct()).scalars().all()
    return rows(connection, ids)


def of(connection: Connection, condition: ColumnElement[bool], name: str | None) -> StudyRow:
    """Return the study *name*, or the one of the chosen experiments. Raises SelectorError if they have several."""
    if name is not None:
        return find(connection, name)
    found = among(connection, condition)
    if len(found) != 1:
        raise SelectorError(f"the ids are of the studies {', '.join(study.name for study in found)}; name one of them")
    return found[0]


def current(connection: Connection, study: StudyRow) -> tuple[dict[str, Json], str | None]:
    """Return the settings of a study's present revision, and the digest of the snapshot that it runs."""
    columns = tables.revision.c
    query = select(columns.settings, columns.source).where(columns.study == study.id, columns.number == study.revision)
    row = connection.execute(query).one()
    return dict(row[0]), row[1]


def addresses(connection: Connection, study: StudyRow) -> list[str]:
    """Return the addresses that a study's present revision notifies."""
    columns = tables.revision.c
    query = select(columns.notify).where(columns.study == study.id, columns.number == study.revision)
    return list(connection.execute(query).scalar_one())


def find(connection: Connection, name: str, lock: bool = False) -> StudyRow:
    """Return a study, locked if asked for. Raises UnknownStudyError, which names similar studies, if there is none."""
    query = select(*COLUMNS).where(tables.study.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise UnknownStudyError(name, names(connection))
    return StudyRow(*row)


def described(grid: Json, settings: Mapping[str, Json]) -> dict[str, Json]:
    """Return the entries of a grid, each parameter and setting by itself."""
    flat = {key: value for key, value in grid.items() if key not in ("parameters", "settings", "study", "function")}
    flat |= {f"parameters.{name}": value for name, value in (grid.get("parameters") or {}).items()}
    return flat | {f"settings.{name}": value for name, value in settings.items()}
