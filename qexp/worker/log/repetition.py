"""Sum up repeated lines, so that 10,000 failures do not flood a log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from qexp.model import SHORT_GROUP
from qexp.worker.log.attempt_line import AttemptLine

ALWAYS = {"is_never_left_out": True}
"""The `extra` of lines that pass every filter."""

_LINES = 10
"""Lines of a group that are printed before the others are only counted."""
_STUDY_GROUPS = 20
"""Groups of failures of a study; all others are one more group."""
_STUDY_SUMMARIES = 3
"""Groups of a study with a summary each; more of them have one together."""
_PER_MINUTE = 30
"""Lines about failures within a minute before all others are counted."""
_PAUSE = 60.0
"""Seconds between two summaries of a group."""
_FORGOTTEN = 600.0
"""Seconds without a new line after which a group begins again."""


@dataclass
class LineGroup:
    """Lines with the same cause: failures of a study with one error, or lines of one message of qexp."""

    study: str | None
    logger: str
    level: int
    last: str = ""
    """The text of the last line."""
    printed: int = 0
    counted: int = 0
    """Lines that were left out since the last summary."""
    retried: int = 0
    """Attempts among them whose experiments are tried again."""
    errors: set[tuple[str, str]] = field(default_factory=set)
    """Types and fingerprints of errors among them; two at most."""
    seen_at: float = 0.0
    told_at: float = 0.0
    """When a line or a summary of the group was printed last."""

    def count(self, line: AttemptLine | None) -> None:
        """Count a line that is left out."""
        self.counted += 1
        if line is not None:
            self.retried += line.retry_in is not None
            if len(self.errors) < 2:
                self.errors.add((line.type, line.fingerprint))

    def told(self, now: float) -> None:
        """Begin to count again, after a summary."""
        self.counted, self.retried, self.told_at = 0, 0, now
        self.errors.clear()


def cause_of(record: logging.LogRecord) -> str:
    """Return the template of a line, which lines with the same cause share, also of a line that a child has sent."""
    cause = str(getattr(record, "cause", record.msg))
    if cause.startswith("%s") and isinstance(record.args, tuple) and record.args:
        cause += str(record.args[0])  # the template alone does not tell the cause
    return cause


class RepetitionFilter(logging.Filter):
    """
    Lets the first lines of each group through, and counts the others until `summarise` logs their number.

    Lines of other programs' loggers pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.RLock()
        """A signal handler may log while its thread is in here."""
        self._groups: dict[tuple[str, str], LineGroup] = {}
        self._minute, self._in_minute = 0.0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "is_never_left_out") or not record.name.startswith("qexp"):
            return True
        line: AttemptLine | None = getattr(record, "attempt_line", None)
        with self._lock:
            group = self._group(record, line)
            now = group.seen_at = self._clock()
            group.last = record.getMessage()
            if now - self._minute >= _PAUSE:
                self._minute, self._in_minute = now, 0
            if group.printed >= _LINES or (line is not None and self._in_minute >= _PER_MINUTE):
                group.count(line)
                return False
            group.printed += 1
            self._in_minute += line is not None
            group.told_at = now
            return True

    def _group(self, record: logging.LogRecord, line: AttemptLine | None) -> LineGroup:
        if line is None:
            key, made = (record.name, cause_of(record)), LineGroup(None, record.name, record.levelno)
        else:
            key, made = (f"study {line.study}", line.fingerprint), LineGroup(line.study, record.name, record.levelno)
            if key not in self._groups and len(self._of(line.study)) >= _STUDY_GROUPS:
                key = key[0], ""
        return self._groups.setdefault(key, made)

    def _of(self, study: str | None) -> list[LineGroup]:
        return [group for group in self._groups.values() if group.study == study]

    def summarise(self, study: str | None = None, everything: bool = False) -> None:
        """Log the numbers of lines that were left out for a minute, or those of a *study*, or of *everything*."""
        with self._lock:
            now = self._clock()
            due: dict[str | int, list[LineGroup]] = {}
            for group in self._groups.values():
                wanted = everything or (study is not None and group.study == study) or now - group.told_at >= _PAUSE
                if group.counted and wanted:
                    due.setdefault(group.study or id(group), []).append(group)
            lines = [(groups[0], text) for groups in due.values() for text in _summaries(groups)]
            for groups in due.values():
                for group in groups:
                    group.told(now)
            self._groups = {key: group for key, group in self._groups.items() if now - group.seen_at < _FORGOTTEN}
        for group, text in lines:
            logging.getLogger(group.logger).log(group.level, "%s", text, extra=ALWAYS)

    def forget(self, study: str) -> None:
        """Begin again with a study that has finished: its next failures are news."""
        self.summarise(study)
        with self._lock:
            self._groups = {key: group for key, group in self._groups.items() if group.study != study}


def _summaries(groups: list[LineGroup]) -> list[str]:
    """Return the lines that stand for those of some groups, of one study or without a study."""
    if groups[0].study is None:
        return [f"{group.counted:,} more like this: {group.last}" for group in groups]
    if len(groups) <= _STUDY_SUMMARIES:
        return [_summary([group]) for group in groups]
    return [_summary(groups)]


def _summary(groups: list[LineGroup]) -> str:
    """Return the line that stands for some failures of a study."""
    study = groups[0].study
    found = set().union(*(group.errors for group in groups))
    errors = "several errors"
    if len(found) == 1:
        ((kind, mark),) = found
        errors = f"{kind} (error {mark[:SHORT_GROUP]})"
    retried = sum(group.retried for group in groups)
    again = f", {retried:,} of them run again" if retried else ""
    return (
        f"{study}: {sum(group.counted for group in groups):,} more failed with {errors}{again}; 'qexp errors {study}'"
    )
