"""Read rows of `study` by name, by id or by their experiments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, or_, select

from qexp.errors import SelectorError, UnknownStudyError
from qexp.model import Json, Status
from qexp.store.connection import Connection
from qexp.store.schema import expressions, tables
from qexp.store.schema.expressions import is_due, like
from qexp.truncation import listed


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
    archived_at: datetime | None


@dataclass(frozen=True)
class PresentCode:
    """The digest of the snapshot that a study runs, or None, and the patterns of files that its grid includes."""

    digest: str | None
    include: tuple[str, ...]


COLUMNS = [tables.study.c[name] for name in StudyRow.__dataclass_fields__]


def place(connection: Connection, name: str) -> tuple[str, str | None] | None:
    """Return the function and folder of a study. Returns None if there is no study of this name."""
    query = select(tables.study.c.function, tables.study.c.folder).where(tables.study.c.name == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else (row[0], row[1])


def names(connection: Connection) -> list[str]:
    """Return the names of all studies, the oldest first."""
    query = select(tables.study.c.name).where(tables.study.c.deleted_at.is_(None)).order_by(tables.study.c.id)
    return list(connection.execute(query).scalars())


def rows(connection: Connection, ids: Sequence[int]) -> list[StudyRow]:
    """Return the studies of these ids, the oldest first."""
    return _rows(connection, tables.study.c.id.in_(ids))


def named(connection: Connection, names: Iterable[str]) -> list[StudyRow]:
    """Return the studies of these names, the oldest first."""
    return _rows(connection, tables.study.c.name.in_(names))


def matching(connection: Connection, targets: Sequence[str]) -> list[StudyRow]:
    """
    Return the studies that have these names or match these patterns, the oldest first.

    In a pattern, `*` stands for any characters and `?` for one. Raises UnknownStudyError for the first target without a
    study.
    """
    name = tables.study.c.name
    exact = [target for target in targets if not is_pattern(target)]
    patterns = [name.like(like(target)) for target in targets if is_pattern(target)]
    found = _rows(connection, or_(name.in_(exact), *patterns))
    for target in targets:
        if not any(_matches(row.name, target) for row in found):
            raise UnknownStudyError(target, names(connection))
    return found


def is_pattern(target: str) -> bool:
    """Say whether a text stands for several studies, by a wildcard."""
    return "*" in target or "?" in target


def _matches(name: str, target: str) -> bool:
    return re.fullmatch(re.escape(target).replace(r"\*", ".*").replace(r"\?", "."), name) is not None


def waiting(connection: Connection) -> list[StudyRow]:
    """Return the studies that have experiments to announce now, by priority, then age."""
    study, experiment = tables.study.c, tables.experiment.c
    some = exists(experiment.id).where(experiment.study == study.id, experiment.status == Status.PENDING, is_due())
    return sorted(_rows(connection, study.paused_at.is_(None), some), key=lambda row: -row.priority)


def every(connection: Connection) -> list[StudyRow]:
    """Return all studies that are not archived, the oldest first."""
    return _rows(connection, tables.study.c.archived_at.is_(None))


def owner(connection: Connection, experiment: int) -> str | None:
    """Return the name of the study that has an experiment. Returns None if no study has it."""
    some = select(tables.experiment.c.study).where(tables.experiment.c.id == experiment)
    return next((row.name for row in _rows(connection, tables.study.c.id.in_(some))), None)


def _rows(connection: Connection, *conditions: ColumnElement[bool]) -> list[StudyRow]:
    query = select(*COLUMNS).where(tables.study.c.deleted_at.is_(None), *conditions).order_by(tables.study.c.id)
    return [StudyRow(*row) for row in connection.execute(query)]


def among(connection: Connection, condition: ColumnElement[bool]) -> list[StudyRow]:
    """Return the studies of the chosen experiments, the oldest first."""
    ids = connection.execute(select(tables.experiment.c.study).where(condition).distinct()).scalars().all()
    return rows(connection, ids)


def names_by_experiment(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    """Return the name of the study of each experiment that exists, by its id."""
    columns, study = tables.experiment.c, tables.study.c
    query = select(columns.id, study.name).join_from(tables.experiment, tables.study, study.id == columns.study)
    return {row[0]: row[1] for row in connection.execute(query.where(expressions.among(columns.id, ids)))}


def value_names(studies: Iterable[StudyRow]) -> tuple[list[str], list[str]]:
    """Return the names of the parameters and of the results that some studies have, in order."""
    parameters, results = dict[str, None](), dict[str, None]()
    for study in studies:
        parameters |= dict.fromkeys(study.parameters)
        results |= dict.fromkeys(study.results)
    return [*parameters], [*results]


def of(connection: Connection, condition: ColumnElement[bool], name: str | None) -> StudyRow:
    """Return the study *name*, or the one of the chosen experiments. Raises SelectorError if they have several."""
    if name is not None:
        return find(connection, name)
    found = among(connection, condition)
    if len(found) != 1:
        names = listed([study.name for study in found], 5)
        raise SelectorError(f"found experiments of {f'the studies {names}' if found else 'no study'}, expected of one")
    return found[0]


def current(connection: Connection, study: StudyRow) -> tuple[dict[str, Json], str | None]:
    """Return the settings of a study's present revision, and the digest of the snapshot that it runs."""
    columns = tables.revision.c
    query = select(columns.settings, columns.source).where(columns.study == study.id, columns.number == study.revision)
    row = connection.execute(query).one()
    return dict(row[0]), row[1]


def present_code(connection: Connection, study: StudyRow) -> PresentCode:
    """Return the code of a study's present revision."""
    columns = tables.revision.c
    query = select(columns.source, columns.grid["source"]).where(
        columns.study == study.id, columns.number == study.revision
    )
    digest, source = connection.execute(query).one()
    include = source.get("include") or [] if isinstance(source, Mapping) else []
    return PresentCode(digest, tuple([include] if isinstance(include, str) else include))


def addresses(connection: Connection, study: StudyRow) -> list[str]:
    """Return the addresses that a study's present revision notifies."""
    columns = tables.revision.c
    query = select(columns.notify).where(columns.study == study.id, columns.number == study.revision)
    return list(connection.execute(query).scalar_one())


def find(connection: Connection, name: str, lock: bool = False) -> StudyRow:
    """
    Return a study, locked if asked for. Raises UnknownStudyError, which names similar studies, if there is none.

    Raises SelectorError for a pattern, since one study is needed here.
    """
    if is_pattern(name):
        known = [row.name for row in matching(connection, [name])]
        raise SelectorError(f"found the pattern {name!r}, expected the name of one study: {listed(known, 5)}")
    found = find_if_any(connection, name, lock)
    if found is None:
        raise UnknownStudyError(name, names(connection))
    return found


def find_if_any(connection: Connection, name: str, lock: bool = False) -> StudyRow | None:
    """Return a study, locked if asked for. Returns None if there is none of this name."""
    query = select(*COLUMNS).where(tables.study.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else StudyRow(*row)


def described(grid: Json, settings: Mapping[str, Json]) -> dict[str, Json]:
    """Return the entries of a grid, each parameter and setting by itself."""
    flat = {key: value for key, value in grid.items() if key not in ("parameters", "settings", "study", "function")}
    flat |= {f"parameters.{name}": value for name, value in (grid.get("parameters") or {}).items()}
    return flat | {f"settings.{name}": value for name, value in settings.items()}
