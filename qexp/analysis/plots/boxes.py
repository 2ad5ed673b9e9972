"""Boxes: the distribution of a metric over replicates, per category."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from qexp.analysis.plots.layout import PlotText, n_text, over
from qexp.analysis.plots.lines import groups, legend
from qexp.analysis.plots.selection import ChosenData, samples
from qexp.analysis.plots.spec import PlotSpec
from qexp.analysis.plots.style import GroupStyle, group_style
from qexp.analysis.plots.ticks import categories

_FEW = 10
"""With fewer values, each one is a point beside its box."""
_TOO_FEW = 3
"""With fewer values there is no box, because quartiles would mean nothing."""


def draw(panels: Sequence[Axes], chosen: ChosenData, request: PlotSpec) -> PlotText:
    """Draw a box per category and value of --by in each panel."""
    if chosen.x is None:
        raise ValueError("boxes have an x axis")
    count = len(groups(chosen.by))
    width = 0.8 / count
    values = samples(chosen)
    for (facet, x, by), sample in values.items():
        place = x + (by - (count - 1) / 2) * width
        _box(panels[facet], place, 0.8 * width, sample, group_style(by))
    for panel in panels:
        categories(panel, chosen.x.labels)
        panel.set_xlim(-0.5, len(chosen.x.values) - 0.5)
        for edge in range(1, len(chosen.x.values) if count > 1 else 0):
            panel.axvline(edge - 0.5, color="0.9", linewidth=0.6, zorder=0)
    entries = legend(
        chosen.by, lambda style: Patch(facecolor=_light(style.color), edgecolor=style.color, hatch=style.hatch)
    )
    return PlotText(_sentence(chosen, [len(sample) for sample in values.values()]), entries)


def _box(panel: Axes, place: float, width: float, sample: npt.NDArray[np.float64], style: GroupStyle) -> None:
    if len(sample) >= _TOO_FEW:
        panel.boxplot(
            [sample],
            positions=[place],
            widths=width,
            manage_ticks=False,
            patch_artist=True,
            showfliers=len(sample) >= _FEW,
            boxprops={"facecolor": _light(style.color), "edgecolor": style.color, "hatch": style.hatch},
            medianprops={"color": style.color, "linewidth": 1.8, "solid_capstyle": "butt"},
            whiskerprops={"color": style.color},
            capprops={"color": style.color},
            flierprops={
                "marker": style.marker,
                "markeredgecolor": style.color,
                "markersize": 3,
                "markerfacecolor": "none",
            },
        )
    if len(sample) < _FEW:
        spots = place + np.linspace(-0.25, 0.25, len(sample)) * width if len(sample) > 1 else np.array([place])
        panel.plot(
            spots, sample, style.marker, color=style.color, markeredgecolor="white", markeredgewidth=0.4, zorder=3
        )


def _light(color: str) -> tuple[float, float, float]:
    """Return a colour mixed with white."""
    red, green, blue = (0.25 * part + 0.75 for part in to_rgb(color))
    return red, green, blue


def _sentence(chosen: ChosenData, counts: Sequence[int]) -> str:
    if max(counts) < _TOO_FEW:
        return f"points: single experiments, {n_text(counts)} per category"
    points = "points: single experiments" if min(counts) < _FEW else "points: beyond the whiskers"
    whiskers = "whiskers: within 1.5 interquartile ranges"
    return f"box: median and quartiles{over(chosen)}, {n_text(counts)} per box; {whiskers}; {points}"
