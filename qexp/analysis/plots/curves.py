"""Curves: a series over its steps, with the spread over the runs that have a point at each step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from qexp.analysis.plots.layout import PlotText, n_text, over
from qexp.analysis.plots.lines import band, groups
from qexp.analysis.plots.selection import ChosenData
from qexp.analysis.plots.spec import PlotSpec
from qexp.analysis.plots.spread import Summary, line_in_words, summary_of_rows
from qexp.analysis.plots.style import GroupStyle, group_style
from qexp.analysis.statistics.statistic_names import Statistic
from qexp.errors import OptionError, nearest
from qexp.model import counted
from qexp.store.connection import Connection
from qexp.store.reads import curves as reads

_LONG = 1_000
"""A line with more points is thin."""
_MOST_COUNTS = 3
"""The most changes of n that are written beside a line; if there are more, only the last n is written."""
_MARKS = 8
"""Markers on a line."""
_READ = {Statistic.MEDIAN: reads.quartiles, Statistic.IQM: reads.interquartile_means}


@dataclass(frozen=True)
class Curve:
    """The series of a group of runs: arrays of one entry per step at which any of them has a finite point."""

    steps: npt.NDArray[np.int64]
    values: Summary
    runs: int
    """The runs that have any point."""


Key = tuple[int, int]
"""The places of the values of facet and by."""


def members(chosen: ChosenData) -> npt.NDArray[np.int64]:
    """Return the number of each experiment's group; `key` turns it into the places of facet and by."""
    facets = 0 if chosen.facet is None else chosen.facet.codes
    groups_ = np.zeros(len(chosen.ids), dtype=np.int64) if chosen.by is None else chosen.by.codes
    return np.asarray(groups_ + len(groups(chosen.by)) * facets, dtype=np.int64)


def key(group: int, chosen: ChosenData) -> Key:
    """Return the places of facet and by of a group."""
    facet, by = divmod(group, len(groups(chosen.by)))
    return facet, by


def curves_of(
    rows: Iterable[Sequence[float]], runs: Mapping[int, int], chosen: ChosenData, statistic: Statistic
) -> dict[Key, Curve]:
    """
    Return the curve of each group from rows of `reads.curves`, in the order of group and step.

    After group, step and n they have the quartiles of a median, an interquartile mean, or mean and deviation.
    """
    table = np.array([*rows], dtype=np.float64)
    found: dict[Key, Curve] = {}
    for group, count in runs.items():
        part = table[table[:, 0] == group] if len(table) else table
        if len(part):
            values = summary_of_rows(part[:, 2:], statistic)
            found[key(group, chosen)] = Curve(part[:, 1].astype(np.int64), values, count)
    return found


def draw(panels: Sequence[Axes], chosen: ChosenData, request: PlotSpec, curves: Mapping[Key, Curve]) -> PlotText:
    """Draw a line per group in each panel, dashed where some of its runs have no point."""
    _check_logs(curves, request)
    fewer = False
    for (facet, by), curve in curves.items():
        _curve(panels[facet], curve, group_style(by), by, len(groups(chosen.by)))
        fewer |= bool((curve.values.n < curve.runs).any())
    counts = [curve.runs for curve in curves.values()]
    if max(counts) == 1:
        return PlotText("one run per line", _legend(chosen, curves))
    dashed = "; dashed: fewer runs have a point" * fewer
    return PlotText(f"{line_in_words(request.center, over(chosen))}{dashed}", _legend(chosen, curves))


def _check_logs(curves: Mapping[Key, Curve], request: PlotSpec) -> None:
    for letter in request.log:
        for curve in curves.values():
            numbers = curve.steps if letter == "x" else curve.values.center
            if (numbers <= 0).any():
                raise OptionError(f"--log {letter}: found {numbers.min():g}, expected numbers above 0")


