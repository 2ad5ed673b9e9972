"""The verbs of a person, each one transaction or a few, on one site."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from qexp.errors import NoTablesError, OldSchemaError
from qexp.model import Json
from qexp.settings import Settings, load
from qexp.store.connection import Connection, Database
from qexp.store.reads import locks, study_progress, study_rows, workers
from qexp.store.reads.workers import WorkerView
from qexp.store.schema import roles, schema_version, views
from qexp.store.writes import control
from qexp.store.writes.control import Cancelled
from qexp.this_process import user_name
from qexp.truncation import truncated

if TYPE_CHECKING:
    import pandas as pd

    from qexp.client.enqueue import Difference, Enqueued
    from qexp.client.experiment_queries import Shown
    from qexp.client.explain import Explanation
    from qexp.grid import Grid
    from qexp.queueing.publisher import Publisher
    from qexp.store.reads.experiment_rows import ErrorGroup, ExperimentView
    from qexp.store.selection.selectors import Selection
    from qexp.store.writes.accepting import Accepted


log = logging.getLogger(__name__)

T = TypeVar("T")
Progress = Callable[[str, int], None]
"""Receives "written" or "announced", and how many experiments were so far."""

_PAUSES = (0.05, 0.2, 1.0)
"""Seconds before a transaction that was broken off is done again."""
LOCK_TIMEOUT, _NO_TIMEOUT = "10s", "0"
"""How long another transaction is waited for until that is said, and from then on."""
_LOCKED = "55P03"


@dataclass(frozen=True)
class Migrated:
    """The version of the schema by now, and the names of older workers that run, if it was changed under them."""

    version: str
    older: Sequence[str]


@dataclass(frozen=True)
class Requeued:
    """The ids that will run again, and how many of the chosen ones are open and were left alone."""

    ids: list[int]
    still_open: int


class Client:
    """One site: a Postgres and a broker. Connections are opened when needed; with *keeps* one to Postgres stays."""

    def __init__(self, settings: Settings | None = None, keeps: bool = False) -> None:
        self.settings, self._keeps = settings or load(), keeps

    def close(self) -> None:
        """Close the connection that is kept."""
        if "_database" in vars(self):
            self._database.close()

    @cached_property
    def publisher(self) -> Publisher:
        """The publisher of ids to the broker."""
        from qexp.queueing.publisher import Publisher

        return Publisher(self._database)

    @cached_property
    def _database(self) -> Database:
        """The database, whose schema is current; TablesError says what to do if it is not."""
        database = Database(self.settings, self._keeps)
        with database.begin() as connection:
            schema_version.check(connection)
        return database

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a connection in a transaction that commits at the end, or rolls back on any exception."""
        with self._database.begin() as connection:
            yield connection

    def migrate(self, under_workers: bool = False) -> Migrated:
        """
        Bring the schema and the views up to date.

        OlderWorkersError names the workers that run with the older schema, unless it is done *under_workers*.
        """
        with Database(self.settings).begin() as connection:
            older = schema_version.migrate(connection, self.settings.lease, under_workers)
        self.renew_views()
        return Migrated(schema_version.HEAD, older)

    def prepare(self) -> None:
        """Bring the schema up to date if it is not: what begins something does so, what only looks does not."""
        try:
            _ = self._database
        except (NoTablesError, OldSchemaError):
            self.migrate()

    def renew_views(self, study: int | None = None) -> None:
        """
        Write the views that lack the newest names or values, if this role may and nobody reads them.

        The view of *study*, if given, is made from all of its experiments, others from those that have ended lately.
        """
        views.renew(self._database, study)

    def roles(self, worker: str, reader: str) -> str:
        """Return SQL that makes a role for workers and one for readers; see `qexp.store.schema.roles.script`."""
        return roles.script(self.settings, worker, reader)

    def enqueue(self, grid: Grid, progress: Progress = lambda *_: None) -> Enqueued:
        """
        Add the experiments of a grid that its study does not have yet, and publish all that are pending.

        The function is checked first, then both services, so that bad input or a lost service leaves nothing written.
        """
        from qexp.client import enqueue

        return enqueue.enqueue(self, grid, progress)

    def extend(self, study: str, rows: Iterable[Mapping[str, Json]]) -> Enqueued:
        """Add parameter sets made by code to a study that exists; its function and settings stay as they are."""
        from qexp.client import enqueue

        return enqueue.extend(self, study, rows)

    def compare(self, grid: Grid) -> Difference:
        """Say what enqueueing a grid would change, writing nothing."""
        from qexp.client import enqueue

        return enqueue.compare(self, grid)

    def mean_duration(self, study: str) -> float | None:
        """Return the mean seconds of a study's done experiments, None if there is no such study or none is done."""
        with self.begin() as connection:
            return study_progress.mean_duration(connection, study)

    def publish(self, study: study_rows.StudyRow, progress: Progress = lambda *_: None) -> int:
        """Publish the ids of pending experiments of a study, as far as the window has room; return their number."""
        with closing(self.publisher) as publisher:
            return publisher.publish(study, partial(progress, "announced"))

    def study(self, name: str) -> study_rows.StudyRow:
        """Return a study; UnknownStudyError names the nearest one."""
        with self.begin() as connection:
            return study_rows.find(connection, name)

    def studies(self, names: Iterable[str]) -> list[study_rows.StudyRow]:
        """Return the studies of these names, the oldest first."""
        with self.begin() as connection:
            return study_rows.named(connection, names)

    def counts(self, study: str | None = None) -> list[study_progress.StudyProgress]:
        """Return how one study stands, or all of them, the oldest first."""
        try:
            with self.begin() as connection:
                known = None if study is None else study_rows.find(connection, study).id
                return study_progress.counts(connection, known)
        except NoTablesError:
            if study is None:
                return []
            raise

    def workers(self, stopped: int = 0) -> list[WorkerView]:
        """Return the workers that are there, by host and name, then the *stopped* ones that stopped last."""
        try:
            with self.begin() as connection:
                return workers.listed(connection, self.settings.lease, stopped)
        except NoTablesError:
            return []

    def experiments(self, selection: Selection, limit: int | None = None) -> list[ExperimentView]:
        """Return the chosen experiments in the order of their ids."""
        from qexp.client import experiment_queries

        with self.begin() as connection:
            return experiment_queries.experiments(connection, selection, limit)

    def size(self, selection: Selection) -> tuple[int, int]:
        """Return how many of the chosen experiments are closed, and how many are open."""
        from qexp.store.selection import selectors

        with self.begin() as connection:
            return study_progress.count(connection, selectors.where(connection, selection))

    def show(self, selection: Selection) -> list[Shown]:
        """Return everything about the chosen experiments."""
        from qexp.client import experiment_queries

        with self.begin() as connection:
            return experiment_queries.show(connection, selection)

    def explain(self, experiment: int) -> Explanation:
        """Say why an experiment is in the state that it is in; also while the broker is down."""
        from qexp.client.explain import explain, gather

        return explain(gather(self.settings, self.begin, experiment))

    def errors(self, selection: Selection) -> list[ErrorGroup]:
        """Return the failed among the chosen experiments by error, the largest group first."""
        from qexp.client import experiment_queries

        with self.begin() as connection:
            return experiment_queries.errors(connection, selection)

    def requeue(self, selection: Selection, fresh: bool = False) -> Requeued:
        """
        Run the chosen experiments again that have ended, with the code as it is now; their attempts stay.

        With *fresh* they begin anew, otherwise with their checkpoints where they have any. Stale ones are chosen by the
        newest revision in the database, before this makes one of the code as it is now.
        """
        from qexp.client.study_specs import renew, renewal
        from qexp.files import Files
        from qexp.queueing import broker
        from qexp.store.selection import selectors

        broker.check(self.settings)
        with self.begin() as connection:
            known = control.closed_studies(connection, selectors.where(connection, selection))
            digests = [study_rows.current(connection, study)[1] for study in known]
        renewals = {study.id: renewal(study, digest) for study, digest in zip(known, digests, strict=True)}

        def send_back(connection: Connection) -> control.RequeuedRows:
            done = control.requeue(connection, selectors.where(connection, selection), [*renewals], fresh)
            control.renewed(connection, done.studies)
            for study in study_rows.rows(connection, done.studies):
                renew(connection, study, renewals[study.id])
            return done

        done = self.change(send_back)
        with closing(self.publisher) as publisher:
            publisher.publish_studies(done.studies)
        self.renew_views()
        for url in done.urls:
            Files(self.settings.artifacts_root).delete(url)
        return Requeued(done.ids, done.still_open)

    def accept(self, selection: Selection) -> Accepted:
        """
        Mark the chosen failed experiments as done with the results that they have kept.

        Their attempts do not change. Experiments that have kept nothing stay failed.
        """
        from qexp.files import Files
        from qexp.store.selection import selectors
        from qexp.store.writes import accepting

        who = user_name()
        done = self.change(lambda connection: accepting.accept(connection, selectors.where(connection, selection), who))
        self.renew_views()
        for url in done.urls:
            Files(self.settings.artifacts_root).delete(url)
        return done

    def cancel(self, selection: Selection, reason: str | None = None) -> Cancelled:
        """
        End the chosen experiments that are open.

        Attempts that run end at once as far as their results go; their workers end them within a few seconds.
        """
        from qexp.store.selection import selectors

        said = reason and truncated(reason)
        return self.change(lambda connection: control.cancel(connection, selectors.where(connection, selection), said))

    def pause(self, study: str, reason: str | None = None) -> bool:
        """
        Let a study rest: nothing of it begins, and what runs is asked to save and leave, then ended, uncharged.

        False: it was paused before, and keeps its reason.
        """
        return self.change(lambda connection: control.pause(connection, study, reason and truncated(reason)))

    def resume(self, study: str) -> bool:
        """Let a paused study go on; False: it was not paused."""
        found = self.change(lambda connection: control.resume(connection, study))
        self.publish(self.study(study))
        return found

    def change(self, action: Callable[[Connection], T]) -> T:
        """
        Return what *action* does in a transaction, done again if Postgres has broken it off for another's sake.

        Somebody else may hold what it needs, as an open psql does: after a while that is said, and waited for.
        """
        pauses, patience = iter(_PAUSES), LOCK_TIMEOUT
        while True:
            try:
                with self.begin() as connection:
                    connection.execute(text(f"SET LOCAL lock_timeout = '{patience}'"))
                    return action(connection)
            except (DBAPIError, psycopg.Error) as error:  # the latter of what goes to Postgres without SQLAlchemy
                cause = error.orig if isinstance(error, DBAPIError) else error
                state = str(getattr(cause, "sqlstate", ""))
                if state == _LOCKED and patience != _NO_TIMEOUT:
                    self._say_who_holds()
                    pause, patience = 0.0, _NO_TIMEOUT
                elif not state.startswith("40") or (pause := next(pauses, -1.0)) < 0:  # neither deadlock nor conflict
                    raise
            time.sleep(pause)

    def _say_who_holds(self) -> None:
        with self.begin() as connection:
            who = locks.holder(connection)
        if who is not None:
            log.warning("waiting for a lock of %s: commit there, or end it with pg_terminate_backend", who)

    def frame(self, selection: Selection) -> pd.DataFrame:
        """Return the chosen experiments of one study as a frame; see `qexp.analysis.frame.frame`."""
        from qexp.client import experiment_queries

        with self.begin() as connection:
            return experiment_queries.frame(connection, selection)

    def export(self, selection: Selection, path: Path) -> tuple[int, int]:
        """Write the frame of the chosen experiments of one study to a file; return its numbers of rows and columns."""
        from qexp.analysis.export import writer
        from qexp.client import experiment_queries

        save = writer(path)  # before Postgres is asked: it may be no name of a kind that can be written
        with self.begin() as connection:
            return experiment_queries.export(connection, selection, save)

    def wait(
        self,
        study: str,
        progress: Callable[[study_progress.StudyProgress], None] | None = None,
        timeout: float | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> study_progress.StudyProgress:
        """
        Wait until no experiment of a study is open, or it is paused and none runs, and return how it stands then.

        *progress* is told the counts now and then, more rarely of a study that takes long to count; *check* is called
        several times a second. TimeoutError after *timeout* seconds, if given.
        """
        from qexp.client import wait_for_study

        kept = self if self._keeps else Client(self.settings, keeps=True)
        try:
            counts = wait_for_study.wait(kept, study, progress, check, timeout)
        finally:
            if not self._keeps:
                kept.close()
        self.renew_views()
        return counts
