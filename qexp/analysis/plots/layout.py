"""Panels, axes, legend and caption, which all kinds of pictures share."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from qexp.analysis.plots import legend, ticks
from qexp.analysis.plots.figure import Picture
from qexp.analysis.plots.labels import WIDTH, shown, text_of
from qexp.analysis.plots.selection import ChosenData
from qexp.analysis.plots.spec import PlotSpec
from qexp.analysis.plots.style import GREY, SIZES
from qexp.truncation import listed


@dataclass(frozen=True)
class PlotText:
    """The sentence, the legend and the notes of one kind of plot."""

    sentence: str
    """The meaning of lines, bands, boxes and points, and n."""
    legend: Sequence[tuple[str, Artist]] = ()
    notes: Sequence[str] = ()
    """Notes for readers, except on experiments that were left out."""


def begin(chosen: ChosenData, request: PlotSpec) -> tuple[Picture, list[Axes]]:
    """Return an empty picture and its panels: one per value of the facet, in order."""
    count = 1 if chosen.facet is None else len(chosen.facet.values)
    columns = min(count, 3) if count != 4 else 2
    rows = math.ceil(count / columns)
    picture = Picture(figsize=request.size or _size(request, rows, columns))
    picture.style = request.style
    grid = picture.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for panel in panels[count:]:
        panel.remove()
    for place, panel in enumerate(panels[:count]):
        _head(panel, place, count, columns, chosen, request)
    return picture, panels[:count]


def _size(request: PlotSpec, rows: int, columns: int) -> tuple[float, float]:
    width, height = SIZES[request.style]
    if columns == 1:
        return width, height
    return width * 0.55 * columns, height * (0.35 + 0.55 * rows)


def _head(panel: Axes, place: int, count: int, columns: int, chosen: ChosenData, request: PlotSpec) -> None:
    if chosen.facet is not None:
        panel.set_title(_title(chosen.facet.name, chosen.facet.labels[place], panel, columns))
    below = place + columns < count
    panel.tick_params(axis="x", labelbottom=not below)
    if not below:
        panel.set_xlabel(shown("step" if request.kind == "curve" else request.x or ""))
    if place % columns == 0:
        panel.set_ylabel(shown((request.by or "") if request.kind == "heatmap" else request.metric))
    if "x" in request.log:
        panel.set_xscale("log")
    if "y" in request.log:
        panel.set_yscale("log")


def _title(name: str, label: str, panel: Axes, columns: int) -> str:
    """Return the line above a panel, as two lines if it would be wider than the panel."""
    figure = panel.get_figure(root=True)
    room = 0.0 if figure is None else figure.get_figwidth() * 72 / columns * 0.8
    text = f"{name} = {label}"
    fits = len(text) * WIDTH * matplotlib.rcParams["font.size"] <= room
    return shown(text if fits else f"{name} =\n{label}")


def finish(picture: Picture, panels: Sequence[Axes], chosen: ChosenData, request: PlotSpec, drawn: PlotText) -> None:
    """Add legend, title and caption, and keep labels from overlapping."""
    notes = [*drawn.notes, *left_out(chosen)]
    picture.notes = tuple(notes)
    names = full_names(chosen)
    if request.title:
        picture.suptitle(shown(request.title), x=0.01, ha="left")
    if drawn.legend and chosen.by is not None:
        legend.add(picture, panels, chosen.by.name, drawn.legend, request.size is None)
    counts = [] if chosen.left_out else [f"all {chosen.total:,} experiments" if chosen.total > 1 else "1 experiment"]
    _caption(picture, [drawn.sentence, *names, *notes, *counts], request.size is None)
    for panel in panels:
        ticks.keep_apart(picture, panel)


def left_out(chosen: ChosenData) -> list[str]:
    """Return a warning line for each caveat of the picture; the last one counts experiments that are not drawn."""
    notes = list(chosen.notes)
    if chosen.pooled:
        notes.append(f"pooled over different values of {', '.join(chosen.pooled)} (--allow open)")
    if chosen.left_out:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in chosen.left_out.items())
        notes.append(f"{chosen.drawn:,} of {chosen.total:,} experiments: {reasons}")
    return notes


def full_names(chosen: ChosenData) -> list[str]:
    """Return a line for each axis some of whose labels are cut, with the whole values."""
    lines = []
    for axis in (chosen.x, chosen.by, chosen.facet):
        if axis is not None:
            pairs = [(label, text_of(value)) for label, value in zip(axis.labels, axis.values, strict=True)]
            cut = [f"{label} is {text}" for label, text in pairs if "…" in label and label != text]
            lines += [f"labels of {axis.name}: {listed(cut, 6)}"] * bool(cut)
    return lines


def _caption(picture: Picture, lines: Sequence[str], may_grow: bool) -> None:
    """Write lines in small grey letters below the axes; if the picture may not grow, the axes make room for them."""
    size = 0.8 * matplotlib.rcParams["font.size"]
    width = int(picture.get_figwidth() * 72 * 0.98 / (WIDTH * size))
    wrapped = [part for line in lines for part in textwrap.wrap(line[0].upper() + line[1:], width)]
    inches = (len(wrapped) * 1.25 * size + 6) / 72
    if may_grow:
        picture.set_figheight(picture.get_figheight() + inches)
    height = picture.get_figheight()
    engine = picture.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, inches / height, 1, 1 - inches / height))  # type: ignore[call-arg]
    place: dict[str, Any] = {"va": "bottom", "ha": "left", "linespacing": 1.2}
    picture.text(0.01, 2 / 72 / height, shown("\n".join(wrapped)), size=size, color=GREY, **place)


def over(chosen: ChosenData) -> str:
    """Return ` over seed` and the like, for a caption."""
    names = [*chosen.over, *chosen.pooled]
    return f" over {' and '.join(names)}" if names else ""


def n_text(counts: Sequence[int]) -> str:
    """
    Return the numbers of replicates, for a caption.

    >>> n_text([5, 5])
    'n = 5'
    """
    low, high = min(counts), max(counts)
    return f"n = {low:,}" if low == high else f"n = {low:,}–{high:,}"  # noqa: RUF001 - a range has a dash of this length
