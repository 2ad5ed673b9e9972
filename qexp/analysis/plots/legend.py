"""Legends: inside of the axes if they cover no data, otherwise beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from qexp.analysis.plots.figure import Picture
from qexp.analysis.plots.labels import WIDTH, shown

_MOST_INSIDE = 6
"""Entries of a legend inside of the axes; a longer one stands beside them."""
_HANDLE = 4.5
"""The width of the samples and gaps of a legend in sizes of its font."""


def add(
    picture: Picture, panels: Sequence[Axes], title: str, entries: Sequence[tuple[str, Artist]], may_widen: bool
) -> None:
    """Add a legend with a title. Beside the panels, it widens the picture if this is allowed."""
    labels = [shown(label) for label, _ in entries]
    given: dict[str, Any] = {
        "handles": [handle for _, handle in entries],
        "labels": labels,
        "title": shown(title),
        "alignment": "left",
    }
    if len(panels) == 1 and len(labels) <= _MOST_INSIDE:
        inside = panels[0].legend(loc="best", **given)
        picture.draw_without_rendering()
        if not _covers_data(panels[0], inside.get_window_extent()):
            return
        inside.remove()
    if may_widen:
        picture.set_figwidth(picture.get_figwidth() + _width([*labels, title]))
    picture.legend(loc="outside right upper", **given)


def _width(labels: Sequence[str]) -> float:
    """Estimate the width of a legend in inches from the length of its labels."""
    return float((max(map(len, labels)) * WIDTH + _HANDLE) * matplotlib.rcParams["font.size"] / 72)


def _covers_data(panel: Axes, box: Bbox) -> bool:
    """Return whether a line, point, band or box of a panel lies below a rectangle of the screen."""
    for line in panel.lines:
        path = line.get_transform().transform_path(line.get_path())
        if line.get_zorder() > 0 and path.intersects_bbox(box, filled=False):  # below that, lines only separate boxes
            return True
    for patch in panel.patches:
        if patch.get_transform().transform_path(patch.get_path()).intersects_bbox(box, filled=True):
            return True
    for collection in panel.collections:
        transform = collection.get_transform()
        if any(transform.transform_path(path).intersects_bbox(box, filled=True) for path in collection.get_paths()):
            return True
    return False
