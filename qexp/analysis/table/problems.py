"""The reasons for which a table is refused, each with the cells and the command that completes it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qexp.analysis.table.model import Key
from qexp.analysis.table.observed import Observed
from qexp.analysis.table.spec import TableSpec
from qexp.analysis.table.units import Units
from qexp.errors import RefusedError, SummaryError
from qexp.model import Failure, Status, compact

_STATUSES, _FAILURES = list(Status), list(Failure)
_DONE = _STATUSES.index(Status.DONE)
_SHOWN = 3


@dataclass(frozen=True)
class Problem:
    """One reason; *kind* is a word of `--allow`."""

    kind: str
    text: str
    command: str = ""
    cells: tuple[int, ...] = ()
    """The cells it is about; empty: the whole table."""

    @property
    def line(self) -> str:
        """Return the reason with its command on one line."""
        return f"{self.text}; {self.command}" if self.command else self.text


def refuse(problems: Iterable[Problem], spec: TableSpec) -> None:
    """Raise RefusedError with a line for each problem that is not allowed."""
    refused = [problem for problem in problems if problem.kind not in spec.allow]
    if refused:
        kinds = ",".join(dict.fromkeys(problem.kind for problem in refused))
        raise RefusedError(
            [problem.line for problem in refused], f"--allow {kinds} shows the table with marks and notes"
        )


class Cells:
    """Names cells in sentences, and experiments in commands."""

    def __init__(
        self, observed: Observed, units: Units, spec: TableSpec, rows: Sequence[Key], columns: Sequence[Key]
    ) -> None:
        self._observed, self._spec, self._rows, self._columns = observed, spec, rows, columns
        self.of = units.rows.codes.astype(np.int32) * len(columns) + units.columns.codes
        """The cell of each experiment."""

    def name(self, cell: int) -> str:
        """Return the labels of a cell's row and column: `svc / iris`."""
        row, column = divmod(cell, len(self._columns))
        return " / ".join((*self._rows[row], *self._columns[column])) or "the only cell"

    def listed(self, cells: Sequence[int]) -> str:
        """Return some cells in words: the first three by name."""
        names = ", ".join(map(self.name, cells[:_SHOWN]))
        return names if len(cells) <= _SHOWN else f"{names} and {len(cells) - _SHOWN:,} more"

    def command(self, verb: str, places: np.ndarray, *options: str) -> str:
        """Return a command for the studies of some experiments, narrowed as the table is."""
        names = [self._observed.studies[one].name for one in np.unique(self._observed.study[places]).tolist()]
        where = ["--where", self._spec.where] if self._spec.where else []
        return "; ".join(shlex.join(["qexp", verb, name, *options, *where]) for name in names)


def missing(observed: Observed, cells: Cells) -> list[Problem]:
    """Return why experiments of the newest grid are not done: by failure, and by status."""
    found = []
    for status in (Status.FAILED, Status.CANCELLED, Status.PAUSED):
        places = np.flatnonzero(observed.status == _STATUSES.index(status))
        if len(places):
            how = (
                f"{_are(places)} {status}" if status is not Status.FAILED else f"failed ({_failures(observed, places)})"
            )
            options = ("--failed",) if status is Status.FAILED else ("--status", str(status))
            found.append(_missing(cells, places, how, cells.command("requeue", places, *options)))
    opened = [_STATUSES.index(status) for status in (Status.PENDING, Status.QUEUED, Status.RUNNING)]
    places = np.flatnonzero(np.isin(observed.status, opened))
    if len(places):
        names = [observed.studies[one].name for one in np.unique(observed.study[places]).tolist()]
        found.append(
            _missing(
                cells, places, f"{_are(places)} not finished yet", "; ".join(f"qexp wait {name}" for name in names)
            )
        )
    return found


def _missing(cells: Cells, places: np.ndarray, how: str, command: str) -> Problem:
    concerned = np.unique(cells.of[places]).tolist()
    text = f"{_count(len(places), 'experiment')} {how} in {cells.listed(concerned)}"
    return Problem("missing", text, command, tuple(concerned))


def _failures(observed: Observed, places: np.ndarray) -> str:
    counts = np.bincount(observed.failure[places].clip(0), minlength=len(_FAILURES))
    parts = [f"{number} {kind}" for kind, number in zip(_FAILURES, counts.tolist(), strict=True) if number]
    return ", ".join(parts)


def _are(places: np.ndarray) -> str:
    return "is" if len(places) == 1 else "are"


def without_value(metric: str, ids: Sequence[int], places: np.ndarray, cells: Cells) -> Problem:
    """Return that done experiments have no value of a metric in their results."""
    concerned = np.unique(cells.of[places]).tolist()
    have = "has" if len(ids) == 1 else "have"
    text = f"{_count(len(ids), 'done experiment')} {have} no {metric} in {cells.listed(concerned)}"
    return Problem("missing", text, f"qexp show {_ids(ids)}", tuple(concerned))


def not_finite(metric: str, ids: Sequence[int], places: np.ndarray, cells: Cells) -> Problem:
    """Return that experiments diverged: a metric is NaN or infinite."""
    concerned = np.unique(cells.of[places]).tolist()
    text = f"{metric} is NaN or infinite in {_count(len(ids), 'experiment')} of {cells.listed(concerned)}"
    return Problem("nan", text, f"qexp show {_ids(ids)}", tuple(concerned))


def not_a_number(metric: str, ids: Sequence[int], study: str) -> SummaryError:
    """Return the error for a metric that is text, a list or a mapping in some results."""
    where = f"in {_count(len(ids), 'experiment')} of {study}"
    return SummaryError(f"{metric} is text, a list or a mapping {where}, expected a number; qexp show {_ids(ids)}")


def lost_rows(study: str, number: int) -> Problem:
    """Return that the newest grid has more experiments than the database."""
    verb = "is" if number == 1 else "are"
    text = f"{_count(number, 'experiment')} of the newest grid of {study} {verb} not in the database"
    return Problem("missing", text, "enqueue the grid again: qexp enqueue grid.yaml")


def open_axes(names: Sequence[str], values: Sequence[str], over: Sequence[str]) -> Problem:
    """Return that a cell has experiments that differ in a parameter without a role."""
    first = names[0]
    several = f"{first} has several values in one cell ({', '.join(values)})"
    also = f", likewise {', '.join(names[1:])}" if len(names) > 1 else ""
    where = f'--where "{first} = …"' if first.isidentifier() else "--where"
    roles = f"--rows, --columns, --over {','.join([*over, first])}, --average {first}, --best {first} or {where}"
    return Problem("open", several + also, f"choose a role: {roles}")


def _ids(ids: Sequence[int]) -> str:
    return compact(list(ids[:_SHOWN]))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
