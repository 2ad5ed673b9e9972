"""The reasons to refuse a table, each with its cells and the command that repairs it."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qexp.analysis.table.model import Key, Note
from qexp.analysis.table.replicates import Replicates
from qexp.analysis.table.spec import ALLOWED, TableSpec
from qexp.analysis.table.table_experiments import TableExperiments
from qexp.errors import OptionError, RefusedError
from qexp.model import OPEN, Failure, Status, compact, counted
from qexp.truncation import listed, shortened, single_line

_STATUSES, _FAILURES = list(Status), list(Failure)
_SHOWN = 3
_WIDTH = 60
"""The most characters of the cells that a sentence names."""
_LONGEST = 24
"""Characters of a label or a value in a sentence."""


BY_STUDY = "choose --rows study or --columns study"


@dataclass(frozen=True)
class Problem:
    """A reason to refuse a table if *kind* is a word of `--allow`, otherwise only a note."""

    kind: str
    text: str
    command: str = ""
    cells: tuple[int, ...] = ()
    """The cells of the problem; empty: the whole table."""
    advice: str = ""
    """The options to choose, where no command repairs it."""

    @property
    def line(self) -> str:
        """Return the reason with its command or advice on one line."""
        return "; ".join(part for part in (self.text, self.command, self.advice) if part)

    def note(self, mark: str = "") -> Note:
        """Return the problem as a line below a table."""
        return Note(self.kind, self.text, mark, self.command, self.advice)


def refuse(problems: Iterable[Problem], spec: TableSpec) -> None:
    """Raise RefusedError with a line for each problem that is not allowed."""
    refused = [problem for problem in problems if problem.kind in ALLOWED and problem.kind not in spec.allow]
    if refused:
        kinds = ",".join(dict.fromkeys([*sorted(spec.allow), *(problem.kind for problem in refused)]))
        raise RefusedError(
            [problem.line for problem in refused], f"--allow {kinds} shows the table with marks and notes"
        )


class Cells:
    """Names cells in sentences, and experiments in commands."""

    def __init__(
        self,
        observed: TableExperiments,
        units: Replicates,
        spec: TableSpec,
        rows: Sequence[Key],
        columns: Sequence[Key],
    ) -> None:
        self._observed, self._spec, self._rows, self._columns = observed, spec, rows, columns
        self.of = units.rows.codes.astype(np.int32) * len(columns) + units.columns.codes
        """The cell of each experiment."""

    def name(self, cell: int) -> str:
        """Return the labels of a cell's row and column: `svc / iris`."""
        row, column = divmod(cell, len(self._columns))
        return " / ".join(map(_short, (*self._rows[row], *self._columns[column]))) or "the only cell"

    def listed(self, cells: Sequence[int]) -> str:
        """Return some cells in words: the first by name, or up to three if their names are short."""
        lengths = itertools.accumulate(len(self.name(cell)) + 2 for cell in cells[:_SHOWN])
        shown = max(1, sum(length <= _WIDTH for length in lengths))
        names = ", ".join(map(self.name, cells[:shown]))
        return names if len(cells) <= shown else f"{names} and {len(cells) - shown:,} more"

    def command(self, verb: str, places: np.ndarray, *options: str) -> str:
        """Return a command for the studies of some experiments, with the `--where` of the table."""
        names = [self._observed.studies[one].name for one in np.unique(self._observed.study[places]).tolist()]
        where = ["--where", self._spec.where] if self._spec.where else []
        return "; ".join(shlex.join(["qexp", verb, name, *options, *where]) for name in names)


def missing(observed: TableExperiments, cells: Cells) -> list[Problem]:
    """Return the problems of experiments that are not done: by failure, and by status."""
    found = []
    places = np.flatnonzero(observed.status == _STATUSES.index(Status.FAILED))
    if len(places):
        how = f"failed ({failures(observed, places)})"
        found.append(_missing(cells, places, how, cells.command("requeue", places, "--failed")))
    for status, verb in ((Status.CANCELLED, "requeue"), (Status.PAUSED, "resume")):
        places = np.flatnonzero(observed.status == _STATUSES.index(status))
        if len(places):
            options = ("--status", str(status)) if verb == "requeue" else ()
            found.append(_missing(cells, places, f"{_are(places)} {status}", cells.command(verb, places, *options)))
    return found + _open_experiments(observed, cells)


def _open_experiments(observed: TableExperiments, cells: Cells) -> list[Problem]:
    """Return the problem of experiments that wait or run; those of a paused study wait until it is resumed."""
    is_open = np.isin(observed.status, [_STATUSES.index(status) for status in OPEN])
    found = []
    for is_paused, how, verb in ((False, "not finished yet", "wait"), (True, "in a paused study", "resume")):
        chosen = [at for at, one in enumerate(observed.studies) if (one.paused_at is not None) == is_paused]
        places = np.flatnonzero(is_open & np.isin(observed.study, chosen))
        if len(places):
            names = [observed.studies[one].name for one in np.unique(observed.study[places]).tolist()]
            command = "; ".join(shlex.join(["qexp", verb, name]) for name in names)
            found.append(_missing(cells, places, f"{_are(places)} {how}", command))
    return found


