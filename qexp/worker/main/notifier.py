"""Notify people of their studies: the leader notes news in Postgres, and a thread sends the notifications."""

from __future__ import annotations

import logging
from datetime import timedelta

from qexp import notify
from qexp.errors import NotifyError
from qexp.model import Status, describe
from qexp.notification_addresses import digest, hidden
from qexp.store.connection import Connection, Database
from qexp.store.reads import experiment_rows, study_progress, study_rows
from qexp.store.rules import notifications
from qexp.store.rules.notifications import Event, StudyEvents
from qexp.store.schema import tables
from qexp.truncation import shortened, single_line
from qexp.worker.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

_SHOWN = 300
"""The most characters of an error in a notification."""
_LAST = 5.0
"""Seconds that an ending worker waits for the last notifications; the next leader sends the others."""


class Notifier:
    """Sends each notification once, in its own thread, so that an unreachable service delays nothing else."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = PeriodicThread(
            "qexp-notifier", self._send_due, None, "messages are not sent", last=self._send_due
        )

    def start(self) -> None:
        """Start the thread that sends the notifications, after the pool has forked its children."""
        self._thread.start()

    def stop(self, hurry: bool = False) -> None:
        """Stop the thread; without *hurry*, wait a little while it sends the last notifications."""
        self._thread.stop(0.0 if hurry else _LAST)

    def note_news(self) -> None:
        """Note the news of studies, and wake the thread that sends it."""
        settings = self._database.settings
        with self._database.begin() as connection:
            studies = notifications.news(connection, bool(settings.notify), settings.lease, settings.stalled_after)
            known = notifications.told(connection, [news.id for news in studies])
            for news in studies:
                for event, since in news.events().items():
                    wanted = news.addresses or settings.notify
                    new = [to for to in wanted if (news.id, event, since, digest(to)) not in known]
                    if new:
                        text = _text(connection, event, news, settings.stalled_after)
                        notifications.note(connection, news.id, event, since, text, new)
        self._thread.wake()

    def note_paused(self, connection: Connection, name: str, reason: str) -> None:
        """Note that the failure limit has paused a study, in the same transaction."""
        study = study_rows.find(connection, name)
        addresses = study_rows.addresses(connection, study) or self._database.settings.notify
        text = f"{name}: paused\n{reason}\nafter the fix: qexp requeue {name} --failed; qexp resume {name}"
        if study.paused_at is not None and addresses:
            notifications.note(connection, study.id, Event.BRAKED, study.paused_at, text, addresses)

    def _send_due(self) -> None:
        with self._database.begin() as connection:
            due = notifications.due(connection)
        for notice in due:
            known = {digest(address): address for address in [*notice.addresses, *self._database.settings.notify]}
            if notice.recipient in known:
                self._send(notice, known[notice.recipient])

    def _send(self, notice: notifications.Notification, address: str) -> None:
        with self._database.begin() as connection:
            if not notifications.take(connection, notice):
                return
        title = notice.text.partition("\n")[0]
        try:
            notify.send(address, notice.text)
        except NotifyError as error:
            log.warning("message to %s was not sent: %r: %s", hidden(address), title, error)
            with self._database.begin() as connection:
                notifications.refused(connection, notice, str(error))
            return
        with self._database.begin() as connection:
            notifications.sent(connection, notice)
        log.info("message to %s was sent: %r", hidden(address), title)


def _text(connection: Connection, event: Event, news: StudyEvents, stalled_after: float) -> str:
    """Return the text of a notification: a title, facts, and the next command."""
    title, *lines = {Event.FAILED: _failed, Event.STALLED: _stalled, Event.FINISHED: _finished}[event](
        connection, news, stalled_after
    )
    return "\n".join([f"{news.name}: {title}", *lines])


def _failed(connection: Connection, news: StudyEvents, _: float) -> list[str]:
    (view,) = experiment_rows.experiments(connection, tables.experiment.c.id == news.failed)
    return [
        "the first failure",
        f"#{view.id} {describe(view.params)}",
        shortened(single_line(view.error or ""), _SHOWN),
        f"see: qexp show {view.id}; qexp errors {news.name}",
    ]


def _stalled(connection: Connection, news: StudyEvents, minutes: float) -> list[str]:
    counts = study_progress.of_study(connection, news.id)
    if news.heard:
        why, command = "workers are running, but none takes its experiments", "qexp doctor"
    else:
        why, command = f"no worker listens to the queue {news.queue}", f"celery -A qexp worker -Q {news.queue}"
    waiting = f"{counts.open} open, {counts[Status.RUNNING]} of them running"
    return [f"no progress for {minutes:g} min", f"{waiting}; {why}", f"next: {command}"]


def _finished(connection: Connection, news: StudyEvents, _: float) -> list[str]:
    counts = study_progress.of_study(connection, news.id)
    numbers = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
    took = timedelta(seconds=round(((news.last_end or news.renewed_at) - news.renewed_at).total_seconds()))
    lines = [f"finished: {numbers}", f"after {took}"]
    if not counts[Status.FAILED]:
        return [*lines, f"next: qexp export {news.name} -o {news.name}.parquet"]
    kinds = ", ".join(f"{number} {kind}" for kind, number in experiment_rows.failures(connection, news.id))
    return [*lines, f"failed: {kinds}", f"see: qexp errors {news.name}"]
