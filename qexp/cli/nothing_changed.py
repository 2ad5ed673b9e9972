"""Say why a command changed no experiment: the states that it found, and the command for these."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qexp.cli.output import say, wrapped
from qexp.model import Counts, Status, counted

if TYPE_CHECKING:
    from qexp.client import Client
    from qexp.store.selection.selectors import Selection

_NEXT = {
    Status.DONE: "'qexp requeue' runs done ones again",
    Status.FAILED: "'qexp requeue' runs failed ones again",
    Status.CANCELLED: "'qexp requeue' runs cancelled ones again",
    Status.PAUSED: "'qexp resume' continues paused ones",
    Status.RUNNING: "'qexp cancel' ends running ones",
}


def say_why(client: Client, selection: Selection, wanted: Sequence[Status], change: str) -> None:
    """Print why none of the selected experiments was *changed*: a participle, such as "cancelled"."""
    chosen = [status for status in wanted if not selection.statuses or status in selection.statuses]
    found = client.count_by_status(dataclasses.replace(selection, statuses=()))
    expected = _listed([str(status) for status in wanted])
    if not found.total:
        text = "no experiment matches"
    elif not chosen:
        text = f"--status {', '.join(selection.statuses)}: only {expected} experiments can be {change}"
    elif selection.statuses:
        text = f"none of them {_are(1, *chosen)}: {_states(found)}"
    else:
        most = max(found, key=found.__getitem__)
        text = f"{_states(found)}; only {expected} experiments can be {change}"
        text += f"; {_NEXT[most]}" if most in _NEXT and most not in wanted else ""
    say(wrapped(text))


def _states(found: Counts) -> str:
    """Return the states of experiments as a sentence."""
    (first, number), *rest = sorted(found.items(), key=lambda item: -item[1])
    subject = "the experiment" if found.total == 1 else counted(number, "experiment")
    return ", ".join(
        [f"{subject} {_are(number, first)}", *(f"{count:,} {_are(count, status)}" for status, count in rest)]
    )


def _are(number: int, *statuses: Status) -> str:
    """Return a verb and a state."""
    if statuses == (Status.FAILED,):
        return "has failed" if number == 1 else "have failed"
    return f"{'is' if number == 1 else 'are'} {_listed([str(status) for status in statuses])}"


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
