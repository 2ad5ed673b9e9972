"""The table of `qexp status`: a line per study, as wide as the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.text import Text

from qexp.analysis.column_fitting import TableColumn
from qexp.analysis.text_layout import StyledText
from qexp.cli.output import STYLES, table
from qexp.cli.terminal_writer import printable
from qexp.client.listings.studies import Studies
from qexp.model import Status
from qexp.store.reads.study_progress import StudyProgress

_REASONS = 5
"""The most paused studies whose reasons are shown."""


def status_table(all_counts: Sequence[StudyProgress]) -> RenderableType:
    """
    Return one line per study, and one more for some that are paused.

    Columns without a number are left out, except `done`. Long names lose their middle, so that all numbers are whole.
    """
    columns = [_styled(column) for column in Studies().columns(all_counts)]
    return Group(table(columns), *map(Text, _paused(all_counts)))


def _styled(column: TableColumn) -> TableColumn:
    """Return a column with its numbers in the colour of their status."""
    if column.label in ("study", "total", "rate"):
        return column
    styles = {"0": "dim", "paused": STYLES[Status.PAUSED], "no worker": STYLES[Status.PAUSED]}
    own = "" if column.label == "left" else STYLES.get(Status(column.label), "")
    return replace(column, cells=[StyledText(text, styles.get(text, own)) for text in column.texts])


def _paused(all_counts: Sequence[StudyProgress]) -> list[str]:
    lines = [printable(line) for counts in all_counts if (line := pause_line(counts))]
    more = [f"{len(lines) - _REASONS} more studies are paused"] if len(lines) > _REASONS + 1 else []
    return [*lines[-_REASONS:], *more] if more else lines


def pause_line(counts: StudyProgress) -> str:
    """Return a line with the reason of a pause. Returns an empty text if the study is not paused."""
    if counts.paused_at is None:
        return ""
    why = f": {counts.pause_reason}" if counts.pause_reason else ""
    since = f"{counts.paused_at.astimezone():%Y-%m-%d %H:%M}"
    return f"{counts.study} is paused since {since}{why}; resume it with 'qexp resume {counts.study}'"
