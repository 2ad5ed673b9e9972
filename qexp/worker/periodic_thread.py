"""A thread that calls a function periodically until it is stopped."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from qexp.current_process import is_this_process
from qexp.errors import QexpError
from qexp.truncation import single_line

log = logging.getLogger(__name__)


class PeriodicThread:
    """
    Calls *action* after each pause of *pause* seconds, and earlier if it is woken.

    If the action raises, the thread logs the sentence *failure* and repeats the action after the next pause. A pause of
    None lasts until the thread is woken. After a wake the thread waits *gather* seconds, so that one call serves
    several wakes. The daemon thread calls *last* once when it is stopped.
    """

    def __init__(
        self,
        name: str,
        action: Callable[[], object],
        pause: float | Callable[[], float] | None,
        failure: str,
        *,
        gather: float = 0.0,
        last: Callable[[], object] | None = None,
    ) -> None:
        self.name, self.failure = name, failure
        self._action, self._pause, self._gather, self._last = action, pause, gather, last
        self._woken, self._stops = threading.Event(), False
        self._thread: threading.Thread | None = None
        self._pid = 0

    def start(self) -> None:
        """Start the thread unless it runs in this process; a fork does not inherit threads."""
        if not is_this_process(self._pid):
            thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            thread.start()  # first, so that a start without memory for a thread can be repeated
            self._thread, self._pid = thread, os.getpid()

    def wake(self) -> None:
        """End the present pause."""
        if not self._woken.is_set():  # faster than `set`
            self._woken.set()

    def stop(self, patience: float | None = None) -> bool:
        """Stop the thread, wait *patience* seconds (None: without limit), and say whether it has ended."""
        self._stops = True
        self._woken.set()
        if self._thread is None:
            return True
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stops:
            if self._woken.wait(self._pause() if callable(self._pause) else self._pause) and not self._stops:
                time.sleep(self._gather)
            self._woken.clear()
            if not self._stops:
                self._call(self._action)
        if self._last is not None:
            self._call(self._last)

    def _call(self, action: Callable[[], object]) -> None:
        try:
            action()
        except QexpError as error:
            log.warning("%s: %s", self.failure, single_line(error))
        except Exception:
            log.exception("%s", self.failure)  # the next call may succeed
