"""The finished figure, for a notebook or a file. This module imports matplotlib."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from qexp.analysis import atomic_files

_METADATA: dict[str, dict[str, str | None]] = {
    ".pdf": {"CreationDate": None, "Creator": "qexp"},
    ".svg": {"Date": None, "Creator": "qexp"},
    ".png": {"Software": "qexp"},
}
"""The metadata of files, without a time of day: the same data give the same bytes."""


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


@contextmanager
def applied(style: str) -> Iterator[None]:
    """Draw with the settings of a style, and restore the earlier settings afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = {**_COMMON, **_STYLES[style]}
        matplotlib.rcParams.update(settings)
        yield


class Picture(Figure):
    """A matplotlib figure of a study, with the notes that say what it leaves out."""

    notes: tuple[str, ...] = ()
    style: str = "paper"

    def save(self, path: Path) -> None:
        """Write the picture to a .pdf, .svg or .png file, complete or not at all. Raises ExportError if that fails."""
        check_target(path)
        with atomic_files.atomic_file(path) as draft, applied(self.style):
            self.savefig(draft, metadata=_METADATA[path.suffix.lower()])

    def _repr_png_(self) -> bytes:
        """Return the picture as a notebook shows it."""
        content = io.BytesIO()
        with applied("screen"):
            self.savefig(content, format="png", dpi=self.dpi)
        return content.getvalue()


def check_target(path: Path) -> None:
    """Raise ExportError unless *path* may become a .pdf, .svg or .png file."""
    atomic_files.check_target(path, tuple(_METADATA))
