"""Draw the picture of a request with its chosen experiments."""

from __future__ import annotations

from collections.abc import Mapping

from qexp.analysis.plots import boxes, curves, heatmap, layout, lines, scatter
from qexp.analysis.plots.figure import Picture, applied
from qexp.analysis.plots.selection import ChosenData
from qexp.analysis.plots.spec import PlotSpec

_KINDS = {"line": lines.draw, "box": boxes.draw, "scatter": scatter.draw, "heatmap": heatmap.draw}


def draw(chosen: ChosenData, request: PlotSpec, series: Mapping[curves.Key, curves.Curve] | None = None) -> Picture:
    """Return the picture; *series* are the curves of a request for them."""
    with applied(request.style):
        picture, panels = layout.begin(chosen, request)
        if request.kind == "curve":
            drawn = curves.draw(panels, chosen, request, series or {})
        else:
            drawn = _KINDS[request.kind](panels, chosen, request)
        layout.finish(picture, panels, chosen, request, drawn)
    return picture
