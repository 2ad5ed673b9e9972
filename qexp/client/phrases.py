"""How an explanation words times, numbers, reasons and ends."""

from __future__ import annotations

from datetime import datetime

from qexp.model import ago, duration
from qexp.store.reports import AttemptView
from qexp.truncation import shortened, single_line

_WIDTH = 200


def moment(at: datetime, now: datetime) -> str:
    """Return a time of day, with the date if that is another day than now."""
    return f"{clock(at, now)} {at:%Z}".strip()


def clock(at: datetime, now: datetime) -> str:
    """Return a moment without its zone."""
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def how_long_ago(at: datetime, now: datetime) -> str:
    """Return how long ago a moment was."""
    return ago((now - at).total_seconds()).replace("now", "just now")


def dated(at: datetime, now: datetime) -> str:
    """Return how long ago a moment was, and which one it was."""
    return f"{how_long_ago(at, now)}, at {moment(at, now)}"


def span(seconds: float) -> str:
    """Return a duration of a second at least."""
    return duration(max(1, round(seconds)))


def ended_by(attempt: AttemptView) -> str:
    """Say what an attempt ended by, with its error on the same line."""
    error = f"{attempt.error_type}: {attempt.error_message}" if attempt.error_message else attempt.error_type
    place = f" (at {attempt.error_frame})" if attempt.error_frame else ""
    return f"ended by {attempt.outcome}" + (f", {short(error)}{place}" if error else "")


def short(text: str, width: int = _WIDTH) -> str:
    """Return a text on one line that is not longer than *width*."""
    return shortened(single_line(text), width)


def because(reason: str | None) -> str:
    """Return the end of a sentence that gives a person's reason, if there is one."""
    return f" because: {short(reason).rstrip('.')}" if reason else ""


def exhausted(kind: str, budget: int) -> str:
    """Say why a kind of failure has no retry left."""
    if not budget:
        return f"as its study gives none to '{kind}' (key 'retries' of the grid)"
    which = "the only one" if budget == 1 else f"all {budget}"
    return f"as {which} that its study gives to '{kind}' {are(budget)} used"


def are(number: int) -> str:
    """Return the verb of so many."""
    return "is" if number == 1 else "are"


def many(number: int, one: str, several: str) -> str:
    """Return so many of something."""
    return f"{number:,} {one if number == 1 else several}"
