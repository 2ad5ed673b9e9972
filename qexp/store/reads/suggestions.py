"""
Names that a shell suggests: studies, columns, error groups and so on.

These queries do without SQLAlchemy, whose import takes half of the time that a person waits after TAB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from qexp.model import SHORT_GROUP, Json
from qexp.settings import Settings
from qexp.store.schema.value_columns import FACTS, MORE_FACTS, columns, shapes

RawRows = list[tuple[Any, ...]]

_OPTIONS = "-c statement_timeout=1000 -c enable_seqscan=off -c jit=off -c default_transaction_read_only=on"
_SAMPLE = 20
"""The experiments whose nested values are read."""

_NAMES = """
SELECT name FROM study
WHERE  deleted_at IS NULL AND starts_with(name, %(start)s) AND (archived_at IS NULL OR %(start)s <> '')
ORDER  BY id DESC
"""
_CHOSEN = """
SELECT id, parameters, results FROM study
WHERE  deleted_at IS NULL AND (name = ANY(%(names)s) OR name LIKE ANY(%(patterns)s)
         OR id IN (SELECT study FROM experiment WHERE id = ANY(%(ids)s)))
ORDER  BY id DESC LIMIT 50
"""
_NEWEST = "SELECT id, parameters, results FROM study WHERE deleted_at IS NULL ORDER BY id DESC LIMIT 5"
_VALUES = """
SELECT e.params, e.result
FROM   unnest(%(studies)s) s (id), LATERAL (
         (SELECT params, result FROM experiment WHERE study = s.id AND status = 'done' LIMIT %(sample)s)
         UNION ALL (SELECT params, result FROM experiment WHERE study = s.id AND status = 'queued' LIMIT 1)
         UNION ALL (SELECT params, result FROM experiment WHERE study = s.id AND status = 'pending' LIMIT 1)) e
"""
_GROUPS = """
SELECT left(error_fingerprint, %(digits)s), count(*) FROM experiment
WHERE  study = ANY(%(studies)s) AND error_fingerprint IS NOT NULL AND status = 'failed'
GROUP  BY error_fingerprint ORDER BY count(*) DESC
"""
_HOSTS = "SELECT DISTINCT host FROM worker ORDER BY host LIMIT 200"
_RECENT = """
(SELECT id FROM unnest(%(studies)s) s (study), LATERAL (
   SELECT id FROM experiment e WHERE e.study = s.study AND status IN ('running', 'done', 'failed') LIMIT 20) e)
"""
_RECORDS = {
    "metric": f"SELECT DISTINCT name FROM metric WHERE experiment IN {_RECENT} ORDER BY name",
    "entry": f"SELECT DISTINCT list FROM entry WHERE experiment IN {_RECENT} ORDER BY list",
    "artifact": f"SELECT DISTINCT name FROM artifact WHERE experiment IN {_RECENT} ORDER BY name",
}


@dataclass(frozen=True)
class KnownColumns:
    """The columns of some studies, with their names in frames."""

    parameters: list[str]
    results: list[str]
    facts: tuple[str, ...] = ("id", *FACTS, *MORE_FACTS)


@dataclass(frozen=True)
class ChosenTargets:
    """Studies by name or pattern (of LIKE), and ids of experiments, as a command line has them."""

    names: Sequence[str] = ()
    patterns: Sequence[str] = ()
    ids: Sequence[int] = ()


class Suggestions:
    """Reads the database of one connection. Every method raises psycopg.Error if it cannot."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def studies(self, start: str = "") -> list[str]:
        """Return the studies whose names have this start, the newest first; archived ones only by their start."""
        return [name for (name,) in self._rows(_NAMES, {"start": start})]

    def columns(self, targets: ChosenTargets) -> KnownColumns:
        """Return the columns of the chosen studies, by default of the newest; nested ones from some experiments."""
        found = self._chosen(targets)
        parameters = [*dict.fromkeys(name for _, names, _ in found for name in names)]
        results = [*dict.fromkeys(name for _, _, names in found for name in names)]
        rows = self._rows(_VALUES, {"studies": [number for number, _, _ in found], "sample": _SAMPLE})
        params: list[Mapping[str, Json] | None] = [row[0] for row in rows]
        known = columns(shapes(parameters, params), shapes(results, [row[1] for row in rows]))
        return KnownColumns(
            [column.label for column in known if column.source == "params"],
            [column.label for column in known if column.source == "result"],
        )

    def error_groups(self, targets: ChosenTargets) -> list[tuple[str, int]]:
        """Return the groups of errors of the chosen studies and their sizes, the largest first."""
        rows = self._rows(_GROUPS, {"studies": self._ids(targets), "digits": SHORT_GROUP})
        return [(group, number) for group, number in rows]

    def hosts(self) -> list[str]:
        """Return the hosts of workers."""
        return [host for (host,) in self._rows(_HOSTS, {})]

    def records(self, table: str, targets: ChosenTargets) -> list[str]:
        """Return names of series (`metric`), lists (`entry`) or artifacts (`artifact`) of some chosen experiments."""
        return [name for (name,) in self._rows(_RECORDS[table], {"studies": self._ids(targets)})]

    def _ids(self, targets: ChosenTargets) -> list[int]:
        return [number for number, _, _ in self._chosen(targets)]

    def _chosen(self, targets: ChosenTargets) -> RawRows:
        if not (targets.names or targets.patterns or targets.ids):
            return self._rows(_NEWEST, {})
        given = {"names": targets.names, "patterns": targets.patterns, "ids": targets.ids}
        return self._rows(_CHOSEN, {name: list(values) for name, values in given.items()})

    def _rows(self, query: str, values: Mapping[str, Any]) -> RawRows:
        return self._connection.execute(query.encode(), values).fetchall()


@contextmanager
def suggestions(settings: Settings) -> Iterator[Suggestions]:
    """Yield the suggestions of a database. Raises psycopg.Error if it does not answer soon."""
    with psycopg.connect(
        settings.database_url or "", autocommit=True, connect_timeout=2, application_name="qexp", options=_OPTIONS
    ) as connection:
        yield Suggestions(connection)
