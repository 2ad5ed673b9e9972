"""The statuses of experiments, the kinds of failures, and the origins of a study's experiments."""

from __future__ import annotations

from enum import StrEnum

DEATHS_BEFORE_ISOLATION = 2
"""The number of workers that an experiment may kill; after that, it runs in a process of its own."""


class Status(StrEnum):
    """The state of an experiment."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"


OPEN = (Status.PENDING, Status.QUEUED, Status.RUNNING)
"""States that an experiment leaves by itself."""
CLOSED = (Status.DONE, Status.FAILED, Status.CANCELLED, Status.PAUSED)
"""States that an experiment leaves only if a person requeues it."""


class Origin(StrEnum):
    """Why a study has an experiment."""

    GRID = "grid"
    """The study's grid has it."""
    CODE = "code"
    """Code added it."""
    ORPHANED = "orphaned"
    """An earlier revision of the grid had it."""


class Failure(StrEnum):
    """Why an attempt failed."""

    ERROR = "error"
    """The function raised, or its result is not data."""
    TIMEOUT = "timeout"
    """The attempt took longer than its timeout."""
    CRASHED = "crashed"
    """The process of the attempt died."""
    LOST = "lost"
    """The worker stopped sending heartbeats."""
    INVALID = "invalid"
    """The function could not be imported or called."""
