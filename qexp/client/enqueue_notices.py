"""The warnings about an enqueue, on a terminal and in Python."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qexp.client.enqueue import Enqueued
from qexp.errors import QexpWarning
from qexp.grid import Grid
from qexp.model import counted
from qexp.source import left_out_line

_MOST = 10
"""The most warnings of one kind."""
IGNORE_HINT = "; list it in .qexpignore to leave it out without this warning"


@dataclass(frozen=True)
class Repairs:
    """The commands that the warnings name."""

    explain_stale: str
    requeue_stale: str
    cancel_orphaned: str
    rename: str


def in_shell(study: str) -> Repairs:
    """Return the command lines for a study."""
    return Repairs(
        explain_stale=f"'qexp stale {study}'",
        requeue_stale=f"'qexp requeue {study} --stale'",
        cancel_orphaned=f"'qexp cancel {study} --orphaned'",
        rename="--set study=NAME",
    )


IN_PYTHON = Repairs(
    explain_stale="study.stale()",
    requeue_stale="study.requeue(stale=True)",
    cancel_orphaned="study.cancel(orphaned=True)",
    rename="study=NAME",
)


def warn(grid: Grid, done: Enqueued, stacklevel: int) -> None:
    """Give Python warnings of likely mistakes in a grid, and of results and files that need attention."""
    left_out = left_out_line(done.left_out)
    for notice in (*limited(grid.warnings()), *notices(grid, done, IN_PYTHON), *([left_out] if left_out else [])):
        warnings.warn(notice, QexpWarning, stacklevel=stacklevel + 1)


def notices(grid: Grid, done: Enqueued, repairs: Repairs) -> Iterator[str]:
    """Yield a sentence about each thing of an enqueue that needs attention, with its repair."""
    yield from limited(done.warnings, IGNORE_HINT)
    yield from limited(done.missing)
    if done.ran_otherwise:
        many = "1 experiment has" if done.ran_otherwise == 1 else f"{done.ran_otherwise:,} experiments have"
        yield (
            f"{many} run with another order of keys or kind of number (1e22 is no integer) than the grid "
            "has now, and will not run again; if the order matters, write a list of pairs: [[scale, std], [pca, 5]]"
        )
    if done.stale:
        yield (
            f"{counted(done.stale, 'done experiment')} {_are(done.stale)} stale: {repairs.explain_stale} says why, "
            f"{repairs.requeue_stale} runs them again"
        )
    if done.orphaned:
        yield orphans(done.orphaned, repairs)
    if done.moved_from is not None:
        function, folder = done.moved_from
        yield (
            f"until now, the study {done.study} ran {function} in {folder or 'the installed packages'}, "
            f"from now on it runs {grid.function} in {grid.folder or 'the installed packages'}; "
            f"if this is another study, give it another name with {repairs.rename}"
        )


def orphans(number: int, repairs: Repairs) -> str:
    """Return a sentence about experiments that are no longer in the grid, with the command that cancels them."""
    many = f"{counted(number, 'experiment')} {_are(number)}"
    return f"{many} no longer in the grid; cancel those that have not run with {repairs.cancel_orphaned}"


def limited(found: Sequence[str], hint: str = "") -> Iterator[str]:
    """Yield the first of these warnings, each with *hint*, and the number of the others."""
    for warning in found[:_MOST]:
        yield f"{warning}{hint}"
    if len(found) > _MOST:
        yield f"{len(found) - _MOST} more warnings like these"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
