"""Configure the log of a worker, and print the lines of its children."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from logging.handlers import BufferingHandler
from queue import SimpleQueue

from qexp.worker.log.channel import ForwardingHandler, LogChannel
from qexp.worker.log.formatting import LineFormatter
from qexp.worker.log.repetition import RepetitionFilter

log = logging.getLogger(__name__)

FORWARDED = ("qexp", "celery", "kombu")
"""Loggers whose lines belong to the worker, also in children."""
_EARLY = 100
"""The most lines that wait for Celery to configure logging; more of them are dropped."""
_PAUSE = 1.0
"""Seconds between two checks whether a summary is due."""
_LAST = 5.0
"""Seconds that an ending worker waits for the last lines."""


class WorkerLog:
    """
    Replaces Celery's lines by qexp's, unless the level is DEBUG.

    Children send their records to a thread of the main process, which prints them. Records of other loggers stay in the
    child: they belong to the function, and to its captured output.
    """

    def __init__(self) -> None:
        self.is_celerys = False
        """Whether Celery's own lines and format are wanted."""
        self.repetitions = RepetitionFilter()
        self._early = BufferingHandler(_EARLY)
        """Has the lines from before `configure`."""
        self._channel: LogChannel | None = None
        self._thread: threading.Thread | None = None
        self._later: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stops = False

    def configure(
        self,
        logger: logging.Logger,
        level: int,
        file: str | None,
        colours: bool,
        filters: Sequence[logging.Filter] = (),
    ) -> None:
        """Format and filter the lines of the root logger, which Celery has just configured."""
        self.is_celerys = level <= logging.DEBUG
        if not self.is_celerys:
            self._format([*logger.handlers, *logging.getLogger("multiprocessing").handlers], file, colours, filters)
        logging.getLogger("qexp").removeHandler(self._early)
        for record in self._early.buffer:
            logging.getLogger(record.name).handle(record)
        self._early.buffer.clear()

    def _format(
        self, handlers: Iterable[logging.Handler], file: str | None, colours: bool, filters: Sequence[logging.Filter]
    ) -> None:
        terminal = sys.__stderr__ if file is None and sys.__stderr__ is not None and sys.__stderr__.isatty() else None
        for handler in handlers:
            handler.setFormatter(LineFormatter(terminal, colours))
            handler.addFilter(self.repetitions)
            for filter_ in filters:
                handler.addFilter(filter_)

    def open(self) -> None:
        """Make the channel, before the pool forks its children, and keep lines until Celery configures logging."""
        self._channel = LogChannel()
        logging.getLogger("qexp").addHandler(self._early)

    def forward(self) -> None:
        """Send the records of this child to the main process."""
        if self._channel is None or self.is_celerys:
            return
        for name in FORWARDED:
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [ForwardingHandler(self._channel)], False

    def keep_stream(self) -> None:
        """Print to the present standard error also while the output of an experiment is captured in this process."""
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.__stderr__:
                handler.setStream(os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace"))

    def start(self) -> None:
        """Start the thread that prints, after the pool has forked its children."""
        self._thread = threading.Thread(target=self._run, name="qexp-log", daemon=True)
        self._thread.start()

    def call_soon(self, action: Callable[[], None]) -> None:
        """Let the thread call a function; a handler of a signal may use this."""
        self._later.put(action)
        if self._channel is not None:
            self._channel.wake()

    def stop(self) -> None:
        """Print the lines that children have sent, and stop the thread."""
        self._stops = True
        if self._channel is not None:
            self._channel.wake()
        if self._thread is not None:
            self._thread.join(_LAST)
        self.repetitions.summarise(everything=True)

    def _run(self) -> None:
        while not self._stops:
            self._print(_PAUSE)
            self.repetitions.summarise()
        while self._print(0.0):
            pass

    def _print(self, seconds: float) -> bool:
        """Print the next lines, and wait up to *seconds* for them. Returns False if there are none."""
        assert self._channel is not None  # noqa: S101
        try:
            records = self._channel.receive(seconds)
            for record in records:
                logging.getLogger(record.name).handle(record)
            while not self._later.empty():
                self._later.get_nowait()()
        except Exception:
            log.exception("a line of the log is missing")  # the next line may be fine
            return True
        return bool(records)
