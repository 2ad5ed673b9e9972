"""One attempt: its claim, and how it ended (result, error or departure, usage, imports)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from qexp.model.canonical import Json
from qexp.model.status import Failure
from qexp.truncation import MAX_LINE, MAX_STORED, single_line, truncated

_NAME = 1_000
"""Bytes that are kept of a name, such as an error's type."""


class Claim(NamedTuple):
    """An experiment that a worker took for one attempt: what it needs to run the function and to finish the attempt."""

    id: int
    attempt: int
    worker: UUID
    params: Mapping[str, Json]
    fingerprint: UUID
    settings: Mapping[str, Json]
    study_id: int
    study: str
    function: str
    folder: Path | None
    result_names: tuple[str, ...]
    """Names of the study's results, known when this process first claimed an experiment of the revision."""
    source: str | None = None
    """The snapshot of the folder to import from; None: the folder itself, or what is installed."""
    timeout: float | None = None
    """Seconds."""
    memory: int | None = None
    """Bytes."""
    isolation: str = "child"
    output: int = 65536
    """Bytes of output that are kept of its beginning, and as many of its end."""


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
        return single_line(f"{self.type}: {self.message}", MAX_LINE)


@dataclass(frozen=True)
class Departure:
    """An attempt that ended without result or error: `released` or `paused`."""

    outcome: str
    reason: str | None = None

    def __post_init__(self) -> None:
        _truncate(self, reason=MAX_STORED)


@dataclass(frozen=True)
class Usage:
    """The time, memory and energy that an attempt used; None: not known."""

    cpu_seconds: float | None = None
    """User and system time of the process and of the children it waited for."""
    peak_memory: int | None = None
    """Most resident bytes at once, of the process (with what it had when the attempt began) or of one child."""
    gpu_memory: int | None = None
    """Most bytes that the process held on all GPUs together, as far as sampled."""
    energy_kwh: float | None = None
    """The energy that codecarbon attributes to the process and its children."""


UNKNOWN = Usage()


@dataclass(frozen=True)
class Imports:
    """The files and packages that an attempt imported; both lists are sorted."""

    files: tuple[str, ...]
    """Files of its snapshot, relative to the snapshot's folder. A namespace package is its absent `__init__.py`."""
    packages: tuple[str, ...]
    """Top-level names of installed modules, such as numpy."""

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits that are equal where both lists are."""
        text = json.dumps([self.files, self.packages])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: with a result, or by an error or departure and the results recorded before."""

    result: Mapping[str, Json] | None = None
    error: Error | None = None
    departure: Departure | None = None
    recorded_at: Mapping[str, str] | None = None
    """When parts of the result were recorded before the end, in ISO format."""
    usage: Usage = UNKNOWN
    imports: Imports | None = None
    """None: not known."""

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


class OutputPiece(NamedTuple):
    """Some output, by its offset and size in bytes."""

    position: int
    size: int
    text: str
