"""Parts of the sentences that say what is wrong with a file."""

from __future__ import annotations

from typing import Any

from qexp.model import plain
from qexp.truncation import shortened


def shown(value: Any, width: int = 60) -> str:
    """
    Return a value as a message shows it: text in quotes, data as JSON, at most *width* characters.

    >>> shown("svc"), shown([1, None]), shown("x" * 9, width=6)
    ("'svc'", '[1, null]', "'xxxx…")
    """
    try:
        text = repr(value) if isinstance(value, str) else plain(value)
    except (TypeError, ValueError):
        text = repr(value)
    return shortened(text, width)
