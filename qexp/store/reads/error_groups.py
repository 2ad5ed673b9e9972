"""Failed experiments in groups of equal errors, with the messages of each group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, Select, case, cast, func, select
from sqlalchemy.dialects.postgresql import array

from qexp.model import Status
from qexp.store.connection import Connection
from qexp.store.reads import experiment_texts
from qexp.store.schema import tables
from qexp.store.schema.expressions import among, is_last_attempt

_READ = 20_000
"""The most attempts whose messages are compared. Of larger selections, each group has an equal share of them."""
_OTHERS = 2
_SHOWN = 2_000
"""The most characters of another message."""
_COMPARED = 8_000
"""Bytes of a message that is compared as a whole."""


@dataclass(frozen=True)
class ErrorGroup:
    """Failed experiments that failed at the same place in the same way."""

    fingerprint: str
    count: int
    ids: list[int]
    failure: str
    error_type: str
    error_message: str
    """The newest message."""
    error_frame: str | None
    studies: tuple[str, ...] = ()
    """The names of its studies."""
    messages: int | None = 1
    """The number of different messages; None if they are too many or too long to compare."""
    other_messages: tuple[str, ...] = ()
    """Up to two other messages, of at most 2,000 characters each."""

    def __repr__(self) -> str:
        return experiment_texts.error_text(self)


def error_groups(connection: Connection, condition: ColumnElement[bool]) -> list[ErrorGroup]:
    """Group the chosen experiments that failed by error, the largest group first; each shows its latest error."""
    columns, last = tables.experiment.c, tables.attempt.c
    parts = defaultdict[str, list[Row[Any]]](list)
    for part in connection.execute(_parts(condition)):
        parts[part.fingerprint].append(part)
    newest = {mark: max(part.newest for part in group)[1] for mark, group in parts.items()}
    # only these attempts are read, since each message may have 64 KB
    errors = (
        select(columns.id, columns.failure, last.error_type, last.error_message, last.error_frame)
        .join_from(tables.experiment, tables.attempt, is_last_attempt())
        .where(among(columns.id, newest.values()))
    )
    found = {row[0]: row[1:] for row in connection.execute(errors)}
    made = []
    for fingerprint, group in parts.items():
        ids = sorted(chain.from_iterable(part.ids for part in group))
        studies = tuple(sorted({part.name for part in group}))
        made.append(ErrorGroup(fingerprint, len(ids), ids, *found[newest[fingerprint]], studies))
    return sorted(made, key=lambda group: (-group.count, group.ids[0]))


def _parts(condition: ColumnElement[bool]) -> Select[Any]:
    """Select the failed ones of the chosen experiments by error and study, with the moment and the id of the newest."""
    columns = tables.experiment.c
    # an aggregate with an order would sort all rows
    moment = cast(func.extract("epoch", columns.finished_at) * 1_000_000, BigInteger)
    part = (
        select(
            columns.error_fingerprint.label("fingerprint"),
            columns.study,
            func.array_agg(columns.id).label("ids"),
            func.max(array([moment, columns.id])).label("newest"),
        )
        .where(condition, columns.status == Status.FAILED)
        .where(columns.error_fingerprint.is_not(None))  # each failure has one, and it is indexed
        .group_by(columns.error_fingerprint, columns.study)
        .subquery()
    )
    return select(part, tables.study.c.name).join(tables.study, tables.study.c.id == part.c.study)


def with_messages(connection: Connection, groups: Sequence[ErrorGroup]) -> list[ErrorGroup]:
    """Return groups with the number of their messages, and with some that differ from the newest."""
    whole = sum(group.count for group in groups) <= _READ
    share = max(1, _READ // max(1, len(groups)))
    read = [group.ids if whole else group.ids[-share:] for group in groups]
    messages = _messages(connection, [id_ for ids in read for id_ in ids])
    made = []
    for group, ids in zip(groups, read, strict=True):
        number, examples = messages[group.fingerprint]
        others = [text for text in examples if text != (group.error_message or "")[:_SHOWN]]
        if group.count == 1:
            number = 1
        elif len(ids) < group.count:
            number = None
        made.append(replace(group, messages=number, other_messages=tuple(others[:_OTHERS])))
    return made


def _messages(connection: Connection, ids: Sequence[int]) -> dict[str, tuple[int | None, list[str]]]:
    """
    Return the number of different messages of each group of experiments, and the beginnings of some.

    The number is None if long messages were not compared to their ends: Postgres would decompress each of them.
    """
    columns, last = tables.experiment.c, tables.attempt.c
    is_long = func.octet_length(last.error_message) > _COMPARED
    beginning = case((is_long, func.left(last.error_message, _SHOWN)), else_=last.error_message)
    different = (
        select(columns.error_fingerprint, func.max(columns.id).label("id"), func.bool_or(is_long).label("is_long"))
        .join_from(tables.experiment, tables.attempt, is_last_attempt())
        .where(among(columns.id, ids), among(last.experiment, ids))  # both, so that indexes serve both tables
        .group_by(columns.error_fingerprint, beginning)
        .subquery()
        .c
    )
    group = different.error_fingerprint
    ranked = select(
        different.id,
        group.label("fingerprint"),
        func.count().over(partition_by=group).label("number"),
        func.bool_or(different.is_long).over(partition_by=group).label("is_long"),
        func.row_number().over(partition_by=group, order_by=different.id.desc()).label("place"),
    ).subquery()
    some = select(ranked).where(ranked.c.place <= _OTHERS + 1)
    rows = connection.execute(some.order_by(ranked.c.place)).all()
    texts = (
        select(columns.id, func.left(last.error_message, _SHOWN))
        .join_from(tables.experiment, tables.attempt, is_last_attempt())
        .where(among(columns.id, [row.id for row in rows]))
    )
    text = {row[0]: row[1] or "" for row in connection.execute(texts)}
    found: dict[str, tuple[int | None, list[str]]] = {}
    for row in rows:
        found.setdefault(row.fingerprint, (None if row.is_long else row.number, []))[1].append(text[row.id])
    return found
