"""A worker says that it is there, from its main process: never from a child that may be busy for days."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from uuid import UUID

import psycopg

from qexp.errors import ServiceError
from qexp.settings import Settings
from qexp.store import hot
from qexp.store.line import Line

log = logging.getLogger(__name__)


class Heart:
    """A thread that beats; *disowned* is called when the worker was given up meanwhile, and its experiments with it."""

    def __init__(self, settings: Settings, worker: UUID, disowned: Callable[[], None]) -> None:
        self._interval, self._worker, self._disowned = settings.heartbeat, worker, disowned
        self._line = Line(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qexp-heart", daemon=True)

    def start(self) -> None:
        """Begin, after the pool's children were made: a fork takes no threads along."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._line.release()

    def beat(self) -> None:
        """Say that the worker is there, now."""
        if self._line.do(lambda raw: hot.beat(raw, self._worker), "the heartbeat", patience=0):
            log.error("this worker was silent for too long: what it ran is run elsewhere, and ends here")
            self._disowned()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self.beat()
            except (psycopg.Error, ServiceError) as error:
                log.warning("the heartbeat is not heard: %s", " ".join(str(error).split()))
            except Exception:
                log.exception("the heartbeat is not heard")  # and the next one may be
