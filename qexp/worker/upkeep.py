"""What the leader looks after, beside publishing: studies that fail too much, workers that fail alone, people."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from qexp.errors import ServiceError
from qexp.store.connection import Database
from qexp.store.rules import failure_limit, quarantine
from qexp.store.schema import views
from qexp.store.writes import control
from qexp.worker.notices import Notices

log = logging.getLogger(__name__)

_SHARE = 0.05
"""Of a chore's time between two looks it may spend so much looking, however large the tables are."""


@dataclass
class Chore:
    """Something that is looked at every few seconds, and does no harm when it is done twice."""

    name: str
    do: Callable[[], None]
    every: float
    due: float = 0.0


class Upkeep:
    """The chores of the leader. One that fails is logged and does not keep the others from being done."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._notices = Notices(database)
        self._chores = [
            Chore("studies that fail too much", self._brake, every=0.5),
            Chore("workers that fail alone", self._quarantine, every=2.0),
            Chore("what there is to tell", self._notices.look, every=2.0),
            Chore("views that lack names or values", lambda: views.renew(database), every=5.0),
        ]

    def start(self) -> None:
        """Begin to send messages, after the pool's children were made: a fork takes no threads along."""
        self._notices.start()

    def stop(self, hurry: bool = False) -> None:
        """End; without *hurry* messages that wait are given a little time."""
        self._notices.stop(hurry)

    def look_once_more(self) -> None:
        """Note what the last experiments of a worker that stops leave to tell."""
        try:
            self._notices.look()
        except ServiceError as error:
            log.warning("messages to people are left to the next worker: %s", error)
        except Exception:
            log.exception("messages to people are left to the next worker")

    def look(self, at_once: bool = False) -> bool:
        """Do the chores that are due, or all *at_once*, as far as Postgres is there; say whether all went well."""
        well = True
        for chore in self._chores:
            began = time.monotonic()
            if began < chore.due and not at_once:
                continue
            try:
                chore.do()
            except ServiceError as error:
                log.warning("%s failed: %s", chore.name, error)
                return False
            except Exception:
                log.exception("%s failed", chore.name)  # and the next look may fare better
                well = False
            took = time.monotonic() - began
            chore.due = began + max(chore.every, took / _SHARE)
        return well

    def _brake(self) -> None:
        """Pause the studies of which more has failed than their grids allow."""
        with self._database.begin() as connection:
            for excess in failure_limit.exceeded(connection):
                reason = failure_limit.reason(connection, excess)
                if control.pause(connection, excess.name, reason):
                    self._notices.braked(connection, excess.name, reason)
                    log.warning("%s is paused: %s", excess.name, reason)

    def _quarantine(self) -> None:
        """Give nothing any more to workers on which everything fails that others can do."""
        lease = self._database.settings.lease
        with self._database.begin() as connection:
            for suspect in quarantine.suspects(connection, lease):
                reason = quarantine.conviction(connection, suspect)
                if reason is not None and quarantine.quarantine(connection, suspect, reason, lease):
                    log.error("%s is quarantined: %s", suspect.name, reason)
