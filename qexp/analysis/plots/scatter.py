"""Points: a metric over any number, one point per experiment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from qexp.analysis.plots.layout import PlotText
from qexp.analysis.plots.lines import groups, legend
from qexp.analysis.plots.selection import ChosenData
from qexp.analysis.plots.spec import PlotSpec
from qexp.analysis.plots.style import group_style

_MANY = 5_000
"""More points than this become one image inside of a PDF or SVG, to keep the file small."""


def draw(panels: Sequence[Axes], chosen: ChosenData, request: PlotSpec) -> PlotText:
    """Draw a point per experiment, its colour and marker by --by."""
    if chosen.x_numbers is None:
        raise ValueError("points have an x axis")
    nowhere = np.zeros(len(chosen.y), dtype=np.int64)
    facets = nowhere if chosen.facet is None else chosen.facet.codes
    colors = nowhere if chosen.by is None else chosen.by.codes
    alpha = float(np.clip(30 / np.sqrt(len(chosen.y)), 0.15, 0.85))
    for facet, panel in enumerate(panels):
        for by in groups(chosen.by):
            which, style = (facets == facet) & (colors == by), group_style(by)
            panel.plot(
                chosen.x_numbers[which],
                chosen.y[which],
                style.marker,
                color=style.color,
                alpha=alpha,
                markeredgewidth=0,
                rasterized=len(chosen.y) > _MANY,
            )
    entries = legend(chosen.by, lambda style: Line2D([], [], color=style.color, marker=style.marker, linestyle=""))
    return PlotText(f"one point per experiment, n = {len(chosen.y):,}", entries)
