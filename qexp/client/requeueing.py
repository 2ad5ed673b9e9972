"""Run finished experiments again, with the current code."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qexp.client.study_definition import RenewedCode, renew, renewal
from qexp.file_storage import Files
from qexp.queueing import broker
from qexp.store.connection import Connection
from qexp.store.reads import study_rows, workers
from qexp.store.selection import selectors
from qexp.store.selection.selectors import Selection
from qexp.store.writes import archiving, control

if TYPE_CHECKING:
    from qexp.client.client import Client


@dataclass(frozen=True)
class Requeued:
    """The ids that will run again, and how many selected experiments were skipped because they are open."""

    ids: list[int]
    still_open: int
    unarchived: Sequence[str] = ()
    """Studies that were archived and are no longer."""
    code: Sequence[RenewedCode] = ()
    """The studies whose code had changed since their previous revision."""
    unserved_queues: Sequence[str] = ()
    """The queues of these experiments that no live worker takes."""

    @property
    def note(self) -> str:
        """Text about the skipped experiments, empty without any."""
        return f"{self.still_open} skipped: already pending, queued or running" if self.still_open else ""


def requeue(client: Client, selection: Selection, fresh: bool) -> Requeued:
    """Implement `Client.requeue`."""
    broker.check(client.settings)
    with client.begin() as connection:
        known = control.closed_studies(connection, selectors.where(connection, selection))
        present = [study_rows.present_code(connection, study) for study in known]
    renewals = {study.id: renewal(study, code) for study, code in zip(known, present, strict=True)}

    def change(connection: Connection) -> tuple[control.RequeuedRows, list[str], list[RenewedCode]]:
        done = control.requeue(connection, selectors.where(connection, selection), [*renewals], fresh)
        control.renewed(connection, done.studies)
        unarchived = archiving.unarchive(connection, done.studies)
        renewed = [renew(connection, study, renewals[study.id]) for study in study_rows.rows(connection, done.studies)]
        return done, unarchived, [code for code in renewed if code is not None]

    done, unarchived, code = client.change(change)
    with closing(client.publisher) as publisher:
        publisher.publish_studies(done.studies)
    with client.begin() as connection:
        unserved = workers.unserved_queues(connection, done.studies, client.settings.lease)
    client.renew_views()
    for url in done.urls:
        Files(client.settings.artifacts_root).delete(url)
    return Requeued(done.ids, done.still_open, unarchived, code, unserved)
