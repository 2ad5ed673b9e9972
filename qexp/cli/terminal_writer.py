"""
Write text to a terminal or a pipe.

Stored text cannot control the terminal, and code of users cannot print into the data.
"""

from __future__ import annotations

import os
import re
import sys
from io import TextIOWrapper
from types import TracebackType
from typing import Literal, Self, TextIO

import click

from qexp.escapes import printable

__all__ = ["Stream", "data", "echo", "exact", "open_closed", "out", "printable", "reserve", "visible"]

_COLOUR = r"\x1b\[[0-9;:]*m"
_BEGUN = re.compile(r"\x1b(\[[0-9;:]*)?\Z")
_RESET = "\x1b[0m"
# control characters except tab and line feed, and characters that reorder a line: https://trojansource.codes
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
_SPECIAL = re.compile(rf"(?P<colour>{_COLOUR})|(?P<returns>\r+\n?)|{_CONTROL}")

_OVERWRITTEN = re.compile(r"[^\r\n]\r+(?![\r\n])")
_UNESCAPED = re.compile(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that control a terminal and that JSON does not escape."""

Colours = Literal["escaped", "kept", "removed"]
"""What becomes of sequences that set colours."""


_data: TextIO | None = None


def open_closed() -> None:
    """Open closed standard streams (`>&-`) to /dev/null, before another file gets their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # an opened file gets the first free number
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def reserve() -> None:
    """
    Reserve standard output for data; call it before code of users is imported.

    Afterwards their code prints to stderr: with `print`, from C, in threads and subprocesses, and at exit.
    """
    global _data  # noqa: PLW0603 - standard output belongs to the whole process, too
    stream = sys.stdout
    if _data is not None or not isinstance(stream, TextIOWrapper) or stream.fileno() != 1:
        return
    stream.flush()
    _data = os.fdopen(os.dup(1), "w", encoding=stream.encoding, errors=stream.errors)
    os.dup2(2, 1)
    stream.reconfigure(line_buffering=True)


def out() -> TextIO:
    """Return the stream for data."""
    return _data or sys.stdout


def visible(text: str, colours: Colours = "escaped", returns: str | None = None) -> str:
    r"""
    Return text of several lines, with escapes for characters that control a terminal.

    Carriage returns become *returns*, or are escaped; before a line feed they are removed.

    >>> visible("\x1b[31mred\x1b[0m \x1b]0;title\x07", colours="removed")
    'red \\x1b]0;title\\x07'
    """

    def replaced(match: re.Match[str]) -> str:
        found = match[0]
        if match["colour"] and colours != "escaped":
            return found if colours == "kept" else ""
        if match["returns"]:
            return "\n" if found[-1] == "\n" else _escaped(found) if returns is None else returns
        return _escaped(found)

    return _SPECIAL.sub(replaced, text)


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode()


def echo(text: str = "", err: bool = False) -> None:
    """Print lines that may contain stored text, with escapes for control characters and colours."""
    click.echo(visible(text), sys.stderr if err else out())


def exact(text: str) -> None:
    """Print the text of a file: escaped on a terminal, unchanged into a pipe or a file."""
    click.echo(visible(text) if sys.stdout.isatty() else text, nl=False, color=True)


def data(text: str) -> None:
    """Print JSON; on a terminal, with JSON escapes for characters that control it."""
    screen = out().isatty()
    click.echo(_UNESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text) if screen else text, out())


class Stream:
    """
    Prints the output of an experiment piece by piece; used as a context manager.

    A terminal gets colours and the carriage returns of progress bars. A pipe gets no colours, and one line for each
    state of a progress bar, which `grep` finds.
    """

    def __init__(self) -> None:
        self.overwritten = 0
        """The states of lines that a terminal shows no more."""
        self._in_line = False
        self._screen = sys.stdout.isatty()
        self._colours: Colours = "kept" if self._screen else "removed"
        self._rest = ""

    def write(self, text: str) -> None:
        """Print a piece. An incomplete control sequence at its end waits for the next piece."""
        text = self._rest + text
        begun = _BEGUN.search(text)
        end = begun.start() if begun else len(text.rstrip("\r"))
        self._rest = text[end:]
        if self._screen:
            self._count(text[:end])
        click.echo(visible(text[:end], self._colours, "\r" if self._screen else "\n"), nl=False)

    def _count(self, text: str) -> None:
        """Count the states of lines that the text overwrites."""
        self.overwritten += len(_OVERWRITTEN.findall(f"{'.' * self._in_line}{text}"))
        self._in_line = text[-1] not in "\r\n" if text else self._in_line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        click.echo(visible(self._rest, "removed", "\n") + _RESET * self._screen, nl=False)
