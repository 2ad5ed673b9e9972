"""Print data to stdout, as a table or JSON, and messages to stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from qexp.analysis.column_fitting import TableColumn, table_lines
from qexp.analysis.text_layout import StyledLine, StyledText
from qexp.cli.message_lines import message_lines
from qexp.cli.terminal_writer import data, echo, exact, out, printable
from qexp.model import Status, strict
from qexp.truncation import listed

if TYPE_CHECKING:  # slow to import, and not every command prints a table
    from rich.console import Console, RenderableType
    from rich.text import Text

    from qexp.analysis.export import Tables

STYLES = {
    Status.DONE: "green",
    Status.FAILED: "bold red",
    Status.RUNNING: "cyan",
    Status.CANCELLED: "yellow",
    Status.PAUSED: "yellow",
}
PIPED_WIDTH = 100_000
"""The width of output to a pipe or a file, so that nothing is cut."""


def console() -> Console:
    """Return a console as wide as the screen, or without bounds for a pipe or a file."""
    from rich.console import Console

    stream = out()
    return Console(file=stream, width=None if stream.isatty() else PIPED_WIDTH, soft_wrap=not stream.isatty())


def say(text: str) -> None:
    """Print a message to stderr."""
    echo(text, err=True)


def show_json(found: Any) -> None:
    """Print data as JSON: times in ISO format, NaN as null, infinities as text."""
    data(json.dumps(strict(found), indent=2, ensure_ascii=False, default=_encode, allow_nan=False))


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return strict(dataclasses.asdict(value))
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_csv(tables: Tables) -> None:
    """Print the pieces of a frame as CSV."""
    from qexp.analysis.export import csv_pieces

    for piece in csv_pieces(tables):
        exact(piece)


def show_lines(lines: Iterable[StyledLine]) -> None:
    """Print lines in their styles; a command stays on one line, so that it can be copied."""
    screen = console()
    for line in lines:
        screen.print(_in_style(line), soft_wrap=True)


def _in_style(line: StyledLine) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ignore")
    for piece in line:
        text.append(printable(piece.text), piece.style)
    text.rstrip()
    return text


def table(
    columns: Sequence[TableColumn], notes: Sequence[str] = (), hint: str = "widen the window, or --format json"
) -> RenderableType:
    """Return a table as wide as the screen, then *notes*; the last one names the columns that have no room."""
    from rich.console import Group
    from rich.text import Text

    lines, hidden = table_lines(columns, console().width)
    if hidden:
        notes = [*notes, f"not shown: {listed(hidden, _NAMED)}; {hint}"]
    return Group(*map(_in_style, lines), *(Text(wrapped(printable(note))) for note in notes))


_NAMED = 12
"""The most hidden columns that are named below a table."""


def wrapped(text: str, indent: int = 0) -> str:
    """Return text in lines that fit beside an indent, without breaks in a path, an address or a command."""
    return message_lines(text, console().width - indent).replace("\n", f"\n{'':{indent}}")


def status_text(status: Status) -> StyledText:
    """Return a status in its colour."""
    return StyledText(status, STYLES.get(status, ""))


def confirm(question: str, count: int, yes: bool) -> None:
    """Ask for confirmation if a command affects more than 10 experiments; without a terminal, refuse."""
    if yes or count <= 10:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Add -y to confirm")
    if not click.confirm(question, err=True):
        say("nothing was changed")
        raise SystemExit(2)
