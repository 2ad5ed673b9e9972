"""Choose the values to draw from experiments; count those left out, and refuse to pool silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from qexp.analysis.plots.coded_parameter import CodedParameter, axis_of
from qexp.analysis.plots.labels import text_of
from qexp.analysis.plots.spec import ALLOWED, PlotSpec
from qexp.analysis.plots.style import MOST_GROUPS
from qexp.errors import OptionError, RefusedError, nearest
from qexp.model import Status
from qexp.store.selection.where_parser import spelled
from qexp.truncation import listed, shortened

Mask = npt.NDArray[np.bool_]
Cell = tuple[int, int, int]
"""The places of the values of facet, x and by; 0 for one that is not given."""

_TIMES = ("duration", "last_attempt", "attempt")
"""Facts of experiments that are numbers."""
_REPLICATES = "seed"
"""The parameter whose values are replicates unless others are named."""
_ORDER = (Status.FAILED, Status.CANCELLED, Status.PAUSED, Status.RUNNING, Status.QUEUED, Status.PENDING)
_MOST_PANELS = 12
_MOST_CATEGORIES = {"box": 40, "heatmap": 60}


@dataclass(frozen=True)
class Experiments:
    """The frame of a study's experiments, and which of its columns are parameters and results."""

    frame: pd.DataFrame
    parameters: Sequence[str]
    results: Sequence[str]
    study: str = ""


@dataclass(frozen=True)
class ChosenData:
    """The done experiments that are drawn: arrays and axes have one entry per experiment, in the order of ids."""

    ids: npt.NDArray[np.int64]
    x: CodedParameter | None
    by: CodedParameter | None
    facet: CodedParameter | None
    x_numbers: npt.NDArray[np.float64] | None
    """Positions on a numeric x axis."""
    y: npt.NDArray[np.float64]
    """Values of the metric; empty for series, which the database summarizes."""
    total: int
    """The number of selected experiments, of any status."""
    left_out: Mapping[str, int]
    """The number of experiments that are not drawn, by reason."""
    drawn: int
    """The number of drawn experiments."""
    over: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ()
    """Parameters that differ inside of a line, box or cell, since the request allows it."""
    notes: tuple[str, ...] = ()
    """Other notes for readers."""
    planned: Mapping[Cell, int] = field(default_factory=dict)
    """Of a heat map: the number of selected experiments in each cell, done or not."""


def choose(experiments: Experiments, request: PlotSpec, mixed: Sequence[str] = ()) -> ChosenData:
    """
    Return the experiments to draw. Raises OptionError for a name, value or parameter that does not fit.

    Raises RefusedError with a line for each parameter that would be pooled and for the reasons *mixed*, unless allowed.
    """
    frame = experiments.frame
    over = _check_names(experiments, request)
    if not len(frame):
        raise OptionError(f"{_place(experiments)}: no experiment matches, expected some that are done")
    done = (frame["status"] == Status.DONE).to_numpy(dtype=bool)
    statuses = Counter(map(str, frame["status"][~done]))
    if not done.any():
        raise OptionError(f"{_place(experiments)}: nothing is done yet ({_counts(statuses)}); see 'qexp status'")
    left_out: dict[str, int] = {str(status): statuses[status] for status in _ORDER if statuses[status]}
    y, drawn, x_numbers = np.empty(0), done, None
    if request.kind != "curve":
        y, drawn = _numbers_of(frame, "--metric", request.metric, done, left_out)
    if request.kind in ("line", "scatter") and request.x is not None:
        x_numbers, drawn = _numbers_of(frame, "--x", request.x, drawn, left_out)
    if not drawn.any():
        raise OptionError(f"{_place(experiments)}: no done experiment has a value to draw ({_counts(left_out)})")
    names = {"x": None if request.kind == "scatter" else request.x, "by": request.by, "facet": request.facet}
    roles = {role: None if name is None else axis_of(name, frame[name]) for role, name in names.items()}
    axes = [roles[name] for name in ("facet", "x", "by")]
    free = _free(experiments, request, drawn, over) if request.kind != "scatter" else []
    _refuse(free, mixed, request, over)
    found = ChosenData(
        ids=frame["id"].to_numpy(dtype=np.int64)[drawn],
        y=y[drawn] if len(y) else y,
        x_numbers=None if x_numbers is None else x_numbers[drawn],
        total=len(frame),
        drawn=int(drawn.sum()),
        left_out=left_out,
        over=over,
        pooled=tuple(axis.name for axis in free),
        planned=_planned(axes, len(frame)) if request.kind == "heatmap" else {},
        x=_drawn(roles["x"], drawn, request),
        by=_drawn(roles["by"], drawn, request),
        facet=_drawn(roles["facet"], drawn, request),
    )
    _check_sizes(found, request)
    return found


