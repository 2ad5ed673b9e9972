"""The interface of progress bars, and the choice of one that suits this process."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, Protocol


class ProgressBar(Protocol):
    """A bar with a line for each label. It appears with the first update, and stays where it is after `close`."""

    def update(self, label: str, completed: int, total: int, news: str = "") -> None:
        """Show how many of *total* are completed, with *news* beside the bar."""

    def close(self, news: str | None = None) -> None:
        """Show the last state, with other *news* if given, and end the bar."""


class HiddenBar:
    """A bar that shows nothing, for a log or a pipe."""

    def update(self, label: str, completed: int, total: int, news: str = "") -> None:
        """Ignore the progress."""

    def close(self, news: str | None = None) -> None:
        """Do nothing."""


def progress_bar(wanted: bool = True) -> ProgressBar:
    """
    Return a bar for this process: HTML in a notebook, characters if stderr is a terminal, otherwise a hidden one.

    It is also hidden unless it is *wanted*.
    """
    if not wanted:
        return HiddenBar()
    if (display := notebook_display()) is not None:
        from qexp.progress_bars.notebook_bar import NotebookBar

        return NotebookBar(display)
    if sys.stderr is not None and sys.stderr.isatty():
        from qexp.progress_bars.terminal_bar import TerminalBar

        return TerminalBar()
    return HiddenBar()


def notebook_display() -> Callable[..., Any] | None:
    """Return IPython's `display` if this process is the kernel of a notebook. Imports IPython only there."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is None:  # a shell on a terminal has none
        return None
    display: Callable[..., Any] = importlib.import_module("IPython.display").display
    return display
