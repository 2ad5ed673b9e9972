"""Times, numbers, reasons and outcomes as explanations write them."""

from __future__ import annotations

from datetime import datetime

from qexp.model import DEFAULT_QUEUE, ago, duration
from qexp.store.reads.experiment_rows import AttemptView
from qexp.truncation import shortened

_WIDTH = 200


def moment(at: datetime, now: datetime) -> str:
    """Return a time of day with its zone, and the date if it is not today."""
    return f"{clock(at, now)} {at:%Z}".strip()


def clock(at: datetime, now: datetime) -> str:
    """Return a time of day, and the date if it is not today."""
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def how_long_ago(at: datetime, now: datetime) -> str:
    """Return how long ago a moment was."""
    return ago((now - at).total_seconds()).replace("now", "just now")


def dated(at: datetime, now: datetime) -> str:
    """Return how long ago a moment was, and its time."""
    return f"{how_long_ago(at, now)}, at {moment(at, now)}"


def wait(seconds: float) -> str:
    """Return a duration of at least a second."""
    return duration(max(1, round(seconds)))


def ending(attempt: AttemptView) -> str:
    """Say how an attempt ended, with its error on the same line."""
    verb = _VERBS.get(attempt.outcome, f"ended: {attempt.outcome}")
    message = attempt.error_message
    if attempt.error_type == "ProcessDied" and message and f"({attempt.exit_signal})" in message:
        return f"{verb}: its process was killed by {attempt.exit_signal}"
    if attempt.outcome in _FROM_USER_CODE and message:
        message = f"{attempt.error_type}: {message}"
    error = _line(message or attempt.error_type or "")
    place = f" (at {attempt.error_frame})" if attempt.error_frame else ""
    return f"{verb}: {error}{place}" if error else verb


_VERBS = {
    "done": "succeeded",
    "error": "failed",
    "timeout": "timed out",
    "crashed": "crashed",
    "lost": "was lost",
    "invalid": "could not start",
    "released": "was released",
}
_FROM_USER_CODE = ("error", "invalid")
"""Outcomes whose error comes from code of the user, so that its type is shown."""


def reason(text: str | None) -> str:
    """Return a person's reason in brackets, with a space before; empty if there is none."""
    return f" (reason: {_line(text).rstrip('.')})" if text else ""


def spent(kind: str, budget: int) -> str:
    """Say why a kind of failure has no retry left."""
    if not budget:
        return f"its study gives no retries to '{kind}' (key 'retries' of the grid)"
    if budget == 1:
        return f"the only retry that its study gives to '{kind}' is used"
    return f"all {budget} retries that its study gives to '{kind}' are used"


def many(number: int, one: str, several: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else several}"


def start_worker(queue: str) -> str:
    """Return the command that starts a worker on a queue."""
    return "celery -A qexp worker" + ("" if queue == DEFAULT_QUEUE else f" -Q {queue}")


def _line(text: str) -> str:
    return shortened(" ".join(text.split()), _WIDTH)