def _place(experiments: Experiments) -> str:
    return f"study {experiments.study}" if experiments.study else "plot"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def _check_names(experiments: Experiments, request: PlotSpec) -> tuple[str, ...]:
    """Return the parameters whose values are the replicates. Raises OptionError for a name that the study lacks."""
    known = list(experiments.parameters)
    for option, name in request.roles:
        numbers = [*known, *experiments.results, *_TIMES]
        allowed = numbers if option == "--x" and request.kind == "scatter" else known
        if name not in allowed:
            raise OptionError(_unknown(option, "parameter", name, allowed))
    if request.kind != "curve" and request.metric not in (metrics := [*experiments.results, *_TIMES]):
        if request.metric in known:
            raise OptionError(f"--metric {request.metric}: found a parameter, expected a result: {listed(metrics, 6)}")
        raise OptionError(_unknown("--metric", "result", request.metric, metrics))
    if request.over is not None:
        return request.over
    taken = {name for _, name in request.roles}
    return (_REPLICATES,) if _REPLICATES in known and _REPLICATES not in taken else ()


def _unknown(option: str, noun: str, name: str, known: Sequence[str]) -> str:
    guess = nearest(name, known)
    return f"{option}: no {noun} is named {name!r}" + (guess or f", expected one of {listed(known, 12) or 'none'}")


