"""Selectors, the grammar that names experiments in each command, and their conditions in SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Interval,
    and_,
    cast,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
)

from qexp.errors import SelectorError, UnknownExperimentError
from qexp.model import Origin, Status, storable_text
from qexp.store.connection import Connection
from qexp.store.reads import staleness, study_rows
from qexp.store.schema import tables
from qexp.store.schema.expressions import LARGEST_ID, among, like
from qexp.store.selection import where_parser
from qexp.store.selection.where_sql import predicate
from qexp.study_names import STUDY_NAME, proposed
from qexp.units import seconds

Range = tuple[int, int]
"""First and last id, both included."""

_IDS = re.compile(r"[0-9]+(-[0-9]+)?")
_PATTERN = re.compile(r"[a-z0-9_*?]+")
_GROUP = re.compile(r"[0-9a-f]{4,}")
_BIGINTS = ARRAY(BigInteger)
_SHORT = 1_000
"""The most ids of a range that is looked up id by id, in one array with all others."""


@dataclass(frozen=True)
class Selection:
    """Conditions on experiments by study, ids, status, error group and so on: all must hold, none chooses all."""

    study: str | None = None
    ids: tuple[Range, ...] = ()
    statuses: tuple[Status, ...] = ()
    error: str | None = None
    orphaned: bool = False
    where: where_parser.Condition | None = None
    since: timedelta | datetime | None = None
    """A time before now, or a moment; without an offset it is in the time zone of the database."""
    host: str | None = None
    """The host of the last attempt; `*` stands for any characters, `?` for one."""
    current: bool = False
    """Without the experiments that the newest grid leaves out; the opposite of *orphaned*."""
    stale: bool | None = None
    """True: only stale experiments, see `reads.staleness`; False: all others, also those that are not done."""
    studies: tuple[str, ...] = ()
    """Names and patterns of studies, if a pattern or several were given; `study` is None then."""

    @property
    def is_narrow(self) -> bool:
        """Say whether more than studies was given."""
        return self != Selection(self.study, studies=self.studies)

    @property
    def names_some(self) -> bool:
        """Say whether studies or ids were given; otherwise all studies are meant but for the archived ones."""
        return bool(self.study or self.studies or self.ids)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names and patterns of studies that were given."""
        return self.studies if self.study is None else (self.study,)


def parse(
    targets: Sequence[str],
    statuses: Sequence[str] = (),
    failed: bool = False,
    error: str | None = None,
    orphaned: bool = False,
    where: str | None = None,
    since: str | None = None,
    host: str | None = None,
    stale: bool | None = None,
    current: bool = False,
) -> Selection:
    """
    Read a selection as a person writes it: studies, ids and ranges, statuses, an error group, a condition and so on.

    >>> parse(["17,19-23"]).ids
    ((17, 17), (19, 23))
    >>> parse(["lenet*,resnet"]).studies
    ('lenet*', 'resnet')
    """
    studies: list[str] = []
    ids: list[Range] = []
    for part in (part for target in targets for part in target.split(",")):
        if _IDS.fullmatch(part):
            ids.append(_range(part))
        elif STUDY_NAME.fullmatch(part) or (study_rows.is_pattern(part) and _PATTERN.fullmatch(part)):
            studies.append(part)
        else:
            expected = "a study's name or ids such as 17,19-23, or a pattern such as 'lenet*'"
            hint = proposed(part) if any(map(str.isalpha, part)) else ""
            raise SelectorError(f"found {part!r}, expected {expected}{hint}")
    if error is not None and not _GROUP.fullmatch(error):
        raise SelectorError(
            f"--error: found {error!r}, expected a group such as a1b2c3; 'qexp errors STUDY' shows them"
        )
    if orphaned and current:
        raise SelectorError("found --orphaned and --current, expected one of them: no experiment is both")
    chosen = [_status(status) for given in statuses for status in given.split(",")] + [Status.FAILED] * failed
    if host is not None and (not host or storable_text(host) != host):
        raise SelectorError(f"--host: found {host!r}, expected a host's name, or several by a pattern such as 'node*'")
    named = list(dict.fromkeys(studies))
    alone = named[0] if len(named) == 1 and not study_rows.is_pattern(named[0]) else None
    return Selection(
        alone,
        tuple(ids),
        tuple(dict.fromkeys(chosen)),
        error,
        orphaned,
        None if where is None else where_parser.parse(where),
        None if since is None else _since(since),
        host,
        current,
        stale,
        () if alone is not None else tuple(named),
    )