def _missing(cells: Cells, places: np.ndarray, how: str, command: str) -> Problem:
    concerned = np.unique(cells.of[places]).tolist()
    text = f"{counted(len(places), 'experiment')} {how} in {cells.listed(concerned)}"
    return Problem("missing", text, command, tuple(concerned))


def failures(observed: TableExperiments, places: np.ndarray) -> str:
    """Return the failures of some experiments by kind: `2 error, 1 timeout`."""
    counts = np.bincount(observed.failure[places].clip(0), minlength=len(_FAILURES))
    parts = [f"{number} {kind}" for kind, number in zip(_FAILURES, counts.tolist(), strict=True) if number]
    return ", ".join(parts)


def _are(places: np.ndarray) -> str:
    return "is" if len(places) == 1 else "are"


def without_value(metric: str, ids: Sequence[int], places: np.ndarray, cells: Cells) -> Problem:
    """Return the problem: done experiments have no value of a metric in their results."""
    concerned = np.unique(cells.of[places]).tolist()
    have = "has" if len(ids) == 1 else "have"
    text = f"{counted(len(ids), 'done experiment')} {have} no {metric} in {cells.listed(concerned)}"
    return Problem("missing", text, f"qexp show {_ids(ids)}", tuple(concerned))


def not_finite(metric: str, ids: Sequence[int], places: np.ndarray, cells: Cells) -> Problem:
    """Return the problem: experiments diverged, so a metric is NaN or infinite."""
    concerned = np.unique(cells.of[places]).tolist()
    text = f"{metric} is NaN or infinite in {counted(len(ids), 'experiment')} of {cells.listed(concerned)}"
    return Problem("nan", text, f"qexp show {_ids(ids)}", tuple(concerned))


def nothing_done(observed: TableExperiments, where: str | None) -> OptionError:
    """Return the error for studies without a done experiment, or without any experiment."""
    names, first = " ".join(study.name for study in observed.studies), observed.studies[0].name
    if len(observed):
        return OptionError(f"{names}: nothing is done yet; 'qexp status {first}' counts what is open")
    narrowed = f" for which {where} holds" if where else " in the newest grid"
    return OptionError(f"{names}: there is no experiment{narrowed}; 'qexp list {first}' shows all")


def not_a_number(metric: str, ids: Sequence[int], study: str) -> OptionError:
    """Return the error for a metric that is text, a list or a mapping in some results."""
    where = f"in {counted(len(ids), 'experiment')} of {study}"
    return OptionError(f"{metric} is text, a list or a mapping {where}, expected a number; qexp show {_ids(ids)}")


def lost_rows(study: str, number: int) -> Problem:
    """Return the problem: the newest grid has more experiments than the database."""
    verb = "is" if number == 1 else "are"
    text = f"{counted(number, 'experiment')} of the newest grid of {study} {verb} not in the database"
    return Problem("missing", text, "qexp enqueue grid.yaml")


def left_out(study: str, number: int) -> Problem:
    """Return the note: the newest grid leaves out done experiments, which are not in the table."""
    text = f"not shown: {counted(number, 'done experiment')} of {study} that the newest grid leaves out"
    return Problem("excluded", text, f"qexp list {study} --orphaned")


def short_averages(average: Sequence[str], units: Replicates, cells: Cells) -> list[Problem]:
    """Return the problem: some replicates have fewer experiments to average than others of their cell."""
    concerned = np.unique(units.cell[units.is_short]).tolist()
    if not concerned:
        return []
    names, number = ", ".join(average), int(units.is_short.sum())
    text = f"{counted(number, 'replicate')} in {cells.listed(concerned)} {'lacks' if number == 1 else 'lack'}"
    return [Problem("missing", f"{text} values of {names} that others have", cells=tuple(concerned))]


def open_axes(names: Sequence[str], values: Sequence[str], over: Sequence[str]) -> Problem:
    """Return the problem: experiments of a cell differ in a parameter without a role."""
    first = names[0]
    examples = " and ".join(_short(value, 14) for value in values[:2])
    several = f"{_short(first)} has several values in one cell, such as {examples}"
    also = f", likewise {listed([_short(name) for name in names[1:]], _SHOWN)}" if len(names) > 1 else ""
    over = ",".join([*over, first])
    roles = ", ".join(f"--{role} {first}" for role in ("rows", "columns", "average", "best"))
    advice = f"add {roles} or --over {over}"
    return Problem("open", several + also, advice=advice)


def open_studies(names: Sequence[str]) -> Problem:
    """Return the problem: several studies have experiments with the same parameters."""
    text = f"experiments of {listed(names, _SHOWN)} have the same parameters in one cell"
    return Problem("open", text, advice=f"{BY_STUDY}, or name one study")


def _short(text: str, most: int = _LONGEST) -> str:
    return shortened(single_line(text), most)


def _ids(ids: Sequence[int]) -> str:
    return compact(list(ids[:_SHOWN]))
