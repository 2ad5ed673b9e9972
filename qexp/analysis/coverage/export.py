"""Coverage as a heat map, CSV or JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qexp.analysis.atomic_files import atomic_file
from qexp.analysis.coverage.model import Coverage
from qexp.analysis.plots.style import COLORMAP
from qexp.errors import MissingLibraryError

if TYPE_CHECKING:
    from qexp.analysis.plots.figure import Picture

_PICTURES = (".pdf", ".svg", ".png")
_MOST_WRITTEN = 400
"""The most cells of a picture with counts in them."""
_DARK = 0.55
"""Shares below have a dark colour, on which letters are white."""


def write(found: Coverage, path: Path) -> None:
    """Write .pdf, .svg or .png as a heat map, .csv as the frame, .json as data. Raises ExportError if that fails."""
    suffix = path.suffix.lower()
    if suffix in _PICTURES:
        coverage_figure(found).save(path)
        return
    with atomic_file(path) as draft:
        if suffix == ".csv":
            found.frame.to_csv(draft, index=False)
        else:
            draft.write_text(json.dumps(found.data(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def coverage_figure(found: Coverage) -> Picture:
    """
    Return a matplotlib figure: the share of each cell that is done, with `4/5` in the cell.

    Cells that the grid does not have are white. Above 400 cells no counts are written.
    """
    try:
        from qexp.analysis.plots.figure import Picture, applied
    except ImportError as error:
        raise MissingLibraryError("a figure", "matplotlib") from error
    with applied("paper"):
        width, height = 2.6 + 0.5 * len(found.columns), 1.4 + 0.26 * len(found.rows)
        figure = Picture(figsize=(min(12.0, width), min(16.0, height)))
        axes = figure.subplots()
        shares = np.where(found.expected > 0, found.done / np.maximum(found.expected, 1), np.nan)
        image = axes.imshow(shares, cmap=COLORMAP, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        _label(axes, found)
        _write_counts(axes, found, shares)
        bar = figure.colorbar(image, label="share done")
        bar.outline.set_visible(False)
    return figure


def _label(axes: Any, found: Coverage) -> None:
    names = [" / ".join(key) for key in found.columns]
    is_long = max(map(len, names)) > 5
    axes.set_xticks(range(len(names)), names, **({"rotation": 40, "ha": "right"} if is_long else {}))
    axes.set_yticks(range(len(found.rows)), [" / ".join(key) for key in found.rows])
    axes.set_xlabel(", ".join(found.column_axes))
    axes.set_ylabel(", ".join(found.row_axes))
    axes.set_title(f"{', '.join(found.studies)}: {found.summary}")


def _write_counts(axes: Any, found: Coverage, shares: np.ndarray) -> None:
    if found.expected.size > _MOST_WRITTEN:
        return
    for row, column in np.argwhere(found.expected > 0).tolist():
        text = f"{found.done[row, column]}/{found.expected[row, column]}"
        color = "white" if shares[row, column] < _DARK else "black"
        axes.text(column, row, text, ha="center", va="center", color=color, size=6)
