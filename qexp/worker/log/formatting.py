"""Format the log of a worker: a time and one line per event."""

from __future__ import annotations

import logging
import os
import time
from typing import TextIO

from qexp.escapes import printable
from qexp.truncation import single_line

OWN = ("qexp", "celery", "kombu", "multiprocessing")
"""Loggers whose lines need no name; billiard uses the name of Python's multiprocessing."""
_LONGEST = 2_000
"""The most bytes of a line."""
_WIDTH = 200
"""The most characters of a failure's line in a file."""
_NARROWEST, _USUAL = 60, 80
_YELLOW, _RED, _RESET = "\x1b[33m", "\x1b[31m", "\x1b[0m"


class LineFormatter(logging.Formatter):
    """
    Writes `TIME LINE`, on a terminal without the date, and with *colours* for problems.

    A terminal gets the date in a line of its own when a new day begins. Failures fit into the width of the terminal.
    Lines of other programs' loggers keep their level and name.
    """

    def __init__(self, terminal: TextIO | None, colours: bool = False) -> None:
        super().__init__(datefmt="%Y-%m-%d %H:%M:%S" if terminal is None else "%H:%M:%S")
        self._terminal, self._colours = terminal, colours
        self._day = time.strftime("%Y-%m-%d")

    def format(self, record: logging.LogRecord) -> str:
        stamp = self.formatTime(record, self.datefmt)
        text = f"{stamp} {self._line(record, len(stamp) + 1)}"
        if trace := self._trace(record):
            text += "\n" + "\n".join(printable(line) for line in trace.splitlines())
        if self._colours and record.levelno >= logging.WARNING:
            text = f"{_RED if record.levelno >= logging.ERROR else _YELLOW}{text}{_RESET}"
        return self._new_day(record) + text

    def _line(self, record: logging.LogRecord, taken: int) -> str:
        if (line := getattr(record, "attempt_line", None)) is not None:
            return str(line.text(self._width() - taken))
        text = record.getMessage()
        if record.name.partition(".")[0] in OWN:
            return printable(single_line(text, _LONGEST))
        return f"{record.levelname} {record.name}: {text}"  # perhaps of an experiment: `qexp logs` escapes it

    def _trace(self, record: logging.LogRecord) -> str:
        """Return a traceback. Celery's warnings name the problem already."""
        if record.exc_info and not record.exc_text and not _is_celery_warning(record):
            record.exc_text = self.formatException(record.exc_info)
        return record.exc_text or ""

    def _width(self) -> int:
        if self._terminal is None:
            return _WIDTH
        try:
            return max(_NARROWEST, os.get_terminal_size(self._terminal.fileno()).columns or _USUAL)
        except (OSError, ValueError):
            return _WIDTH

    def _new_day(self, record: logging.LogRecord) -> str:
        day = time.strftime("%Y-%m-%d", time.localtime(record.created))
        if self._terminal is None or day <= self._day:
            return ""
        self._day = day
        return f"{day}\n"


def _is_celery_warning(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR and record.name.partition(".")[0] == "celery"
