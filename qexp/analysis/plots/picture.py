"""The finished figure: it shows itself in a notebook and becomes a file. Imported only where something is drawn."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure

from qexp.analysis import whole_files
from qexp.analysis.plots.style import applied

_METADATA: dict[str, dict[str, str | None]] = {
    ".pdf": {"CreationDate": None, "Creator": "qexp"},
    ".svg": {"Date": None, "Creator": "qexp"},
    ".png": {"Software": "qexp"},
}
"""What a file says of its origin. No time of day: the same data give the same bytes."""


class Picture(Figure):
    """A matplotlib figure of a study, with the notes that say what it leaves out."""

    notes: tuple[str, ...] = ()
    style: str = "paper"

    def save(self, path: Path) -> None:
        """Write the picture to a .pdf, .svg or .png file, complete or not at all; ExportError says why it cannot be."""
        check_target(path)
        with whole_files.whole_file(path) as draft, applied(self.style):
            self.savefig(draft, metadata=_METADATA[path.suffix.lower()])

    def _repr_png_(self) -> bytes:
        """Return the picture as a notebook shows it."""
        content = io.BytesIO()
        with applied("screen"):
            self.savefig(content, format="png", dpi=self.dpi)
        return content.getvalue()


def check_target(path: Path) -> None:
    """Raise ExportError unless *path* may become a .pdf, .svg or .png file."""
    whole_files.check_target(path, tuple(_METADATA))
