"""A view per study with one typed column per parameter and per result: `SELECT * FROM study_digits`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

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

_STALE = SQL("""
    SELECT s.id FROM study s LEFT JOIN pg_class v ON v.oid = to_regclass(quote_ident('study_' || s.name))
    WHERE  current_setting('transaction_read_only') = 'off'
           AND CASE WHEN v.oid IS NULL THEN has_schema_privilege(current_schema(), 'CREATE')
                    ELSE v.relkind = 'v' AND pg_has_role(v.relowner, 'USAGE') END
           AND obj_description(v.oid, 'pg_class') IS DISTINCT FROM
               format({}, cardinality(s.parameters), cardinality(s.results))
           AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
                           WHERE d.refobjid = v.oid AND r.ev_class <> v.oid)
    ORDER  BY s.id
""")
_STATE = "one row per experiment, with columns of %s parameters and %s results"
"""The comment of a view, by which one is known that lacks the newest names: a study's names only become more."""
_PATIENCE = "100ms"
"""How long a view is waited for that somebody reads."""


def refresh(raw: Raw, study: int) -> None:
    """
    Write the view of a study again, from the parameters and results it has now.

    The view is a convenience: where it cannot be written the old one stays, as nobody should wait for it. Somebody may
    be reading it, in a transaction that lasts; another view of the user's may build on it; or the role, as that of a
    worker, may not make views. Then `stale` lists it.
    """
    with raw.transaction():
        query = "SELECT name, parameters, results FROM study WHERE id = %s FOR NO KEY UPDATE SKIP LOCKED"
        if (row := raw.execute(query, [study]).fetchone()) is not None:  # else who is at it, or the next one, does so
            _write(raw, study, *row)


def stale(raw: Raw) -> list[int]:
    """Return the studies whose views lack the newest names, and may be written by this role."""
    return [study for (study,) in raw.execute(_STALE.format(Literal(_STATE)))]


def _write(raw: Raw, study: int, name: str, parameters: list[str], results: list[str]) -> None:
    view = Identifier(f"study_{name}")
    try:
        with raw.transaction():
            raw.execute(SQL("SET LOCAL lock_timeout = {}").format(Literal(_PATIENCE)))
            columns = SQL(", ").join(_columns(raw, study, parameters, results))
            raw.execute(SQL("DROP VIEW IF EXISTS {}").format(view))
            raw.execute(_VIEW.format(view, columns, Literal(study)))
            state = Literal(_STATE % (len(parameters), len(results)))
            raw.execute(SQL("COMMENT ON VIEW {} IS {}").format(view, state))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable) as error:
        log.info("the view of study %s is written later: %s", name, error.diag.message_primary)
    except (psycopg.errors.DependentObjectsStillExist, psycopg.errors.WrongObjectType) as error:
        log.warning("the view of study %s stays as it was: %s", name, error.diag.message_primary)


def _columns(raw: Raw, study: int, parameters: Sequence[str], results: Sequence[str]) -> list[Composable]:
    taken = {"id", *_FACTS}
    columns: list[Composable] = [SQL("e.id"), SQL("e.status")]
    for source, names, prefix in (("params", parameters, "param."), ("result", results, "result.")):
        types = _types(raw, study, source)
        for name in names:
            column = _free(name, prefix, taken)
            if column and len(column.encode()) <= _LONGEST_NAME and len(columns) < _WIDEST:
                taken.add(column)
                columns.append(_typed(source, name, types.get(name, "jsonb"), column))
    rest = "e.attempt, e.failure, w.host, e.started_at, e.finished_at, "
    rest += "extract(epoch FROM e.finished_at - e.started_at)::float8 AS seconds"
    return [*columns, SQL(rest)]


def _free(name: str, prefix: str, taken: AbstractSet[str]) -> str:
    """Return the name of a column that no other one has: with a prefix, or several, where the plain one is taken."""
    column = name
    while column in taken:
        column = prefix + column
    return column


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
        "float8": SQL(_NUMBER.format(kind="float8", number=_FLOAT8)),
        "numeric": SQL(_NUMBER.format(kind="numeric", number="({string})::numeric")),
    }
    return SQL("{} AS {}").format(expressions[kind].format(value=value, string=string), Identifier(column))


_NUMBER = (
    "CASE WHEN {{string}} IN ('NaN', 'Infinity', '-Infinity') THEN ({{string}})::{kind} "
    "WHEN jsonb_typeof({{value}}) = 'number' THEN {number} END"
)
_FLOAT8 = "CASE WHEN abs(({value})::numeric) < 1.7976931348623158e308 THEN ({string})::float8 END"
"""A whole number may be larger than any float; to cast it would be an error of every query."""
