"""Print data to stdout, as a table or JSON, and messages to stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from qexp.cli.terminal_writer import data, echo, out, printable
from qexp.model import Status, strict
from qexp.truncation import listed

if TYPE_CHECKING:  # slow to import, and not every command prints a table
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from qexp.analysis.text_layout import StyledLine

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


def show_lines(lines: Iterable[StyledLine]) -> None:
    """Print lines in their styles; a command stays on one line, so that it can be copied."""
    from rich.text import Text

    screen = console()
    for line in lines:
        text = Text(no_wrap=True, overflow="ignore")
        for piece in line:
            text.append(printable(piece.text), piece.style)
        text.rstrip()
        screen.print(text, soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class Heading:
    """The heading of a table's column, and the layout of the column."""

    text: str
    right: bool = False
    """Aligned to the right."""
    cut: bool = False
    """If the table is wider than the screen, cells end in an ellipsis, or the column is left out."""


def headings(*texts: str, right: Iterable[str] = (), cut: Iterable[str] = ()) -> list[Heading]:
    """Return the headings of a table whose columns have different names."""
    numbers, cuttable = set(right), set(cut)
    return [Heading(text, text in numbers, text in cuttable) for text in texts]


def table(columns: Sequence[Heading], rows: Iterable[Sequence[str | Text]]) -> Table:
    """
    Return a table.

    If it would be wider than the screen, columns that may be cut become narrower and their cells end in an ellipsis. If
    that is not enough, the last of these columns are left out and named below.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.markup import escape
    from rich.table import Table

    columns = [dataclasses.replace(heading, text=printable(heading.text)) for heading in columns]
    rows = [[printable(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    widths = [
        max([cell_len(heading.text), *(cell_len(str(row[index])) for row in rows)])
        for index, heading in enumerate(columns)
    ]
    floors = [max(_NARROWEST, min(cell_len(heading.text), _HEADING)) if heading.cut else None for heading in columns]
    kept, hidden = _fit(widths, floors, console().width)
    made = Table(box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for index, width in kept.items():
        made.add_column(
            escape(columns[index].text),
            justify="right" if columns[index].right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=width,
        )
    for row in rows:
        cells = [row[index] for index in kept]
        made.add_row(*(escape(cell) if isinstance(cell, str) else cell for cell in cells))
    if hidden:
        names = [columns[index].text for index in hidden]
        made.caption = f"not shown: {listed(names, _NAMED)}; widen the window, or --format json"
        made.caption_justify = "left"
    return made


_GAP = 2
"""Spaces between two columns."""
_NARROWEST = 6
_HEADING = 20
"""Characters of a heading that are never cut, since headings of nested results have the same beginning."""
_NAMED = 12
"""The most hidden columns that are named below a table."""


def _fit(widths: Sequence[int], floors: Sequence[int | None], room: int) -> tuple[dict[int, int], list[int]]:
    """
    Return the widths of the columns that fit into *room*, and the columns that do not fit; both by their indices.

    The widest column is cut first. *floors* are the smallest widths; a column with the floor None is never cut.
    """
    kept, hidden = dict(enumerate(widths)), list[int]()
    while sum(kept.values()) + _GAP * (len(kept) - 1) > room:
        spare = {index: width - floor for index, width in kept.items() if (floor := floors[index]) is not None}
        if not spare:
            break
        if any(excess > 0 for excess in spare.values()):
            widest = max((index for index, excess in spare.items() if excess > 0), key=lambda index: kept[index])
            kept[widest] -= 1
        else:
            hidden.insert(0, last := max(spare))
            del kept[last]
    return kept, hidden


def wrapped(text: str, indent: int = 0) -> str:
    """Return text in lines that fit beside an indent, without breaks in a path or address."""
    lines = textwrap.wrap(text, max(20, console().width - indent), break_long_words=False, break_on_hyphens=False)
    return f"\n{'':{indent}}".join(lines)


def status_text(status: Status) -> Text:
    """Return a status in its colour."""
    from rich.text import Text

    return Text(status, style=STYLES.get(status, ""))


def confirm(question: str, count: int, yes: bool) -> None:
    """Ask for confirmation if a command affects more than 10 experiments; without a terminal, refuse."""
    if yes or count <= 10:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Add -y to confirm")
    if not click.confirm(question, err=True):
        say("nothing was changed")
        raise SystemExit(2)
