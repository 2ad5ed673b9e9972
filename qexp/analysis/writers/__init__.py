"""Write finished tables as LaTeX, Markdown, HTML, CSV and JSON, without computing anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from qexp.analysis.atomic_files import atomic_file, check_target
from qexp.analysis.table.model import Table
from qexp.analysis.writers.data_formats import to_csv, to_data, to_frame, to_json
from qexp.analysis.writers.html import to_html
from qexp.analysis.writers.latex import to_latex
from qexp.analysis.writers.macros import to_macros
from qexp.analysis.writers.markdown import to_markdown
from qexp.errors import ExportError, nearest

FORMATS: Mapping[str, Callable[[Table], str]] = {
    "tex": to_latex,
    "md": to_markdown,
    "html": to_html,
    "csv": to_csv,
    "json": to_json,
}
"""The formats by the suffix of their files."""
SUFFIXES = tuple(f".{name}" for name in FORMATS)


def render(table: Table, form: str, siunitx: bool = False) -> str:
    """Return a table in one of FORMATS as text. Raises ExportError for another format."""
    if form not in FORMATS:
        raise ExportError(f"found the format {form!r}, expected one of {', '.join(FORMATS)}{nearest(form, FORMATS)}")
    return to_latex(table, siunitx=siunitx) if form == "tex" else FORMATS[form](table)


def check_table_file(path: Path) -> None:
    """Raise ExportError unless a table can be written to *path*; call this before the table is computed."""
    check_target(path, SUFFIXES)


def check_macros_file(path: Path) -> None:
    """Raise ExportError unless macros can be written to *path*."""
    check_target(path, (".tex",))


def write(table: Table, path: Path, siunitx: bool = False) -> None:
    """
    Write a table to a file; its suffix .tex, .md, .html, .csv or .json decides the format.

    The file appears complete or not at all. Raises ExportError if it cannot be written.
    """
    check_table_file(path)
    save(render(table, path.suffix.lower().removeprefix("."), siunitx), path)


def save(text: str, path: Path) -> None:
    """Write text as UTF-8, complete or not at all."""
    with atomic_file(path) as draft:
        draft.write_bytes(encoded(text))


def encoded(text: str) -> bytes:
    """Return text as the bytes of its file."""
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate is no text


__all__ = [
    "FORMATS",
    "check_macros_file",
    "check_table_file",
    "encoded",
    "render",
    "save",
    "to_csv",
    "to_data",
    "to_frame",
    "to_html",
    "to_json",
    "to_latex",
    "to_macros",
    "to_markdown",
    "write",
]
