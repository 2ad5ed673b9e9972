"""Colours, markers, dashes and fonts, the same whatever the user's own settings of matplotlib are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
"""Even in lightness, and the same to most kinds of colour blindness (Nuñez, Anderton, Renslow, PLOS ONE 2018)."""


@dataclass(frozen=True)
class GroupStyle:
    """How one group is drawn."""

    color: str
    marker: str
    dash: Any
    hatch: str


def group_style(place: int) -> GroupStyle:
    """Return the look of the group at *place*; below MOST_GROUPS no two are equal, in grey neither."""
    return GroupStyle(
        COLORS[place % len(COLORS)],
        MARKERS[place % len(MARKERS)],
        DASHES[place % len(DASHES)],
        HATCHES[place % len(HATCHES)],
    )


_COMMON: Mapping[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.family": ["DejaVu Sans"],
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "qexp",
    "savefig.facecolor": "white",
}
_STYLES: Mapping[str, Mapping[str, Any]] = {
    "paper": {
        "font.size": 8.0,
        "axes.titlesize": 8.5,
        "figure.titlesize": 9.0,
        "lines.linewidth": 1.2,
        "lines.markersize": 4.0,
        "axes.linewidth": 0.7,
        "hatch.linewidth": 0.5,
        "figure.dpi": 150,
        "savefig.dpi": 300,
    },
    "screen": {
        "font.size": 11.0,
        "axes.titlesize": 11.5,
        "figure.titlesize": 12.5,
        "lines.linewidth": 1.8,
        "lines.markersize": 6.0,
        "axes.linewidth": 0.9,
        "hatch.linewidth": 0.7,
        "figure.dpi": 100,
        "savefig.dpi": 150,
    },
}
SIZES: Mapping[str, tuple[float, float]] = {"paper": (4.8, 2.9), "screen": (8.0, 4.8)}
"""Width and height in inches of a picture with one panel."""


@contextmanager
def applied(style: str) -> Iterator[None]:
    """Draw with the settings of a style; those that were there before come back."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = {**_COMMON, **_STYLES[style]}
        matplotlib.rcParams.update(settings)
        yield
