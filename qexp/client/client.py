"""The client: one method per verb, over one Postgres and one broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from qexp.client import transactions
from qexp.current_process import user_name
from qexp.errors import NoTablesError, OldSchemaError
from qexp.model import Counts, Json
from qexp.settings import Settings, load
from qexp.store.connection import Connection, Database
from qexp.store.reads import study_progress, study_rows, workers
from qexp.store.reads.workers import WorkerView
from qexp.store.schema import roles, schema_version, views
from qexp.store.writes import archiving, control
from qexp.store.writes.control import Cancelled
from qexp.truncation import truncated

if TYPE_CHECKING:
    import pandas as pd

    from qexp.analysis.export import Save
    from qexp.client.deletion import Deleted
    from qexp.client.enqueue import Difference, Enqueued, Preview
    from qexp.client.experiment_queries import ExperimentDetails
    from qexp.client.explain import Explanation
    from qexp.client.pruning import Pruned
    from qexp.client.requeueing import Requeued
    from qexp.grid import Grid
    from qexp.queueing.publisher import Publisher
    from qexp.store.reads.deletion_plan import DeletionPlan
    from qexp.store.reads.error_groups import ErrorGroup
    from qexp.store.reads.experiment_rows import ExperimentView
    from qexp.store.reads.study_overview import StudyOverview
    from qexp.store.reads.waiting_beside import WaitingBeside
    from qexp.store.selection.selectors import Selection
    from qexp.store.writes.accepting import Accepted


T = TypeVar("T")
Progress = Callable[[str, int], None]
"""Receives "written", "compared", "announced" or "deleted", and how many experiments were so far."""


@dataclass(frozen=True)
class Migrated:
    """The current version of the schema, and the names of running workers with an older one."""

    version: str
    older: Sequence[str]


class Client:
    """The verbs of qexp over one Postgres and one broker. With *keeps*, one connection to Postgres stays open."""

    def __init__(self, settings: Settings | None = None, keeps: bool = False) -> None:
        self.settings, self._keeps = settings or load(), keeps

    def close(self) -> None:
        """Close the connection to Postgres, if one stayed open."""
        if "_database" in vars(self):
            self._database.close()

    @cached_property
    def publisher(self) -> Publisher:
        """The publisher that sends ids to the broker."""
        from qexp.queueing.publisher import Publisher

        return Publisher(self._database)

    @cached_property
    def _database(self) -> Database:
        """The database. Raises DatabaseTablesError, with a repair, unless its schema is current."""
        database = Database(self.settings, self._keeps)
        with database.begin() as connection:
            schema_version.check(connection)
        return database

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that commits at the end, or rolls back on any exception."""
        with self._database.begin() as connection:
            yield connection

    def migrate(self, under_workers: bool = False) -> Migrated:
        """
        Migrate the schema and the views to the newest version.

        Raises OlderWorkersError if workers run with the older schema, unless *under_workers* is set.
        """
        with Database(self.settings).begin() as connection:
            older = schema_version.migrate(connection, self.settings.lease, under_workers)
        self.renew_views()
        return Migrated(schema_version.HEAD, older)

    def prepare(self) -> None:
        """Migrate an old or missing schema. Verbs that start work call it; verbs that only read do not."""
        try:
            _ = self._database
        except (NoTablesError, OldSchemaError):
            self.migrate()

    def renew_views(self, study: int | None = None) -> None:
        """
        Write the views that lack new names or values, if this role may and no reader holds them.

        The view of *study*, if given, is made from all its experiments, other views from recently finished ones.
        """
        views.renew(self._database, study)

    def roles(self, worker: str, reader: str) -> str:
        """Return SQL that creates a role for workers and one for readers; see `qexp.store.schema.roles.script`."""
        return roles.script(self.settings, worker, reader)

    def enqueue(self, grid: Grid, progress: Progress = lambda *_: None) -> Enqueued:
        """
        Add those experiments of a grid that its study lacks, and publish all pending ones.

        It checks the function first, then both services: on bad input or a lost service, nothing is written.
        """
        from qexp.client import enqueue

        return enqueue.enqueue(self, grid, progress)

    def extend(self, study: str, rows: Iterable[Mapping[str, Json]], progress: Progress = lambda *_: None) -> Enqueued:
        """Add parameter sets from code to an existing study; its function and settings do not change."""
        from qexp.client import enqueue

        return enqueue.extend(self, study, rows, progress)

    def compare(self, grid: Grid) -> Difference:
        """Return the changes that enqueueing a grid would make; write nothing."""
        from qexp.client import enqueue

        return enqueue.compare(self, grid)

    def preview(self, grid: Grid) -> Preview | None:
        """Compare the parameters of a grid with its study; write nothing. Returns None if there is no such study."""
        from qexp.client import enqueue

        return enqueue.preview(self, grid)

    def publish(self, study: study_rows.StudyRow, progress: Progress = lambda *_: None) -> int:
        """Publish ids of a study's pending experiments while the window has room; return their number."""
        with closing(self.publisher) as publisher:
            return publisher.publish(study, partial(progress, "announced"))

    def study(self, name: str) -> study_rows.StudyRow:
        """Return a study. Raises UnknownStudyError, which suggests a similar name."""
        with self.begin() as connection:
            return study_rows.find(connection, name)

    def studies(self, names: Iterable[str]) -> list[study_rows.StudyRow]:
        """Return the studies of these names, the oldest first."""
        with self.begin() as connection:
            return study_rows.named(connection, names)

    def matching(self, targets: Sequence[str]) -> list[study_rows.StudyRow]:
        """Return the studies of these names and patterns, the oldest first; each must have one."""
        with self.begin() as connection:
            return study_rows.matching(connection, targets)

    def counts(self, study: str | None = None, archived: bool = False) -> list[study_progress.StudyProgress]:
        """Return the progress of one study, of all that are not archived, or of the *archived* ones; oldest first."""
        try:
            with self.begin() as connection:
                known = None if study is None else study_rows.find(connection, study).id
                return study_progress.counts(connection, self.settings.lease, known, archived)
        except NoTablesError:
            if study is None:
                return []
            raise

    def overview(
        self, targets: Sequence[str] = (), limit: int | None = None, archived: bool = False, only_open: bool = False
    ) -> StudyOverview:
        """Return the progress of the newest studies; see `qexp.store.reads.study_overview.overview`."""
        from qexp.store.reads import study_overview

        try:
            with self.begin() as connection:
                lease = self.settings.lease
                return study_overview.overview(connection, lease, targets, limit, archived, only_open)
        except NoTablesError:
            if targets:
                raise
            return study_overview.StudyOverview([], 0, 0, 0, 0)

    def workers(self, stopped: int = 0) -> list[WorkerView]:
        """Return the present workers by host and name, then the last *stopped* ones that stopped."""
        try:
            with self.begin() as connection:
                return workers.listed(connection, self.settings.lease, stopped)
        except NoTablesError:
            return []

    def experiments(
        self, selection: Selection, limit: int | None = None, sort: str | Iterable[str] = ()
    ) -> list[ExperimentView]:
        """
        Return the first *limit* selected experiments, by the columns *sort* and then by id.

        *sort* has names of columns, such as `"-accuracy,lr"` or `["-accuracy", "lr"]`; after `-` the largest value
        comes first. Numbers come before texts. Missing values and NaN come last in both directions.
        """
        from qexp.client import experiment_queries

        with self.begin() as connection:
            return experiment_queries.experiments(connection, selection, limit, sort)

    def count_by_status(self, selection: Selection) -> Counts:
        """Return how many of the selected experiments are in each status."""
        from qexp.store.selection import selectors

        with self.begin() as connection:
            return study_progress.count_by_status(connection, selectors.where(connection, selection))

    def waiting_beside(self, study: str) -> WaitingBeside:
        """Count the experiments of other studies that wait on a study's queue."""
        from qexp.store.reads import waiting_beside

        with self.begin() as connection:
            return waiting_beside.waiting_beside(connection, study, self.settings.lease)

    def show(self, selection: Selection) -> list[ExperimentDetails]:
        """Return everything about the selected experiments."""
        from qexp.client import experiment_queries

        with self.begin() as connection:
            return experiment_queries.show(connection, selection)

    def explain(self, experiment: int) -> Explanation:
        """Explain why an experiment is in its state; this works while the broker is down."""
        from qexp.client.explain import explain, gather

        return explain(gather(self.settings, self.begin, experiment))

    def errors(self, selection: Selection) -> list[ErrorGroup]:
        """Group the failed ones among the selected experiments by error; return the largest group first."""
        from qexp.client import experiment_queries

        with self.begin() as connection:
            return experiment_queries.errors(connection, selection)

    def requeue(self, selection: Selection, fresh: bool = False) -> Requeued:
        """
        Run the finished ones of the selected experiments again, with the current code; keep their attempts.

        They continue from their checkpoints, with *fresh* from the beginning. A selection of stale experiments
        refers to the newest revision before this call, which may make another one.
        """
        from qexp.client import requeueing

        return requeueing.requeue(self, selection, fresh)

    def accept(self, selection: Selection) -> Accepted:
        """
        Mark the selected failed experiments as done, with the parts of their results that were kept.

        Their attempts do not change. Experiments without a kept part stay failed.
        """
        from qexp.file_storage import Files
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
        Cancel the open ones of the selected experiments.

        Results of their running attempts are refused immediately; workers end these attempts within a few seconds.
        """
        from qexp.store.selection import selectors

        text = reason and truncated(reason)
        return self.change(lambda connection: control.cancel(connection, selectors.where(connection, selection), text))

    def pause(self, study: str, reason: str | None = None) -> bool:
        """
        Pause a study: no attempt starts, and running attempts end after they had time to save.

        This costs no retry. Returns False if it was already paused; the earlier reason stays.
        """
        return self.change(lambda connection: control.pause(connection, study, reason and truncated(reason)))

    def resume(self, study: str) -> bool:
        """Resume a paused study. Returns False if it was not paused."""
        found = self.change(lambda connection: control.resume(connection, study))
        self.publish(self.study(study))
        return found

    def archive(self, study: str) -> bool:
        """
        Archive a study: overviews leave it out, and everything else finds it by its name.

        Returns False if it was archived. Raises BusyStudyError if it has unfinished experiments.
        """
        return self.change(lambda connection: archiving.archive(connection, study))

    def unarchive(self, study: str) -> bool:
        """Bring an archived study back. Returns False if it was not archived."""
        number = self.study(study).id
        return bool(self.change(lambda connection: archiving.unarchive(connection, [number])))

    def deletion(self, study: str) -> DeletionPlan | None:
        """
        Return the parts of a study that `delete_study` would remove. Returns None if its deletion was interrupted.

        Raises BusyStudyError if the study cannot be deleted, since experiments run.
        """
        from qexp.client import deletion

        return deletion.plan(self, study)

    def delete_study(self, study: str, progress: Progress = lambda *_: None) -> Deleted:
        """
        Delete a study with its experiments, their records and files, and snapshots that no other study has.

        Raises BusyStudyError if experiments run. If it is killed, another call completes it.
        """
        from qexp.client import deletion

        return deletion.delete(self, study, progress)

    def prune(self, dry_run: bool = False) -> Pruned:
        """Remove what nothing needs any more from this machine, the artifacts and the database; say how much it was."""
        from qexp.client import pruning

        return pruning.prune(self, dry_run)

    def change(self, action: Callable[[Connection], T]) -> T:
        """
        Run *action* in a transaction and return its value; retry after a deadlock or conflict.

        If another session, such as an open psql, holds a lock, a warning names it and the wait continues.
        """
        return transactions.change(self.begin, action)

    def frame(
        self,
        selection: Selection,
        sort: str | Iterable[str] = (),
        limit: int | None = None,
        columns: str | Iterable[str] = (),
    ) -> pd.DataFrame:
        """
        Return the selected experiments as a frame; see `qexp.analysis.frame.frame`.

        *sort* and *limit* are those of `experiments`; *columns* keeps only some columns, in this order.
        """
        from qexp.client import experiment_queries

        with self.begin() as connection:
            return experiment_queries.frame(connection, selection, sort, limit, columns)

    def export(self, selection: Selection, target: Path | Save) -> tuple[int, int]:
        """Pass the selected experiments to a file, or a function; return the numbers of rows and columns."""
        from qexp.analysis.export import writer
        from qexp.client import experiment_queries

        save = writer(target) if isinstance(target, Path) else target  # refuses a suffix before Postgres is asked
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
        Wait until no experiment of a study is open, or it is paused and none runs; return its progress.

        *progress* receives the counts now and then, and less often if counting is slow. *check* is called several
        times a second. Raises TimeoutError after *timeout* seconds, if given.
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
