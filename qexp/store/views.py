"""A view per study with one typed column per parameter and per result: `SELECT * FROM study_digits`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import psycopg
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from qexp.store.connect import Raw

log = logging.getLogger(__name__)

_FACTS = ("status", "attempt", "failure", "host", "started_at", "finished_at", "seconds")
_VIEW = SQL("CREATE VIEW {} AS SELECT {} FROM experiment e LEFT JOIN worker w ON w.id = e.worker WHERE e.study = {}")
_SAMPLE = 1_000
_WIDEST = 1_000
"""Columns of a view, of 1,664 that Postgres allows; results beyond them are in `experiment.result`."""
_LONGEST_NAME = 63
"""Bytes of an identifier in Postgres; longer names of parameters have no column of their own."""


def refresh(raw: Raw, study: int) -> None:
    """
    Write the view of a study anew, from the parameters and results it has now.

    The view is a convenience: where it cannot be written (another view of the user's builds on it, or the role may not
    make views) the old one stays and a warning is logged.
    """
    try:
        with raw.transaction():
            name, parameters, results = _locked(raw, study)
            view = Identifier(f"study_{name}")
            columns = SQL(", ").join(_columns(raw, study, parameters, results))
            raw.execute(SQL("DROP VIEW IF EXISTS {}").format(view))
            raw.execute(_VIEW.format(view, columns, Literal(study)))
    except (psycopg.errors.DependentObjectsStillExist, psycopg.errors.InsufficientPrivilege) as error:
        log.warning("the view of study %s stays as it was: %s", study, error.diag.message_primary)


def _locked(raw: Raw, study: int) -> tuple[str, list[str], list[str]]:
    row = raw.execute("SELECT name, parameters, results FROM study WHERE id = %s FOR UPDATE", [study]).fetchone()
    assert row is not None, f"study {study} is gone"  # noqa: S101 - studies are never deleted
    return row[0], row[1], row[2]


def _columns(raw: Raw, study: int, parameters: Sequence[str], results: Sequence[str]) -> list[Composable]:
    taken = {"id", *_FACTS}
    columns: list[Composable] = [SQL("e.id"), SQL("e.status")]
    for source, names, clashes in (("params", parameters, taken), ("result", results, taken | set(parameters))):
        types = _types(raw, study, source)
        prefix = "param." if source == "params" else "result."
        for name in names:
            column = prefix + name if name in clashes else name
            if name and len(column.encode()) <= _LONGEST_NAME and len(columns) < _WIDEST:
                columns.append(_typed(source, name, types.get(name, "jsonb"), column))
    rest = "e.attempt, e.failure, w.host, e.started_at, e.finished_at, "
    rest += "extract(epoch FROM e.finished_at - e.started_at)::float8 AS seconds"
    return [*columns, SQL(rest)]


def _types(raw: Raw, study: int, source: str) -> dict[str, str]:
    """Return a Postgres type for each name, after the JSON values that the newest experiments have."""
    rows = raw.execute(
        SQL(
            "SELECT key, array_agg(DISTINCT jsonb_typeof(value)), "
            "       bool_and(CASE jsonb_typeof(value) WHEN 'number' THEN value::text !~ '[.eE]' END) "
            "FROM   (SELECT {column} AS data FROM experiment WHERE study = {study} AND {column} IS NOT NULL "
            "        ORDER BY id DESC LIMIT {sample}) AS newest, jsonb_each(data) "
            "WHERE  jsonb_typeof(value) <> 'null' "
            "       AND NOT (jsonb_typeof(value) = 'string' AND value #>> '{{}}' IN ('NaN', 'Infinity', '-Infinity')) "
            "GROUP  BY key"
        ).format(column=Identifier(source), study=Literal(study), sample=Literal(_SAMPLE))
    )
    return {name: _type(kinds, whole) for name, kinds, whole in rows}


def _type(kinds: list[str], whole: bool | None) -> str:
    if kinds == ["number"]:
        return "numeric" if whole else "float8"
    return {"string": "text", "boolean": "boolean"}.get(kinds[0], "jsonb") if len(kinds) == 1 else "jsonb"


def _typed(source: str, name: str, kind: str, column: str) -> Composed:
    """Return one column: values of another type than the usual one are NULL rather than an error of every query."""
    value = SQL("e.{}->{}").format(Identifier(source), Literal(name))
    string = SQL("e.{}->>{}").format(Identifier(source), Literal(name))
    expressions = {
        "jsonb": SQL("({value})"),
        "text": SQL("({string})"),
        "boolean": SQL("CASE jsonb_typeof({value}) WHEN 'boolean' THEN ({value})::boolean END"),
        "float8": SQL(_NUMBER.format(kind="float8")),
        "numeric": SQL(_NUMBER.format(kind="numeric")),
    }
    return SQL("{} AS {}").format(expressions[kind].format(value=value, string=string), Identifier(column))


_NUMBER = (
    "CASE WHEN jsonb_typeof({{value}}) = 'number' OR {{string}} IN ('NaN', 'Infinity', '-Infinity') "
    "THEN ({{string}})::{kind} END"
)
