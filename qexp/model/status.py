"""Statuses of experiments, how attempts fail, and why a study has an experiment."""

from __future__ import annotations

from enum import StrEnum

DEATHS_BEFORE_ISOLATION = 2
"""Workers that died while they ran an experiment, on hosts that kept running. It then runs in a process of its own."""


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
"""An experiment leaves these states without a person."""
CLOSED = (Status.DONE, Status.FAILED, Status.CANCELLED, Status.PAUSED)
"""An experiment leaves these states only when a person requeues it."""


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
