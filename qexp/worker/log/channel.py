"""Send log records from children to the main process, which prints the lines of all processes."""

from __future__ import annotations

import json
import logging
import os
import socket
from typing import Any

from qexp.truncation import truncated
from qexp.worker.log.attempt_line import AttemptLine
from qexp.worker.log.repetition import cause_of

_TEXT, _TRACE = 8_000, 16_000
"""The most bytes of a message and of a traceback that are sent."""
_LARGEST = 1_000_000
_PATIENCE = 0.5
"""Seconds that a child waits for a main process that does not read."""


class LogChannel:
    """A pair of sockets; make it before the pool forks its children."""

    def __init__(self) -> None:
        # datagrams: lines of several children never mix. Not a pipe: a function may close and reuse its number
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._writer.settimeout(_PATIENCE)
        self._inode = os.fstat(self._writer.fileno()).st_ino
        self.failed = 0
        """Records that this process could not send."""

    def send(self, record: logging.LogRecord) -> None:
        """Send a record. It is lost if the main process does not read, or if a function has closed the socket."""
        line: AttemptLine | None = getattr(record, "attempt_line", None)
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
        fields = {
            "name": record.name,
            "levelno": record.levelno,
            "levelname": record.levelname,
            "created": record.created,
            "cause": cause_of(record),
            "text": truncated(record.getMessage(), _TEXT),
            "exc_text": trace and truncated(trace, _TRACE),
            "attempt_line": line and line._asdict(),
            "failed": self.failed,
        }
        try:
            if os.fstat(self._writer.fileno()).st_ino != self._inode:
                raise OSError("the function has opened another file at its number")
            self._writer.send(json.dumps(fields).encode())
            self.failed = 0
        except OSError:
            self.failed += 1

    def receive(self, seconds: float) -> list[logging.LogRecord]:
        """Return the next record, with the number of lost ones before it; none after *seconds*, or after a wake."""
        self._reader.settimeout(seconds)
        try:
            data = self._reader.recv(_LARGEST)
        except (TimeoutError, BlockingIOError):
            return []
        return _records(json.loads(data)) if data else []

    def wake(self) -> None:
        """End the wait of `receive` in this process."""
        try:
            self._writer.send(b"")
        except OSError:  # it has records to read, so it does not wait
            return


class ForwardingHandler(logging.Handler):
    """Sends records of a child to the main process. The function's output is captured, so a child prints nothing."""

    def __init__(self, channel: LogChannel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._channel.send(record)
        except Exception:  # noqa: BLE001 - as all handlers of logging do
            self.handleError(record)


def _records(fields: dict[str, Any]) -> list[logging.LogRecord]:
    line, text, failed = (fields.pop(name) for name in ("attempt_line", "text", "failed"))
    record = logging.makeLogRecord({**fields, "msg": text})
    if line is not None:
        record.attempt_line = AttemptLine.read(line)
    if not failed:
        return [record]
    lost = f"{failed:,} lines of a child are missing here, because the main process was too busy"
    return [logging.makeLogRecord({**fields, "exc_text": None, "cause": "lost", "msg": lost}), record]