def _numbers_of(
    frame: pd.DataFrame, option: str, name: str, among: Mask, left_out: dict[str, int]
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Return a column as numbers, and which of the experiments *among* have a finite one; count the others."""
    numbers = np.full(len(frame), np.nan)
    held = among & frame[name].notna().to_numpy(dtype=bool)
    numbers[held] = _floats(frame[name][held], option, name)
    finite = among & np.isfinite(numbers)
    if odd := int(among.sum() - finite.sum()):
        left_out[f"without a finite {name}"] = odd
    return numbers, finite


def _floats(column: pd.Series[Any], option: str, name: str) -> npt.NDArray[np.float64]:
    if column.dtype == object or not (
        pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype)
    ):
        for value in column:
            if not isinstance(value, int | float | np.number):
                hint = "; use --kind box for categories" if option == "--x" else ""
                raise OptionError(f"{option} {name}: found {text_of(_shortened(value))}, expected numbers{hint}")
    return column.to_numpy(dtype=np.float64)


def _shortened(value: Any) -> Any:
    text = text_of(value) if isinstance(value, str | list | dict) else str(value)
    return repr(shortened(text, 40))


def _free(experiments: Experiments, request: PlotSpec, drawn: Mask, over: Sequence[str]) -> list[CodedParameter]:
    """Return the parameters that differ inside of one line's point, box or cell."""
    frame = experiments.frame
    kept = [name for name in (request.x, request.by, request.facet) if name is not None]
    cells = np.zeros(int(drawn.sum()), dtype=np.int64)
    for name in kept:
        axis = axis_of(name, frame[name]).among(drawn)
        cells = np.unique(cells * len(axis.values) + axis.codes, return_inverse=True)[1]
    others = [name for name in experiments.parameters if name not in {*kept, *over}]
    axes = [axis_of(name, frame[name]).among(drawn) for name in others]
    return [axis for axis in axes if len(axis.values) > 1 and _differs(axis, cells)]


def _refuse(free: Sequence[CodedParameter], mixed: Sequence[str], request: PlotSpec, over: Sequence[str]) -> None:
    """Raise RefusedError with a line for each reason that the request does not allow."""
    reasons = {
        "open": [_pooling(free, request, over)] if free and "open" not in request.allowed else [],
        "mixed": [] if "mixed" in request.allowed else mixed,
    }
    if lines := [line for kind in ALLOWED for line in reasons[kind]]:
        kinds = ",".join(kind for kind in ALLOWED if reasons[kind] or kind in request.allowed)
        raise RefusedError(lines, f"--allow {kinds} draws the picture with a note below it", "picture")


def _differs(axis: CodedParameter, cells: npt.NDArray[np.int64]) -> bool:
    """Return whether a parameter has two values in one cell."""
    first = np.zeros(int(cells.max()) + 1, dtype=np.int64)
    first[cells] = axis.codes
    return bool((first[cells] != axis.codes).any())


def _pooling(free: Sequence[CodedParameter], request: PlotSpec, over: Sequence[str]) -> str:
    unit = {"box": "box", "heatmap": "cell", "line": "point", "curve": "line"}[request.kind]
    name = free[0].name
    values = [f"{axis.name} ({listed(axis.labels, 4)})" for axis in free]
    value = next(value for value in free[0].values if value is not None)
    written = f"'{value}'" if isinstance(value, str) else text_of(value)
    options = [f"--{role} {name}" for role in ("by", "facet") if getattr(request, role) is None]
    options += [f"--over {','.join([*over, name])}", f'--where "{spelled(name)} = {written}"']
    return f"one {unit} would pool different values of {' and '.join(values)}; choose with {', '.join(options)}"


def _drawn(axis: CodedParameter | None, drawn: Mask, request: PlotSpec) -> CodedParameter | None:
    """Return the parameter of the drawn experiments; a heat map keeps values without done experiments."""
    if axis is None:
        return None
    return CodedParameter(axis.name, axis.values, axis.codes[drawn]) if request.kind == "heatmap" else axis.among(drawn)


def _planned(axes: Sequence[CodedParameter | None], total: int) -> dict[Cell, int]:
    """Return the number of selected experiments, done or not, in each cell."""
    cells, codes = _cells(axes, total)
    return dict(zip(cells, np.bincount(codes).tolist(), strict=True))


def samples(chosen: ChosenData) -> dict[Cell, npt.NDArray[np.float64]]:
    """Return the values of the metric in each cell, cells in the order of facet, x and by."""
    cells, codes = _cells((chosen.facet, chosen.x, chosen.by), len(chosen.y))
    ends = np.cumsum(np.bincount(codes))[:-1]
    return dict(zip(cells, np.split(chosen.y[np.argsort(codes, kind="stable")], ends), strict=True))


def _cells(axes: Sequence[CodedParameter | None], total: int) -> tuple[list[Cell], npt.NDArray[np.int64]]:
    """Return the cells that have experiments, in order, and for each experiment the place of its cell."""
    shape = [1 if axis is None else len(axis.values) for axis in axes]
    columns = [np.zeros(total, dtype=np.int64) if axis is None else axis.codes for axis in axes]
    found, codes = np.unique(np.ravel_multi_index(columns, shape), return_inverse=True)
    places = np.stack(np.unravel_index(found, shape), axis=1).tolist()
    return [(facet, x, by) for facet, x, by in places], codes


def _check_sizes(found: ChosenData, request: PlotSpec) -> None:
    """Raise OptionError if there are more lines, panels or categories than a reader can tell apart."""
    most_groups = _MOST_CATEGORIES["heatmap"] if request.kind == "heatmap" else MOST_GROUPS
    limits = [("--facet", found.facet, _MOST_PANELS), ("--by", found.by, most_groups)]
    if request.kind in _MOST_CATEGORIES:
        limits += [("--x", found.x, _MOST_CATEGORIES[request.kind])]
    for option, axis, limit in limits:
        if axis is not None and len(axis.values) > limit:
            raise OptionError(
                f"{option} {axis.name}: found {len(axis.values):,} values, expected at most {limit} for "
                f"--kind {request.kind}; choose some with --where"
            )
    for letter, numbers in (("x", found.x_numbers), ("y", found.y)):
        if letter in request.log and numbers is not None and (numbers <= 0).any():
            raise OptionError(f"--log {letter}: found {numbers.min():g}, expected numbers above 0")
