"""The tables of `run`, `list`, `status` and `errors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qexp.cli.output import rate, status_text, table, value_text
from qexp.cli.terminal import printable
from qexp.model import Status, compact, duration, short_names
from qexp.store.reports import ErrorGroup, ExperimentView
from qexp.store.standing import Counts

_QUIET = (Status.CANCELLED, Status.PAUSED)
"""Statuses whose column is left out where it would hold zeros only."""
SHORT_GROUP = 6
"""Digits of an error group that a person is shown."""


def status_table(all_counts: Sequence[Counts]) -> RenderableType:
    """Return one line per study, and one more for each that is paused."""
    shown = [s for s in Status if s not in _QUIET or any(counts.counts[s] for counts in all_counts)]
    columns = ["study", "total", *shown, "rate", "left"]
    rows: list[list[str | Text]] = [
        [
            counts.study,
            str(counts.total),
            *(_number(counts.counts[status], status) for status in shown),
            rate(counts.rate) if counts.open else "",
            duration(counts.seconds_left),
        ]
        for counts in all_counts
    ]
    resting = [Text(printable(line)) for counts in all_counts if (line := pause_line(counts))]
    return Group(table(columns, rows, right=columns[1:]), *resting)


def pause_line(counts: Counts) -> str:
    """Return the line that says why a study rests; nothing if it does not."""
    if counts.paused_at is None:
        return ""
    why = f": {counts.pause_reason}" if counts.pause_reason else ""
    since = f"{counts.paused_at.astimezone():%Y-%m-%d %H:%M}"
    return f"{counts.study} is paused since {since}{why}; 'qexp resume {counts.study}' lets it go on"


def _number(number: int, status: Status) -> Text:
    text = status_text(status)
    return Text(str(number), style=text.style if number else "dim")


def experiment_table(views: Sequence[ExperimentView], parameters: Sequence[str], results: Sequence[str]) -> Table:
    """Return one line per experiment with its parameters and results, or its error."""
    varying = [name for name in parameters if len({str(view.params.get(name)) for view in views}) > 1] or parameters
    failed = any(view.status is Status.FAILED for view in views)
    used = [name for name in results if any(name in (view.result or {}) for view in views)]
    columns = ["id", *varying, *used, "status", "time", *["error"] * failed]
    short = {name: short_names(view.params.get(name) for view in views) for name in varying}
    rows: list[list[str | Text]] = [
        [
            str(view.id),
            *(_parameter(view, name, short[name]) for name in varying),
            *(value_text((view.result or {}).get(name), name in (view.result or {})) for name in used),
            status_text(view.status),
            duration(view.duration),
            *[" ".join((view.error or "").split())] * failed,
        ]
        for view in views
    ]
    return table(columns, rows, right=["id", "time", *_numeric(views, varying, used)], cut=[*varying, *used, "error"])


def _parameter(view: ExperimentView, name: str, short: Mapping[str, str]) -> str:
    value = view.params.get(name)
    return short[value] if isinstance(value, str) and value in short else value_text(value, name in view.params)


def _numeric(views: Sequence[ExperimentView], parameters: Sequence[str], results: Sequence[str]) -> list[str]:
    def numbers(values: list[object]) -> bool:
        return all(value is None or isinstance(value, int | float) for value in values)

    found = [name for name in parameters if numbers([view.params.get(name) for view in views])]
    return found + [name for name in results if numbers([(view.result or {}).get(name) for view in views])]


def error_blocks(groups: Sequence[ErrorGroup], study: str | None) -> RenderableType:
    """Return each group as a few lines: what failed, where, which experiments, and the command that repeats them."""
    blocks: list[RenderableType] = []
    for group in groups:
        short = group.fingerprint[:SHORT_GROUP]
        block = Text()
        block.append(f"{short}  ", style="bold")
        block.append(f"{group.count} {group.failure}", style="bold red")
        block.append(f"  {printable(group.error_type)}")
        for name, value in (
            ("message", " ".join(group.error_message.split())),
            ("at", group.error_frame or ""),
            ("ids", compact(group.ids)),
            ("again", f"qexp requeue {study or compact(group.ids)} --error {short}"),
        ):
            if value:
                block.append(f"\n        {name:8}", style="dim")
                block.append(printable(value))
        blocks.append(block)
    return Group(*blocks)