def within(selection: Selection, study: str | Iterable[str]) -> Selection:
    """Return a selection of experiments of these studies only: a name, a pattern such as `lenet*`, or several."""
    if isinstance(study, str) and not study_rows.is_pattern(study) and "," not in study:
        return replace(selection, study=study, studies=())
    given = tuple(dict.fromkeys(study.split(",") if isinstance(study, str) else study))
    if not given:
        raise SelectorError("found no study, expected the name of at least one")
    return replace(selection, study=None, studies=given)


def _range(text: str) -> Range:
    parts = text.split("-")
    for part in parts:
        if len(part.lstrip("0")) > len(str(LARGEST_ID)) or int(part) > LARGEST_ID:
            raise SelectorError(f"found the id {where_parser.shown(part)}, expected one of at most {LARGEST_ID}")
    first, last = int(parts[0]), int(parts[-1])
    if first > last:
        raise SelectorError(f"found the range {text}, expected its first id before its last")
    return first, last


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise SelectorError(f"found the status {text!r}, expected one of {', '.join(Status)}") from None


def _since(text: str) -> timedelta | datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        pass  # it is a time span, then
    moment = "a date and time such as 2026-01-31T17:05"
    if ":" in text:  # 17:05:00 is a span in a grid, as in Slurm; here it may be a time of day
        raise SelectorError(f"--since: found {text!r}, expected a time span such as 17h5m, or {moment}")
    try:
        return timedelta(seconds=seconds(text))
    except ValueError as error:
        raise SelectorError(f"--since: found {text!r}, {error}, or {moment}") from None


def require_narrow(selection: Selection) -> None:
    """Raise SelectorError unless more than a study was given: nobody should run a whole study again by accident."""
    if not selection.is_narrow:
        options = "--failed, --status STATUS, --error GROUP, --orphaned, --stale, --where CONDITION, --since TIME"
        raise SelectorError(f"name the experiments: {options}, --host NAME or ids such as 17,19-23")


def require_group(selection: Selection) -> None:
    """Raise SelectorError unless an error group or ids were given: others are not accepted by accident."""
    if selection.error is None and not selection.ids:
        raise SelectorError(
            "name the experiments: --error GROUP, as 'qexp errors STUDY' shows it, or ids such as 17,19-23"
        )


def where(connection: Connection, selection: Selection) -> ColumnElement[bool]:
    """Return the selection as a condition on `experiment`; an unknown study, id or name raises."""
    columns = tables.experiment.c
    known = studies(connection, selection)
    named = _of_all(archived=bool(selection.ids)) if known is None else _of_studies(known)
    if selection.ids:
        _check_ids(connection, selection, named)
        named = and_(named, _of_ids(selection.ids))
    chosen: list[ColumnElement[bool]] = [named]
    if selection.statuses:
        chosen.append(columns.status.in_(selection.statuses))
    if selection.error is not None:
        chosen.append(columns.error_fingerprint.startswith(selection.error, autoescape=True))
    if selection.orphaned:
        chosen.append(columns.origin == Origin.ORPHANED)
    if selection.current:
        chosen.append(columns.origin != Origin.ORPHANED)
    if selection.since is not None:
        moment = func.coalesce(columns.finished_at, columns.started_at, columns.created_at)
        chosen.append(moment >= _moment(selection.since))
    if selection.host is not None:
        places = tables.worker.alias().c  # the query that gets this condition may read workers too
        chosen.append(columns.worker.in_(select(places.id).where(places.host.like(like(selection.host)))))
    if selection.where is not None or selection.stale is not None:
        if known is None:
            known = study_rows.among(connection, named) if selection.ids else study_rows.every(connection)
        if selection.stale is not None:
            stale = staleness.condition(connection, known)
            chosen.append(stale if selection.stale else not_(stale))
        if selection.where is not None:
            chosen.append(predicate(selection.where, known))
    return and_(*chosen)


