"""A view per study with one typed column per parameter and per result: `SELECT * FROM study_digits`."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import LiteralString

import psycopg
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from qexp.store.connection import Database, RawConnection
from qexp.store.connection import raw as raw_of
from qexp.store.schema import view_widening
from qexp.store.schema.value_columns import Column, Shape, Source, columns
from qexp.store.schema.view_widening import Shapes, ViewScan

log = logging.getLogger(__name__)

_QUERY = SQL("SELECT {} FROM experiment e LEFT JOIN worker w ON w.id = e.worker WHERE e.study = {}")
_WIDEST = 1_000
"""Columns of a view; Postgres allows 1,664. Results beyond them are only in `experiment.result`."""
_LONGEST_NAME = 63
"""Bytes of an identifier in Postgres; a value with a longer or an empty name has no column of its own."""

_STATE = "one row per experiment with its revision, columns of {} parameters and {} results that had ended by {}: {}"
"""
The comment of a view, by which `stale` recognizes an outdated view. It has the numbers of names (they only grow),
the end of the last experiment that was scanned, and the shapes of the values. Change its words together with the
columns that all views have: views with other words are written again.
"""
_READ = re.compile(
    r"one row per experiment with its revision, columns of \d+ parameters .* by (-infinity|[\dT:.+-]+): (\{.*)",
    re.DOTALL,
)
_AGAIN = "one row per experiment; to be written again"

_KNOWN = SQL("""
    SELECT s.name, s.parameters, s.results, obj_description(v.oid, 'pg_class'),
           (SELECT max(finished_at) FROM experiment e WHERE e.study = s.id AND e.status IN ('done', 'failed')),
           CASE WHEN v.oid IS NULL THEN has_schema_privilege(current_schema(), 'CREATE')
                ELSE v.relkind <> 'v' OR pg_has_role(v.relowner, 'USAGE') END
    FROM   study s LEFT JOIN pg_class v ON v.oid = to_regclass(quote_ident('study_' || s.name))
    WHERE  s.id = {} AND s.deleted_at IS NULL
""")
_STALE = SQL("""
    SELECT s.id FROM study s LEFT JOIN pg_class v ON v.oid = to_regclass(quote_ident('study_' || s.name)),
           obj_description(v.oid, 'pg_class') AS state
    WHERE  current_setting('transaction_read_only') = 'off' AND s.deleted_at IS NULL
           AND CASE WHEN v.oid IS NULL THEN has_schema_privilege(current_schema(), 'CREATE')
                    ELSE v.relkind = 'v' AND pg_has_role(v.relowner, 'USAGE') END
           AND CASE WHEN state ^@ format({start}, cardinality(s.parameters), cardinality(s.results))
                         AND state ~ {form}
                    THEN EXISTS (SELECT FROM experiment e
                                 WHERE  e.study = s.id AND e.status IN ('done', 'failed')
                                        AND e.finished_at > substring(state FROM {form})::timestamptz)
                    ELSE true END
           AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
                           WHERE d.refobjid = v.oid AND r.ev_class <> v.oid)
    ORDER  BY s.id
""").format(
    start=Literal(_STATE.partition(" that")[0].format("%s", "%s")), form=Literal(r" by (-infinity|[0-9T:.+-]+): \{")
)
_GRANTS = """
    SELECT format('GRANT %%s ON %%I TO %%s%%s', a.privilege_type, v.relname,
                  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END)
    FROM   pg_class v, aclexplode(v.relacl) a
    WHERE  v.oid = to_regclass(quote_ident(%s)) AND a.grantee <> v.relowner
