"""Break the lines of a message between words, but never inside a command that a person copies."""

from __future__ import annotations

import re
import textwrap

_NARROWEST = 20
_COMMAND = re.compile(r"""\b(?:qexp|celery|pip|mkdir) (?:"[^"\n]*"|[^\s'";,)]+|'[^'\n]*'(?=[ ;,\n]|$)| (?=\S))+""")
_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'(?!\w)")
_OPTION = re.compile(r"--[a-z-]+ (?!and\b|or\b)\S+")
_JOINED = "\N{NO-BREAK SPACE}"


def message_lines(text: str, width: int) -> str:
    """
    Return text in lines of at most *width* columns; a longer command or path has a line of its own.

    >>> print(message_lines("no study is named 'resnets'; 'qexp status --archived' lists them", 40))
    no study is named 'resnets';
    'qexp status --archived' lists them
    """
    return "\n".join(part for line in text.split("\n") for part in _parts(line, width))


def _parts(line: str, width: int) -> list[str]:
    joined = line
    for whole in (_QUOTED, _COMMAND, _OPTION):
        joined = whole.sub(_without_breaks, joined)
    indent = "  " if line.startswith("- ") else ""
    parts = textwrap.wrap(
        joined, max(_NARROWEST, width), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [part.replace(_JOINED, " ") for part in parts] or [""]


def _without_breaks(match: re.Match[str]) -> str:
    return match[0].replace(" ", _JOINED)
