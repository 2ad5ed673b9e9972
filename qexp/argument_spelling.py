"""Spell the arguments that an error names: as options on the command line, and as keywords in Python."""

from __future__ import annotations

import re

_on_command_line = False

_KEYWORDS = {"stat": "statistic", "correct": "correction"}
"""Arguments that have another name in Python."""
_FLAGS = {
    "current": "current=True",
    "failed": 'status="failed"',
    "fresh": "fresh=True",
    "max": "maximize=True",
    "min": "maximize=False",
    "orphaned": "orphaned=True",
    "ranks": "ranks=True",
    "stale": "stale=True",
}
_QUOTED = r"(?<!\w)'[^'\n]*'(?!\w)"
_COMMAND = r"""\bqexp [a-z]+(?: (?:"[^"]*"|'[^']*'|[^\s;,'"]+))*"""
_VALUE = r"""(?!(?:and|or)\b)(?:"[^"]*"|[^\s,;:'"-](?:[^\s;:'"]*[^\s,;:'"])?)"""
_ARGUMENT = re.compile(rf"{_QUOTED}|{_COMMAND}|(?<![\w-])--(?P<name>[a-z][a-z-]*)(?: (?P<value>{_VALUE}))?")


def use_options() -> None:
    """Make errors name arguments as the command line spells them, from now on in this process."""
    global _on_command_line  # noqa: PLW0603 - a process is a command or a program in Python
    _on_command_line = True


def spelled(text: str) -> str:
    """Return an error's text, which names options, in the spelling of the interface that this process uses."""
    return text if _on_command_line else in_python(text)


def in_python(text: str) -> str:
    """
    Return text with keywords of Python in place of options; quoted text and commands keep their options.

    >>> in_python("--allow missing shows the table; --since: found '--x'; qexp requeue lenet --failed")
    'allow="missing" shows the table; since: found \\'--x\\'; qexp requeue lenet --failed'
    """
    return _ARGUMENT.sub(_keyword, text)


def _keyword(match: re.Match[str]) -> str:
    if (name := match["name"]) is None:  # quoted text, or a command
        return match[0]
    rest = match["value"] or ""
    if name in _FLAGS:
        return f"{_FLAGS[name]} {rest}".rstrip()
    keyword = _KEYWORDS.get(name, name.replace("-", "_"))
    if not rest:
        return keyword
    is_bare = rest.startswith('"') or rest.isupper() or rest.isdecimal()
    return f"{keyword}={rest}" if is_bare else f'{keyword}="{rest}"'
