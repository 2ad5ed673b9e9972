"""Find values of experiments that do not fit the columns of a study's view, and widen its shapes for them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from qexp import jsonb
from qexp.model import Json
from qexp.store.connection import RawConnection
from qexp.store.schema.value_columns import Shape, Source

log = logging.getLogger(__name__)

Shapes = Mapping[Source, Mapping[str, Shape]]
"""The shape of each parameter and result, by name."""

_SOME = 1_000
"""Experiments that one query reads."""
_LATE = timedelta(seconds=5)
"""The most time between the end of an experiment and the commit of its result."""


@dataclass(frozen=True)
class ViewScan:
    """The experiments of a study to scan."""

    sources: Sequence[Source]
    """Scan parameters, results or both; a scan of results alone leaves out experiments without one."""
    since: datetime | None = None
    """Scan only experiments that have ended since this moment."""

    def rows(self, study: int, condition: Composable) -> Composed:
        """Return a query for up to 1,000 of these experiments that meet a condition."""
        columns = SQL("e.params, e.params_exact, e.result, e.result_exact")
        query = SQL("SELECT {} FROM experiment e WHERE e.study = {}").format(columns, Literal(study))
        if "params" not in self.sources:
            query += SQL(" AND e.status IN ('done', 'failed')")
        if self.since is not None:
            query += SQL(" AND e.finished_at > {}").format(Literal(self.since - _LATE))
        return query + SQL(" AND {} LIMIT {}").format(condition, Literal(_SOME))


def widen(raw: RawConnection, study: int, shapes: Shapes, scan: ViewScan) -> None:
    """Add the values of experiments to the shapes until all of them fit."""
    started = any(shape.data() != Shape().data() for source in scan.sources for shape in shapes[source].values())
    condition = _misfit(shapes, scan) if started else SQL("true")
    while rows := raw.execute(scan.rows(study, condition)).fetchall():
        before, given = _data(shapes), _given(rows)
        for source in scan.sources:
            for name, shape in shapes[source].items():
                shape.add(data.get(name) for data in given[source])
                shape.limit()
        if started and _data(shapes) == before:
            log.error("study %d: some values fit no column of its view, which was created for %s", study, before)
            return
        started, condition = True, _misfit(shapes, scan)


def _misfit(shapes: Shapes, scan: ViewScan) -> Composable:
    return SQL("NOT ({})").format(_all(_fits(source, shapes[source]) for source in scan.sources))


def _data(shapes: Shapes) -> Json:
    return {source: {name: shape.data() for name, shape in known.items()} for source, known in shapes.items()}


def _given(rows: Sequence[tuple[Any, ...]]) -> Mapping[Source, list[Mapping[str, Json]]]:
    """Return parameters and results as the user gave them."""
    return {
        "params": [jsonb.restored(params, exact, ()) for params, exact, _, _ in rows],
        "result": [jsonb.restored(jsonb.decoded(result or {}), exact, ()) for _, _, result, exact in rows],
    }


def _all(conditions: Iterable[Composable]) -> Composable:
    return SQL(" AND ").join([SQL("true"), *conditions])


def _fits(source: Source, shapes: Mapping[str, Shape]) -> Composable:
    """Return the condition that all values of an experiment fit the columns and their types."""
    words = source == "result"
    column = SQL("e.{}").format(Identifier(source))
    return _all(_fit(SQL("({} -> {})").format(column, Literal(name)), shape, words) for name, shape in shapes.items())


def _fit(value: Composable, shape: Shape, words: bool) -> Composable:
    """Return the condition that a value fits a shape; with *words* the text NaN is a number."""
    kinds, yes, no = shape.kinds, SQL("true"), SQL("false")
    number = yes if "number" in kinds else SQL("scale({}::numeric) = 0").format(value) if "whole" in kinds else no
    word = SQL("{} IN {}").format(value, _WORDS) if words and kinds & {"nan", "whole", "number"} else no
    answers = {
        "number": number,
        "string": yes if "text" in kinds else word,
        "boolean": yes if "bool" in kinds else no,
        "array": yes if "json" in kinds else no,
        "object": _fit_keys(value, shape, words),
    }
    cases = SQL(" ").join(SQL("WHEN {} THEN {}").format(Literal(kind), answer) for kind, answer in answers.items())
    return SQL("CASE jsonb_typeof({}) {} ELSE true END").format(value, cases)


_WORDS = SQL("""('"NaN"', '"Infinity"', '"-Infinity"')""")


def _fit_keys(value: Composable, shape: Shape, words: bool) -> Composable:
    if shape.wide:
        return SQL("true")
    inside = (_fit(SQL("({} -> {})").format(value, Literal(key)), item, words) for key, item in shape.keys.items())
    known = SQL("{} - {}::text[] = '{{}}'").format(value, Literal(list(shape.keys)))
    if "json" not in shape.kinds:
        known = SQL("{} AND {} <> '{{}}'").format(known, value)
    return SQL("({} AND {})").format(known, _all(inside))
