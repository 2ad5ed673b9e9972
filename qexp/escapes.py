"""Escape characters that control a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""
    Return text for one line, with escapes for all unprintable characters.

    >>> printable("a\x1b[31m")
    'a\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
