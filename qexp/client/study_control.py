"""The methods of a study that change its experiments: requeue, accept, cancel, pause, resume, archive and delete."""

from __future__ import annotations

import dataclasses

from qexp.client.deletion import Deleted
from qexp.client.listings.ids import Ids
from qexp.client.named_study import ExperimentIds, NamedStudy, StatusNames
from qexp.model import Status
from qexp.store.reads.study_progress import StudyProgress
from qexp.store.selection import selectors


class StudyControl(NamedStudy):
    """A study whose experiments can be changed."""

    def requeue(
        self,
        status: StatusNames = (),
        ids: ExperimentIds = None,
        error: str | None = None,
        fresh: bool = False,
        where: str | None = None,
        since: str | None = None,
        host: str | None = None,
        stale: bool | None = None,
        orphaned: bool = False,
        current: bool = False,
    ) -> Ids:
        """
        Run experiments again and return their ids: by *status*, by *ids* (`"17,19-23"` or numbers), by *error* group.

        *where*, *since*, *host*, *stale* and *current* are those of `qexp.load`. *orphaned* chooses experiments that
        the newest grid leaves out. Experiments must meet every given condition. Raises SelectorError without any, since
        that would run everything again. They continue from their checkpoints, with *fresh* from the beginning.
        """
        chosen = self._chosen(
            ids,
            status,
            error=error,
            where=where,
            since=since,
            host=host,
            stale=stale,
            orphaned=orphaned,
            current=current,
        )
        if chosen is None:
            return Ids((), "requeued")
        selectors.require_narrow(chosen)
        done = self._client.requeue(chosen, fresh)
        return Ids(done.ids, "requeued", done.note)

    def accept(
        self,
        error: str | None = None,
        ids: ExperimentIds = None,
        where: str | None = None,
        since: str | None = None,
        host: str | None = None,
    ) -> Ids:
        """
        Mark failed experiments as done with the kept parts of their results, and return their ids.

        An attempt fails if a part of its result is not data; use this if you need not run it again. The arguments are
        those of `requeue`. Attempts keep their errors.
        """
        chosen = self._chosen(ids, error=error, where=where, since=since, host=host)
        if chosen is None:
            return Ids((), "accepted")
        selectors.require_group(chosen)
        done = self._client.accept(chosen)
        return Ids(done.ids, "accepted", done.note)

    def cancel(
        self,
        ids: ExperimentIds = None,
        *,
        status: StatusNames = (),
        error: str | None = None,
        where: str | None = None,
        since: str | None = None,
        host: str | None = None,
        stale: bool | None = None,
        orphaned: bool = False,
        current: bool = False,
        reason: str | None = None,
    ) -> Ids:
        """
        End experiments that wait or run, and return their ids; without conditions, all of the study.

        Finished experiments stay as they are. Workers stop running attempts within seconds. *reason* is what
        `qexp show` gives; the other arguments are those of `requeue`, which also runs cancelled experiments again:
        `study.requeue(status="cancelled")`.
        """
        chosen = self._chosen(
            ids,
            status,
            error=error,
            where=where,
            since=since,
            host=host,
            stale=stale,
            orphaned=orphaned,
            current=current,
        )
        if chosen is None:
            return Ids((), "cancelled")
        done = self._client.cancel(chosen, reason)
        return Ids(done.ids, "cancelled", done.note if done.ids else "none of them waits or runs")

    def pause(self, reason: str | None = None) -> StudyProgress:
        """
        Pause the study and return its progress: no attempt starts until `resume`.

        Running attempts may save, and end a few seconds later; this costs no retry. *reason* is shown by `qexp status`.
        A study that was paused before keeps its reason.
        """
        self._client.pause(self.name, reason)
        return self._progress()

    def resume(
        self,
        ids: ExperimentIds = None,
        *,
        error: str | None = None,
        where: str | None = None,
        since: str | None = None,
        host: str | None = None,
    ) -> StudyProgress:
        """
        Resume the study and all experiments that paused themselves, and return its progress.

        With conditions, which are those of `requeue`, only such experiments are resumed, and not the study. They
        continue from their checkpoints.
        """
        chosen = self._chosen(ids, error=error, where=where, since=since, host=host)
        if chosen is not None:
            if not chosen.is_narrow:
                self._client.resume(self.name)
            self._client.requeue(dataclasses.replace(chosen, statuses=(Status.PAUSED,)))
        return self._progress()

    def archive(self) -> bool:
        """
        Leave the study out of overviews such as `qexp.studies`; it stays loadable. Returns False if it was archived.

        Raises BusyStudyError if experiments are unfinished.
        """
        return self._client.archive(self.name)

    def unarchive(self) -> bool:
        """Bring the archived study back. Returns False if it was not archived."""
        return self._client.unarchive(self.name)

    def delete(self) -> Deleted:
        """
        Delete the study with its experiments, their records and files, and snapshots that no other study has.

        It does not ask. Raises BusyStudyError if experiments run.
        """
        return self._client.delete_study(self.name)

    def _progress(self) -> StudyProgress:
        return self._client.counts(self.name)[0]
