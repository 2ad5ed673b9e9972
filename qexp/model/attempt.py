"""Types of one attempt: its claim, and its outcome with result, error or departure, usage and imports."""

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
"""The most bytes of a name, such as an error's type; longer names are truncated."""
SHORT_GROUP = 6
"""The digits of an error's fingerprint that people see; selectors accept them."""


class Claim(NamedTuple):
    """An experiment that a worker has claimed for one attempt, with all that the attempt needs to run and finish."""

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
    """Names of the study's results at the time when this process first claimed an experiment of the revision."""
    source: str | None = None
    """The snapshot to import the function from; None: the folder itself, or installed packages."""
    timeout: float | None = None
    """Seconds."""
    memory: int | None = None
    """Bytes."""
    isolation: str = "child"
    output: int = 65536
    """Bytes of the output's beginning that Postgres keeps, and as many of its end."""


def _truncate(ending: Error | Departure, **limits: int) -> None:
    """Truncate texts here, since every process that stores an error or departure constructs it."""
    for name, limit in limits.items():
        if (text := getattr(ending, name)) is not None:
            object.__setattr__(ending, name, truncated(text, limit))


@dataclass(frozen=True)
class Error:
    """The error of a failed attempt, as people see it; long texts keep their beginning and end."""

    failure: Failure
    type: str
    message: str
    frame: str | None = None
    fingerprint: str | None = None
    traceback: str | None = None
    signal: str | None = None
    """The name of the signal that ended the process, such as SIGKILL."""

    def __post_init__(self) -> None:
        _truncate(self, type=_NAME, message=MAX_STORED, frame=_NAME, traceback=MAX_STORED)

    @property
    def line(self) -> str:
        """Its type and message as one line for logs."""
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
    """The time, memory and energy that an attempt used; None if unknown."""

    cpu_seconds: float | None = None
    """User and system time of the process and of the children that it waited for."""
    peak_memory: int | None = None
    """The largest resident size of the process or of one of its children, in bytes; memory from before counts too."""
    gpu_memory: int | None = None
    """The most bytes that a sample found for the process on all GPUs together."""
    energy_kwh: float | None = None
    """The energy that codecarbon attributes to the process and its children."""


UNKNOWN = Usage()


@dataclass(frozen=True)
class Imports:
    """The files and packages that an attempt imported; both lists are sorted."""

    files: tuple[str, ...]
    """Files of its snapshot, relative to the snapshot's folder. A missing `__init__.py` is a namespace package."""
    packages: tuple[str, ...]
    """Top-level names of installed modules, such as numpy."""

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits that identify the two lists."""
        text = json.dumps([self.files, self.packages])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """The end of an attempt: a result, or an error or departure with the results that were recorded before it."""

    result: Mapping[str, Json] | None = None
    error: Error | None = None
    departure: Departure | None = None
    recorded_at: Mapping[str, str] | None = None
    """When parts of the result were recorded before the end, in ISO format."""
    usage: Usage = UNKNOWN
    imports: Imports | None = None
    """None if unknown."""

    @property
    def is_done(self) -> bool:
        """Whether the attempt ended with a result."""
        return self.error is None and self.departure is None

    @property
    def name(self) -> str:
        """The outcome in the attempt's row."""
        if self.departure is not None:
            return self.departure.outcome
        return "done" if self.error is None else str(self.error.failure)


def with_recorded(recorded: Mapping[str, Json], returned: Mapping[str, Json]) -> dict[str, Json]:
    """
    Return the result of an attempt: the values that it only recorded, then those that it returned, in their order.

    >>> with_recorded({"b": 1, "stage": 2}, {"a": 3, "b": 4})
    {'stage': 2, 'a': 3, 'b': 4}
    """
    return {**{name: value for name, value in recorded.items() if name not in returned}, **returned}


class OutputPiece(NamedTuple):
    """A part of an attempt's output; offset and size count bytes."""

    position: int
    size: int
    text: str
