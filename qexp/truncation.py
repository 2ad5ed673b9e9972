"""Truncate the user's text, such as messages of errors, to a length that can be stored and shown."""

from __future__ import annotations

from collections.abc import Sequence

MAX_STORED = 65_536
"""The most bytes of a message, a traceback or a reason that are stored."""
MAX_LINE = 300
"""The most bytes of an error in a line of a log, a table or a monitor."""


def truncated(text: str, limit: int = MAX_STORED) -> str:
    """
    Return text of at most *limit* bytes of UTF-8; longer text keeps its beginning and end.

    A mark between the two tells how many bytes are left out. No character is cut. Mask secrets before you truncate: a
    cut secret would not be found.

    >>> truncated("short", 60)
    'short'
    >>> truncated("a" * 500 + "z" * 500, 60)
    'aaaaaaaaaaaaaaa\\n… 970 bytes left out …\\nzzzzzzzzzzzzzzz'
    """
    if 4 * len(text) <= limit:
        return text
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= limit:
        return text
    half = (limit - len(_mark(len(data)).encode())) // 2
    first, last = _decoded(data[:half]), _decoded(data[-half:])
    return f"{first}{_mark(len(data) - _size(first) - _size(last))}{last}"


def single_line(text: object, limit: int = MAX_STORED) -> str:
    """
    Return text, or the message of an exception, as one line of at most *limit* bytes.

    >>> single_line("no GPU\\n  here")
    'no GPU here'
    """
    return " ".join(truncated(" ".join(str(text).split()), limit).split())


def shortened(text: str, width: int) -> str:
    """
    Return text of at most *width* characters; longer text ends with an ellipsis.

    >>> shortened("random forest", 8)
    'random …'
    """
    return text if len(text) <= width else f"{text[: width - 1]}…"


def listed(texts: Sequence[str], most: int, separator: str = ", ") -> str:
    """
    Return the first *most* texts, and the number of the others.

    >>> listed(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    rest = len(texts) - most
    return separator.join(texts[:most]) + f" and {rest:,} more" * (rest > 0)


def _mark(number: int) -> str:
    return f"\n… {number:,} bytes left out …\n"


def _decoded(data: bytes) -> str:
    """Return the whole characters of bytes that may begin and end inside of a character."""
    start = 0
    while start < len(data) and data[start] & 0b1100_0000 == 0b1000_0000:
        start += 1
    for end in range(len(data), max(start, len(data) - 4) - 1, -1):
        try:
            return data[start:end].decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            continue
    return ""


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
