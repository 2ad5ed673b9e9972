"""The one grammar by which experiments are named, and what it means in SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select

from qexp.errors import SelectorError, UnknownExperimentError
from qexp.model import STUDY_NAME, Origin, Status
from qexp.store import studies, tables
from qexp.store.connect import Connection

Range = tuple[int, int]
"""First and last id, both included."""

_IDS = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")
_GROUP = re.compile(r"[0-9a-f]{4,}")
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Selection:
    """Experiments by study, ids, status, error group or orphaned; what is given must all hold, nothing means all."""

    study: str | None = None
    ids: tuple[Range, ...] = ()
    statuses: tuple[Status, ...] = ()
    error: str | None = None
    orphaned: bool = False

    @property
    def is_narrow(self) -> bool:
        """Say whether more than a study was given."""
        return bool(self.ids or self.statuses or self.error or self.orphaned)


def parse(
    targets: Sequence[str],
    statuses: Sequence[str] = (),
    failed: bool = False,
    error: str | None = None,
    orphaned: bool = False,
) -> Selection:
    """
    Read what a person wrote: a study's name, ids and ranges, statuses, an error group.

    >>> parse(["17,19-23"]).ids
    ((17, 17), (19, 23))
    """
    study: str | None = None
    ids: list[Range] = []
    for target in targets:
        if _IDS.fullmatch(target):
            ids += [_range(part) for part in target.split(",")]
        elif STUDY_NAME.fullmatch(target) and study in (None, target):
            study = target
        elif STUDY_NAME.fullmatch(target):
            raise SelectorError(f"found the studies {study!r} and {target!r}, expected one study, with or without ids")
        else:
            raise SelectorError(f"found {target!r}, expected a study's name or ids such as 17,19-23")
    if error is not None and not _GROUP.fullmatch(error):
        raise SelectorError(
            f"--error: found {error!r}, expected a group such as a1b2c3; 'qexp errors STUDY' shows them"
        )
    chosen = [_status(status) for status in statuses] + [Status.FAILED] * failed
    return Selection(study, tuple(ids), tuple(dict.fromkeys(chosen)), error, orphaned)


def _range(text: str) -> Range:
    first, _, last = text.partition("-")
    bounds = int(first), int(last or first)
    if bounds[0] > bounds[1]:
        raise SelectorError(f"found the range {text}, expected its first id before its last")
    if bounds[1] > _LARGEST:
        raise SelectorError(f"found the id {bounds[1]}, expected one of at most {_LARGEST}")
    return bounds


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise SelectorError(f"found the status {text!r}, expected one of {', '.join(Status)}") from None


def require_narrow(selection: Selection) -> None:
    """Raise SelectorError unless more than a study was given: whole studies are not run again by accident."""
    if not selection.is_narrow:
        raise SelectorError("say which: --failed, --status STATUS, --error GROUP, --orphaned or ids such as 17,19-23")


def where(connection: Connection, selection: Selection) -> ColumnElement[bool]:
    """Return the selection as a condition on `experiment`; an unknown study or id is an error."""
    columns = tables.experiment.c
    conditions: list[ColumnElement[bool]] = [columns.id > 0]
    if selection.study is not None:
        conditions.append(columns.study == studies.find(connection, selection.study).id)
    if selection.ids:
        _check_ids(connection, selection, and_(*conditions))
        conditions.append(or_(*(columns.id.between(first, last) for first, last in selection.ids)))
    if selection.statuses:
        conditions.append(columns.status.in_(selection.statuses))
    if selection.error is not None:
        conditions.append(columns.error_fingerprint.startswith(selection.error, autoescape=True))
    if selection.orphaned:
        conditions.append(columns.origin == Origin.ORPHANED)
    return and_(*conditions)


def _check_ids(connection: Connection, selection: Selection, within: ColumnElement[bool]) -> None:
    columns = tables.experiment.c
    for first, last in selection.ids:
        if (
            connection.execute(select(columns.id).where(within, columns.id.between(first, last)).limit(1)).first()
            is None
        ):
            text = str(first) if first == last else f"{first}-{last}"
            raise UnknownExperimentError(
                text, selection.study, connection.execute(select(func.max(columns.id)).where(within)).scalar()
            )
