"""Cells and columns for siunitx 3, which aligns numbers at their decimal points."""

from __future__ import annotations

from collections.abc import Sequence

from qexp.analysis.table.model import Cell
from qexp.analysis.writers.tex_escaping import TexText
from qexp.analysis.writers.tex_numbers import NumberWidths, formula, is_decimal

_OPTIONS = "uncertainty-mode=separate, table-align-uncertainty=false, retain-zero-uncertainty, detect-weight"


def column_type(cells: Sequence[Cell], widths: NumberWidths) -> str:
    r"""Return the type of a column: `S[table-format=1.2(2), …]`, or `c` if no cell is a plain number."""
    numbers = [cell for cell in cells if _is_plain(cell)]
    if not numbers:
        return "c"
    decimals = max(len(cell.text.partition(".")[2]) for cell in numbers)
    spread = max(_spread_digits(cell.spread_text) for cell in numbers)
    whole = f"{'-' if widths.has_sign else ''}{widths.digits}"
    form = whole + (f".{decimals}" if decimals else "") + (f"({spread})" if spread else "")
    after = f", table-space-text-post={{{widths.note}}}" if widths.note else ""
    return f"S[table-format={form}, {_OPTIONS}{after}]"


def cell_text(cell: Cell, note: str, escape: TexText) -> str:
    r"""Return a cell: a number for siunitx, or a formula in braces, which siunitx does not change."""
    text = formula(cell, escape)
    if not _is_plain(cell):
        shown = rf"\mathbf{{{text}}}" if cell.bold else text
        return f"{{${shown}${note}}}"
    return (r"\bfseries " if cell.bold else "") + text + (f" {{{note}}}" if note else "")


def _is_plain(cell: Cell) -> bool:
    return is_decimal(cell.text) and not cell.interval and (not cell.spread_text or is_decimal(cell.spread_text))


def _spread_digits(text: str) -> int:
    """Return the digits of a spread without zeros before the point, as siunitx counts them."""
    whole, _, decimals = text.partition(".")
    return len(whole.lstrip("0")) + len(decimals)
