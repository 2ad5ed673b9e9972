"""The done experiments whose settings, function or imported code differ from the newest revision of their study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, func, or_, select, true

from qexp.model import Imports, Origin, Status, to_text
from qexp.store.connection import Connection
from qexp.store.reads import imports_and_environments, revisions, snapshots
from qexp.store.reads.revisions import RevisionView
from qexp.store.reads.staleness_model import Outdated, Staleness, differences
from qexp.store.reads.study_rows import StudyRow
from qexp.store.schema import tables
from qexp.store.schema.expressions import is_last_attempt


@dataclass(frozen=True)
class _Group:
    """Done experiments of one revision, with the same snapshot and imports if *has_code*."""

    revision: int
    count: int
    source: str | None = None
    imported: UUID | None = None
    has_code: bool = False
    """Whether *source* and *imported* were read."""


def of(connection: Connection, study: StudyRow) -> Staleness:
    """Return how the done experiments of a study differ from its newest revision in the database."""
    judged = _judged(connection, study)
    done = sum(group.count for group, _ in judged)
    stale = _merged(reasons for _, reasons in judged if reasons is not None)
    return Staleness(study.name, study.revision, done, tuple(stale))


def condition(connection: Connection, studies: Iterable[StudyRow]) -> ColumnElement[bool]:
    """Return the condition that an experiment is stale; false, not null, for experiments that never ran."""
    columns = tables.experiment.c
    found = [
        and_(columns.study == study.id, columns.revision == number, _imported(groups))
        for study in studies
        for number, groups in _by_number(_judged(connection, study))
    ]
    return and_(_is_done(), func.coalesce(or_(*found), False)) if found else false()


def _is_done() -> ColumnElement[bool]:
    """Say whether an experiment is done and belongs to the newest grid or was added by code."""
    columns = tables.experiment.c
    return and_(columns.status == Status.DONE, columns.origin != Origin.ORPHANED)


def ids(connection: Connection, study: StudyRow) -> list[int]:
    """Return the ids of the stale experiments of a study."""
    columns = tables.experiment.c
    query = select(columns.id).where(columns.study == study.id, condition(connection, [study]))
    return list(connection.scalars(query))


def _by_number(judged: Iterable[tuple[_Group, Outdated | None]]) -> Iterator[tuple[int, list[_Group] | None]]:
    """Yield the revisions that have stale experiments, each with its stale groups; None: all of its groups are."""
    found: dict[int, list[tuple[_Group, Outdated | None]]] = {}
    for group, reasons in judged:
        found.setdefault(group.revision, []).append((group, reasons))
    for number, groups in found.items():
        stale = [group for group, reasons in groups if reasons is not None]
        if stale:
            yield number, None if len(stale) == len(groups) else stale


def _imported(groups: list[_Group] | None) -> ColumnElement[bool]:
    """Say whether the last attempt of an experiment imported the same as one of these groups; None: any."""
    if groups is None:
        return true()
    past = tables.attempt.alias()  # the query that gets this condition may read attempts too
    known = [group.imported for group in groups if group.imported is not None]
    same = [past.c.imported.in_(known)] if known else []
    if len(known) < len(groups):
        same.append(past.c.imported.is_(None))
    last = select(past.c.experiment).where(is_last_attempt(past), or_(*same))
    return last.correlate(tables.experiment).exists()


def _judged(connection: Connection, study: StudyRow) -> list[tuple[_Group, Outdated | None]]:
    """Return the done experiments of a study in groups, each with the reasons why it is stale; None: it is not."""
    known = revisions.revisions(connection, study.id)
    if len(known) < 2:
        return [(group, None) for group in _by_revision(connection, study, list(known))]
    newest = known[study.revision]
    alike = [number for number, one in known.items() if one.source == newest.source]
    others = [number for number in known if number not in alike]
    groups = [*_by_revision(connection, study, alike), *_by_code(connection, study, others)]
    code = _ComparedSnapshots(connection, newest.source, groups)
    return [(group, _outdated(group, known[group.revision], newest, code)) for group in groups]


def _by_revision(connection: Connection, study: StudyRow, numbers: Sequence[int]) -> list[_Group]:
    """Count done experiments of revisions whose code is the newest one's: their attempts need not be read."""
    columns = tables.experiment.c
    query = (
        select(columns.revision, func.count())
        .where(columns.study == study.id, _is_done(), columns.revision.in_(numbers))
        .group_by(columns.revision)
        .order_by(columns.revision)
    )
    return [_Group(*row) for row in connection.execute(query)]


