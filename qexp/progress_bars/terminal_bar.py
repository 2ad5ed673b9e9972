"""A progress bar on stderr of a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from qexp.escapes import printable


class TerminalBar:
    """Bars below each other, as wide as the terminal."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[news]}"),
            console=Console(stderr=True),
            expand=True,
        )

    def update(self, label: str, completed: int, total: int, news: str = "") -> None:
        """Show the progress."""
        self._progress.start()
        news = escape(printable(news))
        if label not in self._tasks:
            self._tasks[label] = self._progress.add_task(escape(label), total=total, completed=completed, news=news)
        self._progress.update(self._tasks[label], completed=completed, total=total, news=news)

    def close(self, news: str | None = None) -> None:
        """Show the last state, with other *news* if given."""
        if not self._progress.live.is_started:
            return
        if news is not None:
            for task in self._progress.task_ids:  # an interrupt may come before `update` has noted its task
                self._progress.update(task, news=escape(printable(news)))
        self._progress.stop()
