"""Experiments, attempts and error groups as one line or a few, for a shell and a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qexp.escapes import printable
from qexp.model import SHORT_GROUP, compact, counted, describe, duration
from qexp.truncation import MAX_LINE, shortened, single_line

if TYPE_CHECKING:
    from qexp.store.reads.error_groups import ErrorGroup
    from qexp.store.reads.experiment_rows import AttemptView, ExperimentView

_MESSAGE = 500
"""The most characters of an error in the text of a group."""


def experiment_line(view: ExperimentView) -> str:
    """Return an experiment with its parameters, and its result or error, on one line."""
    head = f"{view.study} #{view.id} {view.status}{f' ({view.failure})' if view.failure else ''}"
    end = single_line(view.error, MAX_LINE) if view.error else describe(view.result or {})
    parts = [f"{head}: {describe(view.params)}".rstrip(": "), *[f"→ {end}"] * bool(end)]
    return printable(" ".join(parts) + f" ({duration(view.duration)})" * (view.duration is not None))


def attempt_line(attempt: AttemptView, with_error: bool = True) -> str:
    """Return an attempt's outcome, time, place and error on one line, or without the error."""
    line = (
        f"attempt {attempt.number}: {attempt.outcome}, {attempt.started_at:%Y-%m-%d %H:%M:%S %Z}, "
        f"{duration(attempt.duration)} on {attempt.host}, revision {attempt.revision}"
    )
    if attempt.error_type and with_error:
        line += f"; {attempt.error_type}: {single_line(attempt.error_message or '', MAX_LINE)}"
    return printable(line)


def error_text(group: ErrorGroup) -> str:
    """Return an error group in a few lines: the error, its place, and the ids."""
    message = shortened(single_line(group.error_message), _MESSAGE)
    lines = [f"{group.fingerprint[:SHORT_GROUP]}  {group.count} {group.failure}  {group.error_type}: {message}"]
    lines += [f"  also {shortened(single_line(text), _MESSAGE)}" for text in group.other_messages]
    more = (group.messages or 0) - 1 - len(group.other_messages)
    lines += [f"  and {counted(more, 'other message')}"] * (more > 0)
    lines += [f"  at {group.error_frame}"] * bool(group.error_frame)
    return "\n".join(map(printable, [*lines, f"  ids {shortened(compact(group.ids), _MESSAGE)}"]))
