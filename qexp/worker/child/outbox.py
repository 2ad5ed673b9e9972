"""Record outcomes in Postgres; while Postgres is unreachable they wait in files, since they may be days of work."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from qexp.errors import FilesError
from qexp.file_storage import Files
from qexp.model import Claim, Outcome, Status
from qexp.settings import Settings
from qexp.store.connection import RawConnection
from qexp.store.reconnecting import PATIENCE, REFUSALS, ReconnectingConnection
from qexp.store.schema import views
from qexp.store.writes import claiming, worker_rows
from qexp.truncation import single_line
from qexp.worker.attempt import failure
from qexp.worker.child.outbox_files import ChildDeath, OutboxFiles

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class UnrecordedResult:
    """A result that waits to be recorded together with others."""

    claim: Claim
    outcome: Outcome
    encoded: claiming.EncodedResult


class RecordedOutcome(NamedTuple):
    """An outcome that Postgres has."""

    outcome: Outcome
    retry_in: float | None = None
    """Seconds until the next attempt is due; None: there is none."""
    seconds: float | None = None
    """How long the attempt ran, by its row."""
    was_known: bool = False
    """Whether Postgres had it already: the answer was lost, or the main process has recorded it."""


class ResultOutbox:
    """
    Records outcomes. While Postgres is unreachable, an outcome is also a file in the `outbox` of qexp's home.

    If the process dies, the next worker of this home records that outcome.
    """

    def __init__(self, settings: Settings, postgres: ReconnectingConnection) -> None:
        self._settings, self._postgres = settings, postgres
        self.files = OutboxFiles(settings)
        self._known_workers: dict[UUID, bool] = {}
        """By worker: whether this database has its row."""
        self._names: dict[int, dict[str, None]] = {}
        """By study: the known names of its results, in order."""
        self._registered: set[str] = set()
        """Digests of the lists of imports that this process has stored in Postgres."""

    def record(self, claim: Claim, outcome: Outcome, patience: float = PATIENCE) -> RecordedOutcome | None:
        """Record and return an outcome, or an error if Postgres refuses it. Returns None if it came too late."""
        what = f"the outcome of experiment {claim.id}"
        states: dict[int, tuple[str, str]] = {}

        def finish(raw: RawConnection) -> claiming.FinishedAttempt | None:
            ended = claiming.finish(raw, claim, outcome, names=self.names(claim), registered=self._registered)
            if ended is None and claiming.recorded_before(raw, {claim.id: claim.attempt}, claim.worker, outcome.name):
                return claiming.FinishedAttempt(was_known=True)
            if ended is None:
                states.update(claiming.states(raw, [claim.id]))
            return ended

        with self._keeping([(claim, outcome)]) as waiting:
            try:
                recorded = self._postgres.run(finish, what, patience, waiting)
            except REFUSALS as error:
                outcome = Outcome(error=failure.not_storable("the result", error, claim.folder), usage=outcome.usage)
                recorded = self._postgres.run(finish, what, patience, waiting)
        self.files.of(claim).unlink(missing_ok=True)  # another process may have left it
        if recorded is None:
            _log_refused({claim.id: claim.attempt}, states)
            return None
        self._delete(recorded.urls)
        self._note_imports(outcome)
        self._add_names(claim.study_id, outcome.result or ())
        return RecordedOutcome(outcome, recorded.retry_in, recorded.seconds, recorded.was_known)

    def encode(self, claim: Claim, outcome: Outcome, began: float, ended: float) -> UnrecordedResult:
        """Return a result in the form that `record_together` accepts; *began* and *ended* are of time.monotonic."""
        return UnrecordedResult(
            claim, outcome, claiming.encode_result(claim, outcome, began, ended, self.names(claim), self._registered)
        )

    def names(self, claim: Claim) -> Collection[str]:
        """Return the known names of the results of a claim's study, in order."""
        known = self._names.get(claim.study_id, {})
        if len(known) < len(claim.result_names):  # a study only gains names
            known = self._names[claim.study_id] = dict.fromkeys(claim.result_names)
        return known

    def record_together(self, items: Sequence[UnrecordedResult]) -> list[tuple[Claim, RecordedOutcome | None]]:
        """Record results together. If Postgres refuses them, record each alone, and return claims and outcomes."""
        worker = items[0].claim.worker
        with self._keeping([(item.claim, item.outcome) for item in items]) as waiting:
            try:
                recorded = self.record_encoded(worker, [item.encoded for item in items], waiting)
                for item in items:
                    self._note_imports(item.outcome)
            except REFUSALS:
                recorded = None
        if recorded is None:
            return [(item.claim, self.record(item.claim, item.outcome)) for item in items]
        return []

    def record_encoded(
        self,
        worker: UUID,
        items: Sequence[claiming.EncodedResult],
        waiting: Callable[[], None] | None = None,
        patience: float = PATIENCE,
    ) -> Collection[int]:
        """
        Record results of a worker; return the ids of the experiments whose results Postgres has now.

        They include results that were recorded before the connection or the process died. A result is discarded if its
        experiment belongs to another attempt by now.
        """

        states: dict[int, tuple[str, str]] = {}

        def finish(raw: RawConnection) -> dict[int, claiming.FinishedAttempt]:
            ended = claiming.finish_all(raw, worker, items)
            if missing := {item.id: item.attempt for item in items if item.id not in ended}:
                ended |= dict.fromkeys(claiming.recorded_before(raw, missing, worker), claiming.FinishedAttempt())
                states.update(claiming.states(raw, [number for number in missing if number not in ended]))
            return ended

        ended = self._postgres.run(finish, f"the outcomes of {len(items)} experiments", patience, waiting)
        for item in items:
            if item.id in ended:
                self._delete(ended[item.id].urls)
                self._add_names(item.study, item.names)
        _log_refused({item.id: item.attempt for item in items if item.id not in ended}, states)
        return ended

    def drain(self, patience: float = 0.0, died: Callable[[ChildDeath], None] | None = None) -> None:
        """
        Record the files that dead processes left in the outbox; wait *patience* seconds for Postgres.

        *died* records the death of a child; without it, deaths stay in the outbox. Files for other databases stay too.
        """
        for path, entry in self.files.unlocked():
            if not self._is_known(entry.worker, patience):
                continue
            try:
                if entry.death is not None and died is not None:
                    died(entry.death)
                    path.unlink(missing_ok=True)
                if entry.claim is not None and entry.outcome is not None:
                    self.record(entry.claim, entry.outcome, patience)
                    log.info("experiment %d: recorded its outcome from %s", entry.claim.id, path)
            except REFUSALS as error:
                self.files.set_aside(path, single_line(error))

    def keep_death(self, death: ChildDeath) -> None:
        """Write a death to the outbox; a worker of this home records it later. Raises OSError if the disk is full."""
        self.files.keep_death(death)

    def _is_known(self, worker: UUID, patience: float) -> bool:
        """Say whether this database has the row of a worker."""
        if worker not in self._known_workers:
            known = self._postgres.run(lambda raw: worker_rows.is_known(raw, worker), "workers of this home", patience)
            self._known_workers[worker] = known
        return self._known_workers[worker]

    @contextlib.contextmanager
    def _keeping(self, items: Sequence[tuple[Claim, Outcome]]) -> Iterator[Callable[[], None]]:
        """Yield a function that writes outcomes to files when they must wait; delete the files when recorded."""
        locks: list[int] = []

        def keep() -> None:
            for claim, outcome in [] if locks else items:
                try:
                    locks.append(self.files.keep_outcome(claim, outcome))
                except OSError as error:
                    reason = (error.strerror or str(error)).lower()
                    what = f"the outcome of experiment {claim.id}"
                    log.error(
                        "%s is kept in memory only: no file can be written in %s: %s", what, self.files.folder, reason
                    )

        try:
            yield keep
            for claim, _ in items if locks else []:
                self.files.of(claim).unlink(missing_ok=True)
        finally:
            for descriptor in locks:
                os.close(descriptor)

    def _note_imports(self, outcome: Outcome) -> None:
        """Note that Postgres has the imports of a recorded outcome."""
        if outcome.imports is not None and outcome.is_done:
            self._registered.add(outcome.imports.digest)

    def _add_names(self, study: int, names: Iterable[str]) -> None:
        """Add new names of results to the study's row, and to the names that this process knows."""
        known = self._names.get(study, {})
        if new := [name for name in names if name not in known]:
            names = self._postgres.run(lambda raw: name_results(raw, study, new), f"names of results of study {study}")
            self._names[study] = dict.fromkeys(names)

    def _delete(self, urls: Sequence[str]) -> None:
        """Delete files of checkpoints; only log an error, since the experiment is done."""
        for url in urls:
            try:
                Files(self._settings.artifacts_root).delete(url)
            except FilesError as error:
                log.warning("the file of a deleted checkpoint remains: %s", error)


def name_results(raw: RawConnection, study: int, names: Sequence[str]) -> list[str]:
    """Add names of results to a study, and return all of its names."""
    all_names = claiming.name_results(raw, study, names)
    if all_names is None:
        return claiming.result_names(raw, study)
    views.refresh(raw, study)
    return all_names


def _log_refused(attempts: Mapping[int, int], states: Mapping[int, tuple[str, str]]) -> None:
    """Log why Postgres refused the outcomes of attempts: a person cancelled them, or others came first."""
    for number, attempt in attempts.items():
        study, status = states.get(number, ("experiment", ""))
        if status == Status.CANCELLED:
            log.info("%s #%d cancelled", study, number)
        else:
            log.warning("%s #%d: attempt %d came too late: its result is discarded", study, number, attempt)