"""
"""The statements that grant other roles their present rights on a view."""
_PATIENCE = "100ms"
"""The time to wait for a view that somebody reads."""


@dataclass(frozen=True)
class _Basis:
    """The data from which a view is written."""

    study: int
    shapes: Shapes
    until: datetime | None
    """The end of the last experiment that was scanned."""

    @classmethod
    def of(cls, study: int, comment: str | None) -> _Basis | None:
        """Read the comment of a view. Returns None if another version of qexp wrote it."""
        match = _READ.fullmatch(comment or "")
        if match is None:
            return None
        shapes = {
            source: {name: Shape.of(data) for name, data in known} for source, known in json.loads(match[2]).items()
        }
        return cls(study, shapes, None if match[1] == "-infinity" else datetime.fromisoformat(match[1]))

    @property
    def names(self) -> tuple[list[str], list[str]]:
        return list(self.shapes["params"]), list(self.shapes["result"])

    def comment(self) -> str:
        """Return this as the comment of the view."""
        data = {source: [[n, shape.data()] for n, shape in known.items()] for source, known in self.shapes.items()}
        until = "-infinity" if self.until is None else self.until.astimezone(UTC).isoformat()
        return _STATE.format(*map(len, self.names), until, json.dumps(data))

    def definition(self) -> Composed:
        """Return the query of the view."""
        found = columns(self.shapes["params"], self.shapes["result"])
        fit = [column for column in found if 0 < len(column.label.encode()) <= _LONGEST_NAME][:_WIDEST]
        names = [_typed(column, self.shapes) for column in fit]
        facts = "e.attempt, e.revision, e.failure, w.host, e.started_at, "
        if "finished_at" not in {column.label for column in fit}:
            facts += "e.finished_at, "
        last = "extract(epoch FROM e.finished_at - e.started_at)::float8"
        facts += f"{last} + coalesce(e.seconds_before, 0) AS duration, {last} AS last_attempt"
        return _QUERY.format(SQL(", ").join([SQL("e.id"), SQL("e.status"), *names, SQL(facts)]), Literal(self.study))


def refresh(raw: RawConnection, study: int, wholly: bool = False) -> None:
    """
    Update the view of a study for experiments that have ended since it was written, or *wholly* for all.

    Nobody waits for a view: if it cannot be written now, the old one stays and `stale` lists it. It cannot while a
    transaction reads it, if a user's view depends on it, or if this role, such as a worker's, lacks the right.
    """
    row = raw.execute(_KNOWN.format(Literal(study))).fetchone()
    if row is None:
        return
    name, parameters, results, comment, until, may = row
    if not may:
        log.info("the view of study %s is written later, by a role with the right to do so", name)
        return
    before = _Basis.of(study, comment)
    present = _Basis.of(study, comment)  # a copy, whose shapes are widened below
    whole = wholly or present is None or present.names[0] != parameters
    known: Shapes = {"params": {}, "result": {}} if whole or present is None else present.shapes
    shapes: dict[Source, dict[str, Shape]] = {
        "params": {name: known["params"].get(name, Shape()) for name in parameters},
        "result": {name: known["result"].get(name, Shape()) for name in results},
    }
    view_widening.widen(raw, study, shapes, _scan(whole, present, results))
    if not _write(raw, name, _Basis(study, shapes, until), before) and wholly:
        _mark_stale(raw, name)


def _scan(whole: bool, present: _Basis | None, results: list[str]) -> ViewScan:
    """Return the experiments to scan: all, if a name is new, since they may have recorded it before."""
    if whole or present is None:
        return ViewScan(("params", "result"))
    return ViewScan(("result",), present.until if present.names[1] == results else None)


def renew(database: Database, study: int | None = None) -> None:
    """
    Write the views that lack the newest names or values, if this role may and nobody reads them.

    The view of *study*, if given, is made from all of its experiments, others from those that have ended lately.
    """
    with database.begin() as connection:
        found = stale(raw_of(connection))
    for number in {*found, *([] if study is None else [study])}:
        with database.begin() as connection:
            refresh(raw_of(connection), number, wholly=number == study)


def stale(raw: RawConnection) -> list[int]:
    """Return the studies whose views lack the newest names or values, and may be written by this role."""
    return [study for (study,) in raw.execute(_STALE)]


def _write(raw: RawConnection, name: str, basis: _Basis, before: _Basis | None) -> bool:
    """Write a view, or only its comment if nothing else has changed. Returns False if it must be written later."""
    view, definition = Identifier(f"study_{name}"), basis.definition()
    try:
        with raw.transaction():
            raw.execute(SQL("SET LOCAL lock_timeout = {}").format(Literal(_PATIENCE)))
            query = "SELECT parameters, results FROM study WHERE id = %s FOR NO KEY UPDATE SKIP LOCKED"
            if raw.execute(query, [basis.study]).fetchone() != basis.names:
                return False  # the transaction that changes the study writes the view
            if before is None or before.definition().as_string(raw) != definition.as_string(raw):
                grants = raw.execute(_GRANTS, [f"study_{name}"]).fetchall()
                raw.execute(SQL("DROP VIEW IF EXISTS {}").format(view))
                raw.execute(SQL("CREATE VIEW {} AS {}").format(view, definition))
                for (grant,) in grants:
                    raw.execute(grant.encode())
            raw.execute(SQL("COMMENT ON VIEW {} IS {}").format(view, Literal(basis.comment())))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable) as error:
        log.info("the view of study %s is written later: %s", name, error.diag.message_primary)
        return False
    except (psycopg.errors.DependentObjectsStillExist, psycopg.errors.WrongObjectType) as error:
        log.warning("the view of study %s cannot be updated: %s", name, error.diag.message_primary)
    return True


def _mark_stale(raw: RawConnection, name: str) -> None:
    """Make `stale` list a view: its comment can change while somebody reads it."""
    try:
        with raw.transaction():
            raw.execute(SQL("SET LOCAL lock_timeout = {}").format(Literal(_PATIENCE)))
            raw.execute(SQL("COMMENT ON VIEW {} IS {}").format(Identifier(f"study_{name}"), Literal(_AGAIN)))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable) as error:
        # another process writes it just now
        log.info("the view of study %s cannot be marked as stale: %s", name, error.diag.message_primary)


def _typed(column: Column, shapes: Shapes) -> Composed:
    """Return one column; a value of another type is NULL, since an error would break every query of the view."""
    kinds = set[str]()
    values: list[Composable] = []
    for path in filter(None, (column.path, column.base)):
        shape = shapes[column.source][path[0]]
        value: Composable = SQL("e.{} -> {}").format(Identifier(column.source), Literal(path[0]))
        for key in path[1:]:
            shape, value = shape.keys[key], SQL("{} -> {}").format(value, Literal(key))
        kinds |= shape.kinds
        values.append(value)
    value = SQL("coalesce({})").format(SQL(", ").join(values)) if column.base else values[0]
    string = SQL("({}) #>> '{{}}'").format(value)
    made = SQL(_EXPRESSIONS[_type(kinds)]).format(value=value, string=string)
    if column.splits:
        made = SQL("CASE WHEN jsonb_typeof({0}) <> 'object' OR {0} = '{{}}' THEN {1} END").format(value, made)
    return SQL("{} AS {}").format(made, Identifier(column.label))


def _type(kinds: AbstractSet[str]) -> str:
    """Return the SQL type that holds some kinds of values; float8 if there are none yet."""
    found = kinds - {"nan"}
    if found <= {"whole", "number"}:
        return "numeric" if found == {"whole"} else "float8"
    if kinds == {"bool"}:
        return "boolean"
    return "text" if found == {"text"} else "jsonb"


_NUMBER = (
    "CASE WHEN ({{string}}) IN ('NaN', 'Infinity', '-Infinity') THEN ({{string}})::{kind} "
    "WHEN jsonb_typeof({{value}}) = 'number' THEN {number} END"
)
_FLOAT8 = "CASE WHEN abs(({value})::numeric) < 1.7976931348623158e308 THEN ({string})::float8 END"
"""A whole number may be larger than any float; casting it would break every query of the view."""
_EXPRESSIONS: Mapping[str, LiteralString] = {
    "jsonb": "({value})",
    "text": "({string})",
    "boolean": "CASE jsonb_typeof({value}) WHEN 'boolean' THEN ({value})::boolean END",
    "float8": _NUMBER.format(kind="float8", number=_FLOAT8),
    "numeric": _NUMBER.format(kind="numeric", number="({string})::numeric"),
}
