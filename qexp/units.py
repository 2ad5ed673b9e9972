"""Parse times and sizes as people write them; ambiguous text is refused."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

LONGEST_SPAN = 36_500 * 86_400
"""A century in seconds, well within the range of an interval in Postgres."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+"
_WORDS = {86_400: "d|days?", 3_600: "h|hours?", 60: "m|min|minutes?", 1: "s|sec|seconds?"}
_SPAN = re.compile(r"\s*".join(rf"(?:({_NUMBER})\s*(?:{unit})(?![a-z]))?" for unit in _WORDS.values()))
_CLOCK = re.compile(r"(?:([0-9]+)-)?([0-9]+):([0-5][0-9]):([0-5][0-9])")
_DAYS = re.compile(r"([0-9]+)-([0-9]+):([0-5][0-9])()")
_SHORT_CLOCK = re.compile(r"([0-9]+):([0-9]+)")

_SIZE = re.compile(rf"({_NUMBER})\s*([kmgtpe]?)(i?)(b?)", re.IGNORECASE)
_POWERS = ("", "k", "m", "g", "t", "p", "e")
_COMMA = re.compile(rf"({_NUMBER}),([0-9]+)(.*)")


def seconds(value: Any) -> Any:
    """
    Return a time span in seconds. It is a number or text: 1d12h, 90m, 1.5 hours, or Slurm's 12:00:00 and 1-12:00:00.

    Raises ValueError with the expected formats.

    >>> seconds("1h30m"), seconds(20), seconds("1-12:00:00")
    (5400.0, 20.0, 129600.0)
    """
    if isinstance(value, str):
        value = _span(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError("expected a time span such as 90s, 30m, 2h or 1d, or seconds above 0")
    return _bounded(value)


def span(value: Any) -> float:
    """
    Return a time span of a grid in seconds, as `seconds` does; the span needs a unit unless it is 0.

    >>> span("2h"), span(0)
    (7200.0, 0.0)
    """
    found = _span(value.strip()) if isinstance(value, str) else value
    bare = str(value).strip()
    if re.fullmatch(_NUMBER, bare):
        found = _bounded(float(bare))
        if found > 0:
            raise ValueError(f"expected a time with its unit, such as {bare}h or {bare}s")
    if found is None or isinstance(found, bool) or not isinstance(found, int | float) or not found >= 0:
        raise ValueError("expected a time span such as 90s, 30m, 2h, 1d or 12:00:00")
    return _bounded(found)


def size(value: Any) -> int:
    """
    Return a size of a grid in bytes. It is 0 or has a unit, such as 64 KB (1000 bytes each) or 4GiB (1024 ** 3).

    >>> size("4GB"), size("1.5 KiB"), size(0)
    (4000000000, 1536, 0)
    """
    expected = "expected a size such as 64KB, 500MB, 4GB or 2GiB"
    text = value.strip() if isinstance(value, str) else str(value) if _is_number(value) else ""
    if match := _COMMA.fullmatch(text):
        fraction, whole = f"{match[1]}.{match[2]}{match[3]}", f"{match[1]}{match[2]}{match[3]}"
        raise ValueError(f"{expected}; write {fraction} or {whole}: a comma may mean either")
    if not (match := _SIZE.fullmatch(text)) or (match[3] and not match[2]):
        raise ValueError(expected)
    number = Decimal(match[1])
    if number and not (match[2] or match[4]):
        raise ValueError(f"expected a size with its unit, such as {text}GB, or {text}B for bytes")
    factor: int = (1024 if match[3] else 1000) ** _POWERS.index(match[2].lower())
    if 0 < number * factor < 1:
        raise ValueError(f"{expected}, of at least one byte")
    return int(number * factor)


def size_text(size: float) -> str:
    """
    Return a number of bytes as text for a person.

    >>> size_text(1), size_text(900), size_text(20_000_000), size_text(53_100_000)
    ('1 byte', '900 bytes', '20 MB', '53.1 MB')
    """
    if size == 1:
        return "1 byte"
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _span(text: str) -> float | None:
    """Return the seconds of a text. Returns None if it is no time, raises ValueError if it has two meanings."""
    if match := _CLOCK.fullmatch(text) or _DAYS.fullmatch(text):
        parts = match.groups()
    elif match := _SHORT_CLOCK.fullmatch(text):
        hours, minutes = int(match[1]), int(match[2])
        raise ValueError(f"expected {hours}h{minutes}m, or {hours}m{minutes}s: {text} may mean either")
    elif text and (match := _SPAN.fullmatch(text)):
        parts = match.groups()
    else:
        return None
    return sum(float(part) * unit for part, unit in zip(parts, _WORDS, strict=True) if part)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bounded(value: float) -> float:
    if value > LONGEST_SPAN:
        raise ValueError("expected at most 36500 days")
    return float(value)
