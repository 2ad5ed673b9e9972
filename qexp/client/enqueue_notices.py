"""Python warnings about an enqueue, for notebooks and scripts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from qexp.client.enqueue import Enqueued
from qexp.errors import QexpWarning
from qexp.grid import Grid
from qexp.model import counted
from qexp.source import left_out_line

_MOST = 10
"""The most warnings of one kind."""


def warn(grid: Grid, done: Enqueued, stacklevel: int) -> None:
    """Warn of likely mistakes in a grid, and of results and files that need attention."""
    for notice in notices(grid, done):
        warnings.warn(notice, QexpWarning, stacklevel=stacklevel + 1)


def notices(grid: Grid, done: Enqueued) -> Iterator[str]:
    """Yield the sentences of these warnings, each with its repair in Python."""
    yield from _first(grid.warnings())
    yield from _first([f"{warning}; list it in .qexpignore to leave it out" for warning in done.warnings])
    yield from _first(done.missing)
    if data := left_out_line(done.left_out):
        yield data
    if done.ran_otherwise:
        yield (
            f"{counted(done.ran_otherwise, 'experiment')} ran with another order of keys or kind of number than the "
            "grid has now, and will not run again; if the order matters, give a list of pairs"
        )
    if done.stale:
        yield (
            f"{counted(done.stale, 'done experiment')} of other settings or code: study.stale() says why, "
            "study.requeue(stale=True) runs them again"
        )
    if done.orphaned:
        yield (
            f"{counted(done.orphaned, 'experiment')} of the study {done.study} left the grid; "
            "study.cancel(orphaned=True) cancels those that have not run"
        )
    if done.moved_from is not None:
        function, folder = done.moved_from
        yield (
            f"until now, the study {done.study} ran {function} in {folder or 'the installed packages'}, from now on it "
            f"runs {grid.function} in {grid.folder or 'the installed packages'}; "
            "if this is another study, give it another name with study=NAME"
        )


def _first(found: list[str] | tuple[str, ...]) -> Iterator[str]:
    yield from found[:_MOST]
    if len(found) > _MOST:
        yield f"{len(found) - _MOST} more warnings like these"
