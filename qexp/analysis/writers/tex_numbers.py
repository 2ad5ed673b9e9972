"""Write numbers of cells as formulas of LaTeX, padded to the widths in their column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from qexp.analysis.table.model import Cell
from qexp.analysis.writers.labels import NOTHING
from qexp.analysis.writers.tex_escaping import TexText

_NUMBER = re.compile(r"([-+]?)(\d+)(\.\d+)?(?:[eE]([-+]?\d+))?")
_WORDS = {"inf": r"\infty", "-inf": r"-\infty", "nan": r"\mathrm{nan}", NOTHING: r"\mbox{---}"}


def formula(cell: Cell, escape: TexText) -> str:
    r"""
    Return the statistic of a cell in math mode: `0.91 \pm 0.02`; dashes if there is no replicate.

    A center and a spread of one power of ten share it: `(1.2 \pm 0.3) \times 10^{-5}`.
    """
    if not cell.text:
        return _WORDS[NOTHING]
    if cell.spread_text and (shared := _shared_power(cell.text, cell.spread_text)):
        return shared
    spread = rf" \pm {_math(cell.spread_text, escape)}" if cell.spread_text else ""
    quartiles = ", ".join(_math(text, escape) for text in cell.interval_texts or ())
    return _math(cell.text, escape) + spread + (rf"\;[{quartiles}]" if quartiles else "")


def _math(text: str, escape: TexText) -> str:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return _WORDS.get(text) or rf"\mbox{{{escape(text)}}}"
    sign, whole, decimals, power = match.groups()
    return f"{sign}{whole}{decimals or ''}{_power(power)}"


def _power(power: str | None) -> str:
    return "" if power is None else rf" \times 10^{{{int(power)}}}"


def _shared_power(center: str, spread: str) -> str:
    first, second = _NUMBER.fullmatch(center), _NUMBER.fullmatch(spread)
    if not (first and second and first[4] and second[4] and int(first[4]) == int(second[4])):
        return ""
    mantissas = [f"{match[1]}{match[2]}{match[3] or ''}" for match in (first, second)]
    return rf"({mantissas[0]} \pm {mantissas[1]}){_power(first[4])}"


@dataclass(frozen=True)
class NumberWidths:
    """The widest parts of the numbers of a column; narrower ones are padded, so that digits stand in line."""

    digits: int = 0
    """Digits before the decimal point."""
    has_sign: bool = False
    spread: str = ""
    """The widest spread."""
    note: str = ""
    """The widest count and marks, in LaTeX."""

    @classmethod
    def of(cls, cells: Iterable[Cell], escape: TexText) -> NumberWidths:
        """Return the widths of the numbers in the cells of one column."""
        shown = [cell for cell in cells if is_decimal(cell.text)]
        lengths = [2 * len(cell.count_text) + len(",".join(cell.marks)) for cell in shown]
        notes = [(length, note_after(cell, escape)) for length, cell in zip(lengths, shown, strict=True)]
        return cls(
            digits=max((len(_whole(cell)) for cell in shown), default=0),
            has_sign=any(cell.text.startswith("-") for cell in shown),
            spread=max((cell.spread_text for cell in shown if is_decimal(cell.spread_text)), key=len, default=""),
            note=max(notes, default=(0, ""))[1],
        )

    def padded(self, cell: Cell, formula: str, note: str) -> str:
        """Return the formula and the note of a cell, padded to the widest ones of this column."""
        if not is_decimal(cell.text):
            return f"${formula}$" + note
        before = "-" * (self.has_sign and not cell.text.startswith("-")) + "0" * (self.digits - len(_whole(cell)))
        after = "0" * (len(self.spread) - len(cell.spread_text)) if is_decimal(cell.spread_text) else ""
        if self.spread and cell.spread_text == NOTHING:
            formula = formula.replace(_WORDS[NOTHING], r"\rlap{---}" + _phantom(self.spread))
        return f"${_phantom(before)}{formula}{_phantom(after)}${self._beside(note)}"

    def _beside(self, note: str) -> str:
        if note == self.note:
            return note
        return (rf"\rlap{{{note}}}" if note else "") + _phantom(self.note)


def _phantom(text: str) -> str:
    return rf"\phantom{{{text}}}" if text else ""


def is_decimal(text: str) -> bool:
    """Return whether a text is a number without a power of ten."""
    match = _NUMBER.fullmatch(text)
    return match is not None and match[4] is None


def _whole(cell: Cell) -> str:
    return cell.text.lstrip("+-").partition(".")[0]


def note_after(cell: Cell, escape: TexText) -> str:
    """Return the count and the marks behind a number: `(4/5)$^{a}$`; nothing if there are none."""
    count = rf"\,{cell.count_text}" if cell.count_text else ""
    return count + marks(cell.marks, escape)


def marks(texts: Iterable[str], escape: TexText) -> str:
    """Return the marks of notes as a superscript; nothing if there are none."""
    text = ",".join(texts)
    if not text:
        return ""
    return f"$^{{{text}}}$" if re.fullmatch("[A-Za-z0-9,]+", text) else rf"\textsuperscript{{{escape(text)}}}"
