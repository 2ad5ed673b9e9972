"""The output of `qexp enqueue --dry-run`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from qexp.analysis.column_fitting import end_cut, middle_cut
from qexp.cli.enqueue import say_code, warn
from qexp.cli.output import show_json, wrapped
from qexp.cli.terminal_writer import echo, printable
from qexp.errors import DatabaseTablesError, ServiceError
from qexp.model import Json, counted, describe, duration, plain, short_names
from qexp.truncation import listed
from qexp.units import size_text

if TYPE_CHECKING:
    from qexp.client.enqueue import Preview
    from qexp.grid import Grid
    from qexp.grid.schema import GridFile
    from qexp.source import Snapshot


def preview(grid: Grid, form: str) -> None:
    """Show a grid, its code, and what an enqueue would run."""
    from qexp import notify
    from qexp.client.code_provenance import missing, snapshot_of
    from qexp.client.enqueue_notices import IGNORE_HINT, limited

    total = len(grid)
    notify.check(grid.file.notify)
    snapshot = snapshot_of(grid)
    first, last = _ends(grid)
    known = _known(grid)
    if form == "json":
        seconds = None if known is None else known.mean_duration
        estimate = None if known is None or seconds is None else seconds * known.would_run
        limits = grid.file.model_dump(include={"timeout", "memory", "retries"})
        ends = {"first": first, "last": last}
        code = snapshot and {"files": snapshot.files, "bytes": snapshot.size, "left_out": snapshot.data}
        facts = {**ends, **limits, "estimated_seconds": estimate, "snapshot": code}
        numbers = {"total": total, "new": total if known is None else known.new}
        show_json({"study": grid.study, **numbers, "already_there": {} if known is None else known.known, **facts})
        return
    warn(limited(grid.warnings()))
    if snapshot is not None:
        warn(limited(snapshot.warnings, IGNORE_HINT))
        warn(limited(missing(grid, snapshot)))
        say_code({}, snapshot.data)
    new = "" if known is None else f", {known.new:,} new, {known.known.total:,} already there"
    echo(f"{grid.study}: {counted(total, 'experiment')}{new} (dry run, nothing written)")
    width = min(_WIDEST_NAME, max(map(len, grid.names), default=0))
    columns = [pair for axis in grid.axes for pair in zip(axis.names, axis.columns, strict=True)]
    short = {name: short_names(column) for name, column in columns}
    for axis in grid.axes:
        only = f"  (if {axis.condition})" if axis.condition else ""
        for name, column in zip(axis.names, axis.columns, strict=True):
            echo(f"  {name:{width}}  {wrapped(f'{_listing(column, short[name])}{only}', indent=width + 4)}")
    if grid.include:
        echo(f"  plus {len(grid.include)} from 'include'")
    if not grid.names:
        echo("  without parameters")
    else:
        echo(f"  first: {wrapped(describe(first, short=short), indent=9)}")
        echo(f"  last:  {wrapped(describe(last, short=short), indent=9)}")
    echo(f"  {wrapped(_limits(grid.file), indent=4)}")
    echo(f"  {_code(snapshot)}")
    if known is not None:
        for line in _work(known):
            echo(f"  {wrapped(line, indent=4)}")


def _work(known: Preview) -> Iterator[str]:
    """Yield lines about the experiments that the study has, and about the work that an enqueue would leave."""
    if known.known.total:
        yield f"already there: {known.known.text}"
    if not known.would_run:
        yield "nothing would run"
    elif known.mean_duration is not None:
        work, each = duration(known.mean_duration * known.would_run), duration(known.mean_duration)
        yield f"about {work} of work in all, at {each} each so far"


def _code(snapshot: Snapshot | None) -> str:
    """Return the lines with the number, the bytes and the names of the files of a snapshot."""
    if snapshot is None:
        return "code: no snapshot, workers import the function from what is installed there"
    many = "1 file" if len(snapshot.files) == 1 else f"{len(snapshot.files):,} files"
    return wrapped(f"code: {many}, {size_text(snapshot.size)}: {listed(snapshot.files, _MOST_FILES)}", indent=4)


_MOST_FILES = 12
_MOST_VALUES = 5
_WIDEST_NAME = 40
_WIDEST_VALUE = 24


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
    texts = end_cut(shown, _WIDEST_VALUE)
    if len(set(texts)) < len(set(shown)):
        texts = middle_cut([printable(text) for text in shown], _WIDEST_VALUE)
    if is_long:
        texts.insert(-1, "…")
        return f"{', '.join(texts)}  ({len(column)} values)"
    return ", ".join(texts)


def _known(grid: Grid) -> Preview | None:
    """Return what the database knows about a grid. Returns None without a database or such a study."""
    from qexp.settings import load

    settings = load()
    if settings.database_url is None:
        return None
    from qexp.client import Client

    try:
        return Client(settings).preview(grid)
    except (ServiceError, DatabaseTablesError):
        return None