def _curve(panel: Axes, curve: Curve, style: GroupStyle, place: int, count: int) -> None:
    steps, values = curve.steps, curve.values
    fewer = values.n < curve.runs
    beside = fewer.copy()
    beside[1:] |= fewer[:-1]
    beside[:-1] |= fewer[1:]
    thin = {"linewidth": 0.7} if len(steps) > _LONG else {}
    band(panel, steps.astype(float), values, style)
    dashes = (0, (6, 3) if thin else (3, 1.5))
    for which, dash in ((~fewer, "-"), (beside, dashes)):
        if which.any():
            panel.plot(steps, np.where(which, values.center, np.nan), color=style.color, linestyle=dash, **thin)  # type: ignore[arg-type]
    every = max(1, len(steps) // _MARKS)
    first = min(len(steps) - 1, every * place // count)
    panel.plot(steps[first::every], values.center[first::every], style.marker, color=style.color, markersize=3.5)
    _write_counts(panel, curve, style)


def _write_counts(panel: Axes, curve: Curve, style: GroupStyle) -> None:
    """Write n beside the line where it changes."""
    n = curve.values.n
    changes = np.flatnonzero((n[1:] != n[:-1]) & (n[1:] < curve.runs)) + 1
    for place in changes if len(changes) <= _MOST_COUNTS else [len(n) - 1]:
        if n[place] < curve.runs:
            panel.annotate(
                f"n = {n[place]}",
                (float(curve.steps[place]), float(curve.values.center[place])),
                xytext=(0, 4),
                textcoords="offset points",
                color=style.color,
                size=0.75 * matplotlib.rcParams["font.size"],
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )


def _legend(chosen: ChosenData, curves: Mapping[Key, Curve]) -> list[tuple[str, Artist]]:
    if chosen.by is None:
        return []
    entries: list[tuple[str, Artist]] = []
    for place in groups(chosen.by):
        drawn = [curve for (_, by), curve in curves.items() if by == place]
        if drawn:
            style = group_style(place)
            line = Line2D([], [], color=style.color, marker=style.marker, markersize=3.5)
            entries.append((f"{chosen.by.labels[place]} ({_counts(drawn)})", line))
    return entries


def _counts(curves: Sequence[Curve]) -> str:
    """Return the numbers of runs of curves; for a single curve also the number at its end."""
    text = n_text([curve.runs for curve in curves])
    last = int(curves[0].values.n[-1])
    return text if len(curves) > 1 or last == curves[0].runs else f"{text} → {last}"


def without_series(chosen: ChosenData, name: str, runs: int, odd: int) -> ChosenData:
    """Return *chosen* with the counts of experiments without the series and of points that are not finite."""
    left_out, notes = dict(chosen.left_out), list(chosen.notes)
    if missing := len(chosen.ids) - runs:
        left_out[f"without a finite {name}"] = missing
    if odd:
        notes.append(f"NaN or infinite points of {counted(odd, 'run')} are left out")
    return dataclasses.replace(chosen, left_out=left_out, notes=tuple(notes), drawn=runs)


def series_of(connection: Connection, chosen: ChosenData, request: PlotSpec) -> tuple[dict[Key, Curve], ChosenData]:
    """Return the curves, and the chosen experiments that have points. Raises OptionError if none has."""
    chosen_groups = (chosen.ids.tolist(), members(chosen).tolist())
    counts = reads.runs(connection, chosen_groups, request.metric)
    runs = {group: count for group, count, _ in counts if count}
    if not runs:
        known = reads.names(connection, chosen_groups)
        if request.metric in known:
            raise OptionError(f"--metric {request.metric}: no point of the series is finite")
        guess = nearest(request.metric, known) or f", expected one of {', '.join(known) or 'none'}"
        raise OptionError(f"--metric: no series of the done experiments is named {request.metric!r}{guess}")
    rows = _READ.get(request.center, reads.means)(connection, chosen_groups, request.metric)
    odd = sum(odd for _, _, odd in counts)
    drawn = without_series(chosen, request.metric, sum(runs.values()), odd)
    return curves_of(rows, runs, chosen, request.center), drawn
