"""The warnings about an enqueue, on a terminal and in Python."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qexp.client.enqueue import Enqueued
from qexp.errors import QexpWarning
from qexp.grid import Grid
from qexp.model import Counts, Status, are, counted, them
from qexp.source import left_out_line

_MOST = 10
"""The most warnings of one kind."""
IGNORE_HINT = "; list it in .qexpignore to leave it out without this warning"


@dataclass(frozen=True)
class Repairs:
    """The commands that the warnings name; `{}` stands for `current` if orphaned experiments would run again too."""

    explain_stale: str
    requeue_stale: str
    requeue_failed: str
    requeue_cancelled: str
    current: str
    cancel_orphaned: str
    list_current: str
    rename: str


def in_shell(study: str, then: str = "") -> Repairs:
    """Return the command lines for a study; *then* is the command that runs requeued experiments, if it is needed."""
    run = f" && {then}" if then else ""
    return Repairs(
        explain_stale=f"'qexp stale {study}'",
        requeue_stale=f"'qexp requeue {study} --stale{run}'",
        requeue_failed=f"'qexp requeue {study} --failed{{}}{run}'",
        requeue_cancelled=f"'qexp requeue {study} --status cancelled{{}}{run}'",
        current=" --current",
        cancel_orphaned=f"'qexp cancel {study} --orphaned'",
        list_current=f"'qexp list {study} --current'",
        rename="--set study=NAME",
    )


IN_PYTHON = Repairs(
    explain_stale="study.stale()",
    requeue_stale="study.requeue(stale=True)",
    requeue_failed='study.requeue("failed"{})',
    requeue_cancelled='study.requeue("cancelled"{})',
    current=", current=True",
    cancel_orphaned="study.cancel(orphaned=True)",
    list_current="study.frame(current=True)",
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
            f"{counted(done.stale, 'done experiment')} {are(done.stale)} stale: {repairs.explain_stale} says why, "
            f"{repairs.requeue_stale} runs them again"
        )
    if done.failed:
        command = _again(repairs.requeue_failed, repairs, done.orphans[Status.FAILED])
        text = f"{counted(done.failed, 'experiment')} failed before"
        yield f"{text}; {command} runs {them(done.failed)} again with this code"
    if done.cancelled:
        command = _again(repairs.requeue_cancelled, repairs, done.orphans[Status.CANCELLED])
        text = f"{counted(done.cancelled, 'experiment')} {'was' if done.cancelled == 1 else 'were'} cancelled before"
        yield f"{text}; {command} runs {them(done.cancelled)} again"
    if done.orphaned:
        yield orphans(done.orphans, repairs)
    if done.moved_from is not None:
        yield _moved(done, grid, repairs)


def orphans(found: Counts, repairs: Repairs) -> str:
    """Return a sentence about experiments that are no longer in the grid, with a command for them."""
    number, unfinished = found.total, found.open
    text = f"{counted(number, 'experiment')} {are(number)} no longer in the grid"
    if not unfinished:
        return f"{text}; {repairs.list_current} leaves {them(number)} out"
    which = "and" if unfinished == number else f"{unfinished:,} of them"
    has = "has" if unfinished == 1 else "have"
    return f"{text}, {which} {has} not finished; {repairs.cancel_orphaned} cancels {them(unfinished)}"


def _moved(done: Enqueued, grid: Grid, repairs: Repairs) -> str:
    """Return a sentence about a study whose function or folder has changed."""
    before, now = (
        f"{function} in {folder or 'the installed packages'}"
        for function, folder in (done.moved_from or ("", None), (grid.function, grid.folder))
    )
    return (
        f"the study '{done.study}' is not new: it ran {before}, and now runs {now}; "
        f"unless you moved the code, give this grid a study of its own with {repairs.rename}"
    )


def _again(command: str, repairs: Repairs, orphaned: int) -> str:
    return command.replace("{}", repairs.current if orphaned else "", 1)


def limited(found: Sequence[str], hint: str = "") -> Iterator[str]:
    """Yield the first of these warnings, each with *hint*, and the number of the others."""
    for warning in found[:_MOST]:
        yield f"{warning}{hint}"
    if len(found) > _MOST:
        yield f"{len(found) - _MOST} more warnings like these"
