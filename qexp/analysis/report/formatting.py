"""Numbers, times and values as a report writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from qexp.model import Json, duration, plain
from qexp.truncation import single_line

_LONGEST = 160
"""Bytes of a value."""


def moment(at: datetime | None) -> str:
    """Return a time in UTC, so that a report has the same bytes on all machines."""
    return "—" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def value(given: Json) -> str:
    """Return a parameter, setting or result on one line."""
    text = f"{given:.6g}" if isinstance(given, float) else plain(given)
    return single_line(text, _LONGEST)


def hours(seconds: float | None) -> str:
    """
    Return a sum of times: hours if there are many.

    >>> hours(7_200_000), hours(90), hours(None)
    ('2,000 h', '1 min 30 s', '—')
    """
    if seconds is None:
        return "—"
    return f"{seconds / 3600:,.0f} h" if seconds >= 360_000 else duration(seconds) or "0 s"
