"""The table of `qexp status`: a line per study, as wide as the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from qexp.cli.output import STYLES, console, headings, status_text, table
from qexp.cli.terminal_writer import printable
from qexp.model import Status, duration, rate
from qexp.store.reads.study_progress import StudyProgress

_GAP = 2
_SHORTEST = 16
"""Characters of a study's name that stay if the terminal is narrow."""
_GIVEN_UP = ("rate", "cancelled", "paused", "pending", "queued", "left", "running", "failed")
"""Columns that are left out if even the shortest names do not fit, in this order."""
_REASONS = 5
"""The most paused studies whose reasons are shown."""


def status_table(all_counts: Sequence[StudyProgress]) -> RenderableType:
    """
    Return one line per study, and one more for some that are paused.

    Columns without a number are left out, except `done`. Long names lose their middle, so that all numbers are whole.
    """
    columns = _columns(all_counts)
    names = [counts.study for counts in all_counts]
    longest = max(map(len, names), default=0)
    hidden: list[str] = []
    for name in [name for name in _GIVEN_UP if name in columns]:
        if _room(columns) >= min(longest, _SHORTEST):
            break
        hidden.append(name)
        del columns[name]
    shown = {"study": [Text(name) for name in middle_cut(names, max(_room(columns), _SHORTEST))], **columns}
    rows = list(zip(*shown.values(), strict=True))
    parts: list[RenderableType] = [table(headings(*shown, right=columns), rows)]
    if hidden:
        parts.append(Text(f"not shown: {', '.join(hidden)}; widen the window, or --format json"))
    return Group(*parts, *map(Text, _paused(all_counts)))


def _columns(all_counts: Sequence[StudyProgress]) -> dict[str, list[Text]]:
    """Return the cells of each column but the names, by its heading."""
    found = {"total": [Text(str(counts.total)) for counts in all_counts]}
    for status in Status:
        numbers = [counts.counts[status] for counts in all_counts]
        if any(numbers) or status is Status.DONE:
            found[status] = [_number(number, status) for number in numbers]
    rates = [rate(counts.rate) if counts.open else "" for counts in all_counts]
    lefts = [_left(counts) for counts in all_counts]
    if any(rates):
        found["rate"] = [Text(text) for text in rates]
    if any(left.plain for left in lefts):
        found["left"] = lefts
    return found


def _number(number: int, status: Status) -> Text:
    return Text(str(number), style=status_text(status).style if number else "dim")


def _left(counts: StudyProgress) -> Text:
    if counts.paused_at is not None and counts.open:
        return Text("paused", style=STYLES[Status.PAUSED])
    return Text(duration(counts.seconds_left))


def _room(columns: dict[str, list[Text]]) -> int:
    """Return the characters that the other columns leave for names."""
    widths = [max([len(name), *(cell_len(cell.plain) for cell in cells)]) for name, cells in columns.items()]
    return console().width - sum(widths) - _GAP * len(widths)


def middle_cut(names: Sequence[str], width: int) -> list[str]:
    """
    Shorten names to a width: by their middle, or by another part if names would become equal.

    >>> middle_cut(["lenet_cifar10_lr_big", "lenet"], 12)
    ['lenet_…r_big', 'lenet']
    >>> middle_cut(["lenet_a_long_small_end", "lenet_b_long_small_end"], 12)
    ['lenet_a_…end', 'lenet_b_…end']
    """
    cuts: list[Callable[[str], str]] = [
        _without_part(width, begin) for begin in (width // 2, width // 3, width * 2 // 3, width - 1, 0)
    ]
    made = [[name if len(name) <= width else cut(name) for name in names] for cut in cuts]
    return max(made, key=lambda texts: len(set(texts)))  # the first of those with the most different names


def _without_part(width: int, begin: int) -> Callable[[str], str]:
    """Return a function that keeps *begin* characters at the start, and the rest of the width at the end."""
    end = width - 1 - begin
    return lambda name: f"{name[:begin]}…{name[len(name) - end :]}"


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
