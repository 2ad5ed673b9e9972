"""The order of experiments: sort keys in SQL, missing values last, equal ones by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Subquery, select

from qexp.store.schema import tables
from qexp.store.schema.expressions import LARGEST_ID


@dataclass(frozen=True)
class OrderTerm:
    """An expression over `experiment`, its `study` and its `worker` by which experiments are sorted; nulls are last."""

    value: ColumnElement[Any]
    descending: bool = False

    def sorts(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the ORDER BY of this term for its value, which a subquery may have computed."""
        found = value.desc() if self.descending else value.asc()
        return found if self.value is tables.experiment.c.id else found.nulls_last()  # the index has nulls first


@dataclass(frozen=True)
class ChosenRows:
    """The ids of the first experiments in an order, as a subquery, and the ORDER BY for queries that join it."""

    rows: Subquery
    order_by: Sequence[ColumnElement[Any]]

    @property
    def is_chosen(self) -> ColumnElement[bool]:
        """The condition that joins `experiment` with the ids."""
        return self.rows.c.id == tables.experiment.c.id


def chosen(condition: ColumnElement[bool], order: Sequence[OrderTerm], limit: int | None) -> ChosenRows:
    """
    Return the first experiments that match, by these terms and then by id.

    The subquery reads only the columns of the condition and the terms, so Postgres keeps just *limit* short rows. It
    removes a join that no term needs.
    """
    id_ = tables.experiment.c.id
    terms = {f"term_{number}": term for number, term in enumerate(order)}
    query = (
        select(id_, *(term.value.label(label) for label, term in terms.items()))
        .select_from(
            tables.experiment.outerjoin(tables.study, tables.study.c.id == tables.experiment.c.study).outerjoin(
                tables.worker, tables.worker.c.id == tables.experiment.c.worker
            )
        )
        .where(condition)
        .order_by(*(term.sorts(term.value) for term in order), id_)
        .limit(None if limit is None else min(limit, LARGEST_ID))
    )
    rows = query.subquery("chosen")
    return ChosenRows(rows, [*(term.sorts(rows.c[label]) for label, term in terms.items()), rows.c.id])
