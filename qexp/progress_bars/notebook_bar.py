"""A progress bar in a notebook: one output that is updated in place, as HTML and as text."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from qexp.analysis.html_elements import Html, join, tag
from qexp.escapes import printable

_INTERVAL = 0.2
"""The fewest seconds between two updates, so that a notebook on a slow line keeps up."""
_WIDTH = 24
"""Characters of the bar as text."""


@dataclass(frozen=True)
class BarState:
    """The state of one bar."""

    label: str
    completed: int
    total: int
    news: str = ""

    @property
    def share(self) -> float:
        """The completed part, from 0 to 1."""
        return min(1.0, self.completed / self.total) if self.total else 1.0

    @property
    def text(self) -> str:
        """The numbers and the news."""
        return f"{self.completed} of {self.total}{f'  {self.news}' if self.news else ''}"


@dataclass(frozen=True)
class BarDisplay:
    """Bars as a notebook shows them; front ends without HTML show the text."""

    states: tuple[BarState, ...]

    def __repr__(self) -> str:
        width = max((len(state.label) for state in self.states), default=0)
        lines = []
        for state in self.states:
            filled = int(state.share * _WIDTH)
            lines.append(f"{state.label:{width}}  {'━' * filled}{'╌' * (_WIDTH - filled)}  {state.text}")
        return "\n".join(map(printable, lines))

    def _repr_html_(self) -> Html:
        return join(_row(state) for state in self.states)


def _row(state: BarState) -> Html:
    bar = tag("progress", value=state.completed, max=max(state.total, 1), style="width:16em;vertical-align:middle")
    return tag("div", tag("b", state.label), " ", bar, " ", state.text, style="white-space:pre-wrap")


class NotebookBar:
    """Bars in the output of the running cell. Updates replace each other, so a saved notebook has only the last one."""

    def __init__(self, display: Callable[..., Any]) -> None:
        self._display = display
        self._states: dict[str, BarState] = {}
        self._handle: Any = None
        self._shown = BarDisplay(())
        self._due = 0.0

    def update(self, label: str, completed: int, total: int, news: str = "") -> None:
        """Show the progress; if updates follow each other quickly, the next one shows it."""
        self._states[label] = BarState(label, completed, total, news)
        if time.monotonic() >= self._due:
            self._show()

    def close(self, news: str | None = None) -> None:
        """Show the last state, with other *news* if given."""
        if news is not None:
            self._states = {label: replace(state, news=news) for label, state in self._states.items()}
        if self._states:
            self._show()

    def _show(self) -> None:
        shown = BarDisplay(tuple(self._states.values()))
        if shown == self._shown:
            return
        if self._handle is None:
            self._handle = self._display(shown, display_id=True)
        else:
            self._handle.update(shown)
        self._shown, self._due = shown, time.monotonic() + _INTERVAL
