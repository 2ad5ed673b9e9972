"""Coverage as a file: a figure, CSV or JSON."""

from __future__ import annotations

import json
from pathlib import Path

from qexp.analysis.atomic_files import atomic_file
from qexp.analysis.coverage.figure import SUFFIXES, coverage_figure
from qexp.analysis.coverage.model import Coverage


def write(found: Coverage, path: Path) -> None:
    """Write .pdf, .svg or .png as a heat map, .csv as the frame, .json as data. Raises ExportError if that fails."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        coverage_figure(found).save(path)
        return
    with atomic_file(path) as draft:
        if suffix == ".csv":
            found.frame.to_csv(draft, index=False)
        else:
            draft.write_text(json.dumps(found.data(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
