"""Ticks at the values of parameters if there is room; their labels never overlap."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from qexp.analysis.plots.coded_parameter import CodedParameter
from qexp.analysis.plots.figure import Picture
from qexp.analysis.plots.labels import shown

_MOST_TICKS = 12
_GAP = 3
"""Pixels between the labels of two ticks."""


def categories(panel: Axes, labels: Sequence[str], axis: str = "x") -> None:
    """Give an axis a tick per category, at 0, 1, 2 and so on."""
    place = panel.xaxis if axis == "x" else panel.yaxis
    place.set_ticks(range(len(labels)), [shown(label) for label in labels])
    place.set_tick_params(length=0)


def number_ticks(panel: Axes, axis: CodedParameter, is_log: bool) -> None:
    """Put ticks at the values of a parameter if there is room for all of them, otherwise at round numbers."""
    values = [float(value) for value in axis.values if isinstance(value, int | float)]
    places = np.log10(values) if is_log else np.array(values)
    gaps = np.diff(places)
    if 1 < len(values) <= _MOST_TICKS and gaps.min() >= (places[-1] - places[0]) / _MOST_TICKS:
        panel.xaxis.set_major_locator(FixedLocator(values))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
        panel.xaxis.set_minor_locator(NullLocator())
    elif not is_log and all(type(value) is int for value in axis.values):
        panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def keep_apart(picture: Picture, panel: Axes) -> None:
    """Turn the labels of the x axis, by 30° or upright, if they would touch each other."""
    picture.draw_without_rendering()
    labels = [label for label in panel.get_xticklabels() if label.get_text() and label.get_visible()]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    if all(right.x0 - left.x1 >= _GAP for left, right in itertools.pairwise(boxes)):
        return
    centers = [(box.x0 + box.x1) / 2 for box in boxes]
    closest = min(right - left for left, right in itertools.pairwise(centers))
    fits = closest * math.sin(math.radians(30)) >= max(box.height for box in boxes) + _GAP
    for label in panel.get_xticklabels():
        label.set(rotation=30 if fits else 90, ha="right", va="top" if fits else "center", rotation_mode="anchor")
