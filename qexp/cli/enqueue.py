"""The command `qexp enqueue`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from qexp.cli.options import assignments_option, format_option
from qexp.cli.output import say, show_json, wrapped
from qexp.cli.terminal_writer import echo, reserve
from qexp.errors import DatabaseTablesError, ServiceError
from qexp.model import Json, describe, duration, plain, short_names
from qexp.truncation import listed, shortened
from qexp.units import size_text

if TYPE_CHECKING:
    from qexp.client import Enqueued
    from qexp.grid import Grid
    from qexp.grid.schema import GridFile
    from qexp.source import Snapshot


@click.command()
@click.argument("grid", type=click.Path())
@assignments_option
@click.option("--dry-run", is_flag=True, help="Check the grid and show its experiments; needs no service.")
@format_option
def enqueue_(grid: str, assignments: tuple[str, ...], dry_run: bool, form: str) -> int:
    """
    Add the experiments of a grid and queue them for the workers.

    Enqueueing the same grid again adds only new experiments.

    \b
      qexp enqueue grid.yaml --dry-run
      qexp enqueue grid.yaml --set lr=1e-3,1e-4 --set settings.epochs=5
    """
    from qexp.cli.main import INTERRUPTED
    from qexp.client.function_check import checked
    from qexp.grid import Grid

    reserve()
    loaded = Grid.load(grid, assignments)
    if dry_run:
        _preview(checked(loaded), form)
        return 0
    try:
        done = enqueue_with_progress(loaded)
    except KeyboardInterrupt as error:
        say(wrapped(interrupt_text(error)))
        return INTERRUPTED
    if form == "json":
        show_json({**vars(done), "known": done.known})
        return 0
    echo(summary(done))
    if done.announced:
        from qexp.client.explain import start_worker  # a late import, so that workers can start earlier

        rest = f", {done.waiting} follow as workers empty the queue" if done.waiting else ""
        say(
            wrapped(
                f"{done.announced} queued{rest}; run them with '{start_worker(loaded.file.queue)}', "
                f"watch them with 'qexp status {done.study} --watch'"
            )
        )
    elif done.waiting:
        say(wrapped(f"{done.waiting} are pending until the queue has room; see 'qexp status {done.study}'"))
    return 0


def interrupt_text(error: KeyboardInterrupt) -> str:
    """Return the line about an interrupt, with its own text about what is stored."""
    return f"qexp: interrupted; {error}" if str(error) else "qexp: interrupted"


def enqueue_with_progress(grid: Grid, then: str = "") -> Enqueued:
    """
    Warn of likely mistakes in a grid, then enqueue it, with a progress bar if it takes long.

    *then* is the command that runs requeued experiments, if a warning should name it.
    """
    from qexp.client import Client
    from qexp.client.enqueue_notices import in_shell, limited, notices
    from qexp.client.function_check import checked
    from qexp.client.study_bars import delayed_bar

    grid = checked(grid)  # warnings depend on the function's annotations
    _warn(limited(grid.warnings()))
    with delayed_bar(len(grid)) as progress:
        done = Client(keeps=True).enqueue(grid, progress)
    _warn(notices(grid, done, in_shell(done.study, then)))
    if done.unarchived:
        say(wrapped(unarchived(done.study)))
    say_code(done.files, done.left_out)
    return done


def say_code(files: Mapping[str, str], data: Mapping[str, int], study: str = "") -> None:
    """Name the code files that changed, and the data files that a snapshot leaves out; *study* begins the lines."""
    from qexp.source import change_text, left_out_line

    if line := left_out_line(data):
        say(wrapped(f"{study}{line}"))
    if files:
        say(wrapped(f"{study}code that differs from the previous revision: {change_text(files)}"))


def _warn(notices: Iterable[str]) -> None:
    for notice in notices:
        say(wrapped(f"warning: {notice}"))


def summary(done: Enqueued) -> str:
    """Return a line about the result of an enqueue."""
    many = "1 experiment" if done.total == 1 else f"{done.total} experiments"
    return f"{done.study}: {many}, {done.new} new, {done.known} already there"


def unarchived(study: str) -> str:
    """Return a line about a study that was archived and has work again."""
    return f"{study} was archived; 'qexp status' shows it again"


def _preview(grid: Grid, form: str) -> None:
    from qexp import notify
    from qexp.client.code_provenance import missing, snapshot_of
    from qexp.client.enqueue_notices import IGNORE_HINT, limited

    total = len(grid)
    notify.check(grid.file.notify)
    snapshot = snapshot_of(grid)
    first, last = _ends(grid)
    seconds = _mean_duration(grid.study)
    if form == "json":
        estimate = None if seconds is None else seconds * total
        limits = grid.file.model_dump(include={"timeout", "memory", "retries"})
        ends = {"first": first, "last": last}
        code = snapshot and {"files": snapshot.files, "bytes": snapshot.size, "left_out": snapshot.data}
        facts = {**ends, **limits, "estimated_seconds": estimate, "snapshot": code}
        show_json({"study": grid.study, "total": total, **facts})
        return
    _warn(limited(grid.warnings()))
    if snapshot is not None:
        _warn(limited(snapshot.warnings, IGNORE_HINT))
        _warn(limited(missing(grid, snapshot)))
        say_code({}, snapshot.data)
    echo(f"{grid.study}: {total} {'experiment' if total == 1 else 'experiments'} (dry run, nothing written)")
    width = max(map(len, grid.names), default=0)
    columns = [pair for axis in grid.axes for pair in zip(axis.names, axis.columns, strict=True)]
    short = {name: short_names(column) for name, column in columns}
    for axis in grid.axes:
        only = f"  (if {axis.condition})" if axis.condition else ""
        for name, column in zip(axis.names, axis.columns, strict=True):
            echo(f"  {name:{width}}  {_listing(column, short[name])}{only}")
    if grid.include:
        echo(f"  plus {len(grid.include)} from 'include'")
    if not grid.names:
        echo("  without parameters")
    else:
        echo(f"  first: {describe(first, short=short)}")
        echo(f"  last:  {describe(last, short=short)}")
    echo(f"  {wrapped(_limits(grid.file), indent=4)}")
    echo(f"  {_code(snapshot)}")
    if seconds is not None:
        echo(f"  about {duration(seconds * total)} of work in all, at {duration(seconds)} each so far")


def _code(snapshot: Snapshot | None) -> str:
    """Return the lines with the number, the bytes and the names of the files of a snapshot."""
    if snapshot is None:
        return "code: no snapshot, workers import the function from what is installed there"
    many = "1 file" if len(snapshot.files) == 1 else f"{len(snapshot.files):,} files"
    return wrapped(f"code: {many}, {size_text(snapshot.size)}: {listed(snapshot.files, _MOST_FILES)}", indent=4)


_MOST_FILES = 12
_MOST_VALUES = 5


def _limits(file: GridFile) -> str:
    """Return the line with the timeout, the memory limit and the retries of an attempt."""
    timeout = "no timeout" if file.timeout is None else f"timeout {duration(file.timeout)}"
    memory = "no memory limit" if file.memory is None else f"memory {size_text(file.memory)}"
    budgets = file.retries.model_dump(exclude={"delay"})
    retries = [f"{number} after {failure}" for failure, number in budgets.items() if number]
    first = f", the first in {duration(file.retries.delay)}" if retries else ""
    return f"each attempt: {timeout}, {memory}; retries: {', '.join(retries) or 'none'}{first}"


def _ends(grid: Grid) -> tuple[dict[str, Json], dict[str, Json]]:
    rows = iter(grid)
    first = last = next(rows)
    for last in rows:  # noqa: B007 - only the last one is needed
        pass
    return first, last


def _listing(column: Sequence[Json], short: Mapping[str, str]) -> str:
    """Return the values of an axis as text, without the middle of a long axis."""
    is_long = len(column) > _MOST_VALUES
    ends = [*column[: _MOST_VALUES - 1], column[-1]] if is_long else column
    shown = [short.get(text, text) for text in map(plain, ends)]
    texts = [shortened(text, 24) for text in shown]
    if is_long:
        texts.insert(-1, "…")
        return f"{', '.join(texts)}  ({len(column)} values)"
    return ", ".join(texts)


def _mean_duration(study: str) -> float | None:
    """Return the mean seconds of the study's done experiments. Returns None without a database or such experiments."""
    from qexp.settings import load

    settings = load()
    if settings.database_url is None:
        return None
    from qexp.client import Client

    try:
        return Client(settings).mean_duration(study)
    except (ServiceError, DatabaseTablesError):
        return None
