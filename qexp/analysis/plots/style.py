"""Colours, markers, dashes and fonts, independent of the user's settings of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Okabe and Ito, "Color Universal Design" (2008), https://jfly.uni-koeln.de/color/: eight colours that people with each
# kind of colour blindness can tell apart. Light ones come last: their lines are hard to see on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "+++", "ooo", "|||", "//..", "\\\\..", "**")
GREY = "#666666"
MOST_GROUPS = len(MARKERS)
"""Groups that a reader can tell apart, also in print without colours."""
COLORMAP = "cividis"
"""Perceptually uniform, also with most kinds of colour blindness (Nuñez, Anderton, Renslow, PLOS ONE 2018)."""


@dataclass(frozen=True)
class GroupStyle:
    """The style of one group."""

    color: str
    marker: str
    dash: Any
    hatch: str


def group_style(place: int) -> GroupStyle:
    """Return the style of the group at *place*; MOST_GROUPS styles differ, also in grey."""
    return GroupStyle(
        COLORS[place % len(COLORS)],
        MARKERS[place % len(MARKERS)],
        DASHES[place % len(DASHES)],
        HATCHES[place % len(HATCHES)],
    )


SIZES: Mapping[str, tuple[float, float]] = {"paper": (4.8, 2.9), "screen": (8.0, 4.8)}
"""Width and height in inches of a picture with one panel."""
