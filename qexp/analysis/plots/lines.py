"""Lines: a metric over a parameter, with the spread over replicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from qexp.analysis.plots.coded_parameter import CodedParameter
from qexp.analysis.plots.layout import PlotText, n_text, over
from qexp.analysis.plots.selection import ChosenData, samples
from qexp.analysis.plots.spec import PlotSpec
from qexp.analysis.plots.spread import Summary, line_in_words, summary
from qexp.analysis.plots.style import GroupStyle, group_style
from qexp.analysis.plots.ticks import number_ticks
from qexp.analysis.statistics.statistic_names import Statistic


def draw(panels: Sequence[Axes], chosen: ChosenData, request: PlotSpec) -> PlotText:
    """Draw a line per value of --by in each panel; a marker is hollow where n is smaller than elsewhere on its line."""
    if chosen.x is None:
        raise ValueError("lines have an x axis")
    values = samples(chosen)
    counts: list[int] = []
    fewer = False
    for facet, panel in enumerate(panels):
        for by in groups(chosen.by):
            places = [x for cell_facet, x, cell_by in values if (cell_facet, cell_by) == (facet, by)]
            if not places:
                continue
            found = summary([values[facet, x, by] for x in places], request.center)
            _line(panel, np.array([chosen.x.values[x] for x in places], dtype=float), found, group_style(by))
            counts += found.n.tolist()
            fewer |= bool((found.n < found.n.max()).any())
        number_ticks(panel, chosen.x, "x" in request.log)
    entries = legend(
        chosen.by, lambda style: Line2D([], [], color=style.color, marker=style.marker, linestyle=style.dash)
    )
    return PlotText(_sentence(chosen, request.center, counts, fewer), entries)


def groups(by: CodedParameter | None) -> range:
    """Return the places of the groups; there is one without --by."""
    return range(1 if by is None else len(by.values))


def _line(panel: Axes, x: npt.NDArray[np.float64], found: Summary, style: GroupStyle) -> None:
    band(panel, x, found, style)
    panel.plot(x, found.center, color=style.color, linestyle=style.dash)
    full = found.n == found.n.max()
    for which, face in ((full, style.color), (~full, "white")):
        if which.any():
            panel.plot(x[which], found.center[which], style.marker, color=style.color, markerfacecolor=face)


def band(panel: Axes, x: npt.NDArray[np.float64], found: Summary, style: GroupStyle) -> None:
    """Draw the interval around a line, as bars where a point has no neighbour."""
    known = np.isfinite(found.low) & np.isfinite(found.high)
    if not known.any():
        return
    panel.fill_between(x, found.low, found.high, where=known.tolist(), color=style.color, alpha=0.18, linewidth=0)
    beside = np.zeros_like(known)
    beside[1:] |= known[:-1]
    beside[:-1] |= known[1:]
    if (alone := known & ~beside).any():
        panel.vlines(x[alone], found.low[alone], found.high[alone], color=style.color, alpha=0.5)


def legend(by: CodedParameter | None, sample: Callable[[GroupStyle], Artist]) -> list[tuple[str, Artist]]:
    """Return the label and the sample of each group; nothing without --by."""
    return [] if by is None else [(label, sample(group_style(place))) for place, label in enumerate(by.labels)]


def _sentence(chosen: ChosenData, statistic: Statistic, counts: Sequence[int], fewer: bool) -> str:
    if max(counts) == 1:
        return "one experiment per point"
    hollow = "; hollow markers: fewer than elsewhere on the line" * fewer
    return f"{line_in_words(statistic, over(chosen))}, {n_text(counts)} per point{hollow}"
