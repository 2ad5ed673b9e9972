"""The line about an attempt that did not end with a result."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple, Self

from qexp.escapes import printable
from qexp.model import Error, Failure, duration
from qexp.truncation import MAX_LINE, shortened, single_line

_VERBS = {Failure.TIMEOUT: "timed out", Failure.CRASHED: "crashed", Failure.LOST: "was lost"}
"""The verbs of failures whose types say no more; the others `failed`."""
_LONGEST = 2_000
"""The most bytes of an error that other processes receive."""
_SHORTEST = 20
"""Characters of an error that a line shows even on a narrow terminal."""


class AttemptLine(NamedTuple):
    """A failed attempt, as a line that fits into a width."""

    study: str
    experiment: int
    verb: str
    error: str
    type: str
    fingerprint: str
    """Failures of a study with the same fingerprint are one group."""
    seconds: float | None = None
    """How long the attempt ran."""
    retry_in: float | None = None
    """Seconds until the next attempt is due; None: there is none."""

    @classmethod
    def of(cls, study: str, experiment: int, error: Error, seconds: float | None, retry_in: float | None) -> Self:
        """Return the line of a failed attempt."""
        verb = _VERBS.get(error.failure)
        text = error.message.removeprefix("its process died: ") if verb else f"{error.type}: {error.message}"
        text = printable(single_line(text, _LONGEST))
        mark = error.fingerprint or error.type
        return cls(study, experiment, verb or "failed", text, error.type, mark, seconds, retry_in)

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> Self:
        """Return the line whose fields another process has sent."""
        return cls(**fields)  # type: ignore[arg-type]

    def text(self, width: int) -> str:
        """
        Return the line. Only the error is shortened to make it fit into *width* characters.

        >>> AttemptLine("lenet", 117, "failed", "ValueError: no", "ValueError", "a1b2", 0.027, 10.2).text(80)
        'lenet #117 failed: ValueError: no (27 ms); again in 10 s'
        """
        begin = f"{self.study} #{self.experiment} {self.verb}: "
        end = "" if self.seconds is None else f" ({duration(max(0.0, self.seconds))})"
        if self.retry_in is not None:
            end += f"; again in {duration(float(round(self.retry_in)))}" if self.retry_in >= 1 else "; again now"
        return begin + shortened(self.error, max(_SHORTEST, width - len(begin) - len(end))) + end

    def log(self, logger: logging.Logger) -> None:
        """Log the line; the main process sums up lines of the same group."""
        logger.warning("%s", self.text(MAX_LINE), extra={"attempt_line": self})