def _by_code(connection: Connection, study: StudyRow, numbers: Sequence[int]) -> list[_Group]:
    """Count done experiments of other revisions by the code that their attempts ran and imported."""
    if not numbers:
        return []
    columns, past = tables.experiment.c, tables.attempt.c
    query = (
        select(columns.revision, func.count(), past.source, past.imported)
        .join_from(tables.experiment, tables.attempt, is_last_attempt())
        .where(columns.study == study.id, _is_done(), columns.revision.in_(numbers))
        .group_by(columns.revision, past.source, past.imported)
        .order_by(columns.revision)
    )
    return [_Group(row[0], row[1], row[2], row[3], has_code=True) for row in connection.execute(query)]


def _outdated(group: _Group, own: RevisionView, newest: RevisionView, code: _ComparedSnapshots) -> Outdated | None:
    """Return why a group is stale; None: it is not."""
    settings = differences(own.settings, newest.settings)
    function = None if own.function == newest.function else (own.function, newest.function)
    files = code.changed(group) if group.has_code else ()
    moved = group.has_code and (group.source is None) != (newest.source is None)
    if not (settings or function or files or moved):
        return None
    if moved and function is None:
        function = _placed(own), _placed(newest)
    return Outdated(group.revision, group.count, settings, function, files, bool(files) and not code.is_known(group))


def _placed(revision: RevisionView) -> str:
    return f"{revision.function} ({'installed' if revision.source is None else 'snapshot'})"


class _ComparedSnapshots:
    """The contents of the snapshots of a study's groups, compared with the newest one's."""

    def __init__(self, connection: Connection, newest: str | None, groups: Iterable[_Group]) -> None:
        with_code = [group for group in groups if group.source is not None and newest is not None]
        digests = {str(group.source) for group in with_code}
        self._marks = snapshots.marks(connection, {*digests, str(newest)}) if with_code else {}
        self._newest = self._marks.get(str(newest), {})
        known = {group.imported for group in with_code if group.imported is not None}
        self._imports = imports_and_environments.lists(connection, sorted(known))

    def is_known(self, group: _Group) -> bool:
        """Say whether the imports of a group are known."""
        return group.imported in self._imports

    def changed(self, group: _Group) -> tuple[str, ...]:
        """Return the imported files of a group whose content differs in the newest snapshot, or that are gone."""
        own = self._marks.get(str(group.source))
        if own is None:
            return ()
        every = Imports(tuple(name for name in own if name.endswith(".py")), ())
        known = every if group.imported is None else self._imports.get(group.imported, every)
        names = [*known.files, *_instead(known.files, known.packages)]
        return tuple(sorted(name for name in names if own.get(name) != self._newest.get(name)))


def _instead(files: Iterable[str], packages: Iterable[str]) -> Iterator[str]:
    """Yield the files that would be imported instead of some files and packages, if a snapshot had them."""
    for name in map(PurePosixPath, files):
        if name.suffix == ".py" and name.name != "__init__.py":
            yield f"{name.with_suffix('')}/__init__.py"
    for package in packages:
        yield from (f"{package}.py", f"{package}/__init__.py")


def _merged(found: Iterable[Outdated]) -> list[Outdated]:
    """Return groups of a revision with the same reasons as one."""
    merged: dict[str, Outdated] = {}
    for one in found:
        key = to_text([one.revision, dict(one.settings), one.function, one.files, one.guessed])
        known = merged.get(key)
        merged[key] = one if known is None else replace(known, count=known.count + one.count)
    return sorted(merged.values(), key=lambda one: (one.revision, -one.count))
