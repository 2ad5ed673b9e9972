"""Heat maps: the mean of a metric over replicates, in cells of two parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from qexp.analysis.plots.coded_parameter import CodedParameter
from qexp.analysis.plots.labels import shown
from qexp.analysis.plots.layout import PlotText, n_text, over
from qexp.analysis.plots.selection import Cell, ChosenData, samples
from qexp.analysis.plots.spec import PlotSpec
from qexp.analysis.plots.spread import Summary, in_words, summary
from qexp.analysis.plots.style import COLORMAP
from qexp.analysis.plots.ticks import categories
from qexp.analysis.statistics.digits import column_format
from qexp.analysis.statistics.statistic_names import Statistic

_SMALLEST = 3.5
"""The smallest font size in points for numbers in cells."""


def draw(panels: Sequence[Axes], chosen: ChosenData, request: PlotSpec) -> PlotText:
    """Fill the cells of each panel with colours and numbers; a cell without any value is hatched."""
    if chosen.x is None or chosen.by is None:
        raise ValueError("heat maps have two axes")
    values = samples(chosen)
    found = summary(list(values.values()), request.center)
    scale = Normalize(found.center.min(), found.center.max())
    texts = _texts(values, found, chosen, request)
    size = _font(panels[0], chosen.x, chosen.by, texts.values())
    centers = dict(zip(values, found.center.tolist(), strict=True))
    for facet, panel in enumerate(panels):
        _cells(panel, facet, centers, chosen.x, chosen.by, scale)
        if size >= _SMALLEST:
            _numbers(panel, facet, centers, texts, scale, size)
    figure = panels[0].figure
    bar = figure.colorbar(ScalarMappable(scale, COLORMAP), ax=list(panels), label=shown(request.metric), pad=0.02)
    bar.outline.set_visible(False)
    notes = [] if size >= _SMALLEST else ["too many cells for numbers in them; choose some with --where"]
    cells = len(panels) * len(chosen.x.values) * len(chosen.by.values)
    return PlotText(_sentence(values, cells, chosen, request), notes=notes)


def _cells(
    panel: Axes, facet: int, centers: Mapping[Cell, float], x: CodedParameter, by: CodedParameter, scale: Normalize
) -> None:
    image = np.full((len(by.values), len(x.values)), np.nan)
    for (cell_facet, column, row), center in centers.items():
        if cell_facet == facet:
            image[row, column] = center
    for row, column in np.argwhere(np.isnan(image)).tolist():
        gap = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="white", edgecolor="0.7", hatch="////", linewidth=0)
        panel.add_patch(gap)
    panel.imshow(image, cmap=COLORMAP, norm=scale, aspect="auto", origin="lower", interpolation="nearest")
    categories(panel, x.labels)
    categories(panel, by.labels, "y")
    panel.spines[:].set_visible(False)


def _numbers(
    panel: Axes, facet: int, centers: Mapping[Cell, float], texts: Mapping[Cell, str], scale: Normalize, size: float
) -> None:
    for (cell_facet, column, row), center in centers.items():
        if cell_facet == facet:
            red, green, blue, _ = colormaps[COLORMAP](scale(center))
            dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.45  # weights of ITU-R BT.709
            place: dict[str, Any] = {"ha": "center", "va": "center", "size": size}
            panel.text(column, row, texts[facet, column, row], color="white" if dark else "black", **place)


def _texts(
    values: Mapping[Cell, npt.NDArray[np.float64]], found: Summary, chosen: ChosenData, request: PlotSpec
) -> dict[Cell, str]:
    """Return the text of each cell: center, spread if --stat asks for it, n if the cell lacks replicates."""
    median = request.center is Statistic.MEDIAN
    has_spread = request.statistic is not None
    style = column_format(found.center, (found.high - found.low) / 2 if has_spread else ())
    texts = {}
    for cell, center, low, high in zip(values, found.center, found.low, found.high, strict=True):
        lines = [style.text(center)]
        if median and np.isfinite(high):
            lines.append(f"{style.text(low)}–{style.text(high)}")  # noqa: RUF001 - a range
        elif has_spread and np.isfinite(high):
            lines.append(f"±{style.spread_text(high - center)}")
        if (n := len(values[cell])) < chosen.planned[cell]:
            lines.append(f"{n}/{chosen.planned[cell]}")
        texts[cell] = "\n".join(lines)
    return texts


def _font(panel: Axes, x: CodedParameter, by: CodedParameter, texts: Iterable[str]) -> float:
    """Return the size in points with which the longest of some texts and a line below it fit into a cell."""
    longest = max([5, *(len(line) for text in texts for line in text.splitlines())])
    figure, grid = panel.get_figure(root=True), panel.get_subplotspec()
    if figure is None:
        raise ValueError("the panel is in no figure")
    rows, columns = grid.get_gridspec().get_geometry() if grid is not None else (1, 1)
    width = figure.get_figwidth() * 72 * 0.72 / columns / len(x.values)
    height = figure.get_figheight() * 72 * 0.7 / rows / len(by.values)
    return float(min(matplotlib.rcParams["font.size"], width / (0.68 * longest), height / 2.4))


def _sentence(values: Mapping[Cell, npt.NDArray[np.float64]], cells: int, chosen: ChosenData, request: PlotSpec) -> str:
    name = f"mean{over(chosen)}" if request.statistic is None else in_words(request.center, over(chosen))
    counts = {cell: len(sample) for cell, sample in values.items()}
    text = f"{name}, {n_text(list(counts.values()))} per cell"
    short = next((cell for cell, count in counts.items() if count < chosen.planned[cell]), None)
    if short is not None:
        done, planned = counts[short], chosen.planned[short]
        text += f"; {done}/{planned}: {done} of {planned} experiments"
    return text + "; hatched: no value" * (len(values) < cells)