def studies(connection: Connection, selection: Selection) -> list[study_rows.StudyRow] | None:
    """Return the studies that a selection names, the oldest first. Returns None if it names none."""
    if selection.studies:
        return study_rows.matching(connection, selection.studies)
    return None if selection.study is None else [study_rows.find(connection, selection.study)]


def _of_all(archived: bool) -> ColumnElement[bool]:
    """Match the experiments of all studies that are not being deleted, and with *archived* of archived ones too."""
    study = tables.study.c
    hidden = (
        study.deleted_at.is_not(None)
        if archived
        else or_(study.deleted_at.is_not(None), study.archived_at.is_not(None))
    )
    return and_(tables.experiment.c.id > 0, tables.experiment.c.study.not_in(select(study.id).where(hidden)))


def _of_studies(known: Sequence[study_rows.StudyRow]) -> ColumnElement[bool]:
    study = tables.experiment.c.study
    return study == known[0].id if len(known) == 1 else study.in_([row.id for row in known])


def _moment(since: timedelta | datetime) -> ColumnElement[Any]:
    if isinstance(since, timedelta):
        return func.now() - literal(since, Interval)
    return cast(literal(since, DateTime(timezone=since.tzinfo is not None)), DateTime(timezone=True))


def _of_ids(ranges: Sequence[Range]) -> ColumnElement[bool]:
    """Return the condition that an id lies in one of the ranges; all short ranges become one array."""
    columns = tables.experiment.c
    chosen = _merged(ranges)
    short = [number for first, last in chosen if last - first < _SHORT for number in range(first, last + 1)]
    found = [columns.id.between(first, last) for first, last in chosen if last - first >= _SHORT]
    return or_(among(columns.id, short), *found) if short else or_(*found)


def _merged(ranges: Sequence[Range]) -> list[Range]:
    """Return the ranges in order, and join those that touch."""
    merged: list[Range] = []
    for first, last in sorted(map(_bounded, ranges)):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return merged


def _check_ids(connection: Connection, selection: Selection, within: ColumnElement[bool]) -> None:
    """Raise UnknownExperimentError for the first given range that has no experiment."""
    columns = tables.experiment.c
    given = func.unnest(*(literal(ends, _BIGINTS) for ends in zip(*map(_bounded, selection.ids), strict=True)))
    ranges = given.table_valued("first", "last", with_ordinality="place").render_derived()
    known = exists(columns.id).where(within, columns.id.between(ranges.c.first, ranges.c.last))
    query = select(ranges.c.place).where(~known).order_by(ranges.c.place).limit(1)
    if (place := connection.execute(query).scalar()) is not None:
        first, last = selection.ids[place - 1]
        text = str(first) if first == last else f"{first}-{last}"
        newest = connection.execute(select(func.max(columns.id)).where(within)).scalar()
        owner = study_rows.owner(connection, _bounded((first, last))[0]) if first == last else None
        raise UnknownExperimentError(text, selection.targets, newest, owner)


def _bounded(ids: Range) -> Range:
    """Clip a range to the ids that Postgres can hold; a caller may give any number."""
    return max(-LARGEST_ID, min(ids[0], LARGEST_ID)), max(-LARGEST_ID, min(ids[1], LARGEST_ID))
