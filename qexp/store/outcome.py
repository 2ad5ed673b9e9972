"""How an attempt ended: by a result, an error or a departure, and what it used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qexp.model import Failure, Imports, Json
from qexp.truncation import MAX_STORED, single_line, truncated

_NAME = 1_000
"""Bytes that are kept of a name, such as an error's type."""


def _truncate(kept: Error | Departure, **limits: int) -> None:
    """Truncate texts here, since every process that stores an error or departure constructs it."""
    for name, limit in limits.items():
        if (text := getattr(kept, name)) is not None:
            object.__setattr__(kept, name, truncated(text, limit))


@dataclass(frozen=True)
class Error:
    """The error of a failed attempt, as a person sees it; long texts keep their beginning and end."""

    failure: Failure
    type: str
    message: str
    frame: str | None = None
    fingerprint: str | None = None
    traceback: str | None = None
    signal: str | None = None
    """The signal that ended its process, such as SIGKILL."""

    def __post_init__(self) -> None:
        _truncate(self, type=_NAME, message=MAX_STORED, frame=_NAME, traceback=MAX_STORED)

    @property
    def line(self) -> str:
        """Its type and message on a line of a log."""
        return single_line(f"{self.type}: {self.message}")


@dataclass(frozen=True)
class Departure:
    """An attempt that ended of its own will without a verdict: `released` or `paused`."""

    outcome: str
    reason: str | None = None

    def __post_init__(self) -> None:
        _truncate(self, reason=MAX_STORED)


@dataclass(frozen=True)
class Usage:
    """What an attempt used; None: not known."""

    cpu_seconds: float | None = None
    """User and system time of the process and of the children it waited for."""
    peak_memory: int | None = None
    """Most resident bytes at once, of the process (with what it had when the attempt began) or of one child."""
    gpu_memory: int | None = None
    """Most bytes that the process held on all GPUs together, as far as sampled."""
    energy_kwh: float | None = None
    """What codecarbon attributes to the process and its children."""


UNKNOWN = Usage()


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: with results, or by an error or departure, then with the results recorded before."""

    result: Mapping[str, Json] | None = None
    error: Error | None = None
    departure: Departure | None = None
    recorded_at: Mapping[str, str] | None = None
    """When parts of the result came, in ISO format, where that was before the end."""
    usage: Usage = UNKNOWN
    imports: Imports | None = None
    """What it imported; None: not known."""

    @property
    def is_done(self) -> bool:
        """Whether it is a result."""
        return self.error is None and self.departure is None

    @property
    def name(self) -> str:
        """The outcome in the attempt's row."""
        if self.departure is not None:
            return self.departure.outcome
        return "done" if self.error is None else str(self.error.failure)
