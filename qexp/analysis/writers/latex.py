r"""A table for a paper: a booktabs tabular that `\input{table.tex}` sets, with its provenance as comments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qexp.analysis.table.model import Cell, Key, Note, Table
from qexp.analysis.writers import tex_siunitx
from qexp.analysis.writers.labels import column_labels, row_labels, sentence, shown, spans, stub_heads
from qexp.analysis.writers.tex_escaping import TexText, describe
from qexp.analysis.writers.tex_numbers import NumberWidths, formula, marks, note_after


def to_latex(table: Table, siunitx: bool = False) -> str:
    r"""
    Return a table as LaTeX that needs booktabs only, or booktabs and siunitx with *siunitx*.

    The tabular stands alone, so that you choose its float, caption and label. The notes stand below it in a minipage
    as wide as the line. Commands of notes are comments.
    """
    escape = TexText()
    body = [*_tabular(table, siunitx, escape), *_minipage(table.notes, escape)]
    packages = "booktabs,siunitx" if siunitx else "booktabs"
    lines = [*comments(table.provenance), *comments([rf"needs \usepackage{{{packages}}}"])]
    lines += comments(map(describe, sorted(escape.replaced)))
    lines += _note_comments(table.notes)
    return "\n".join([*lines, *body]) + "\n"


def comments(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines of text as lines of comments."""
    for text in lines:
        for line in text.splitlines() or [""]:
            yield f"% {shown(line) if line else ''}".rstrip()


def _note_comments(notes: Sequence[Note]) -> Iterator[str]:
    for note in notes:
        if note.command:
            yield from comments([f"{note.mark}: {note.text}" if note.mark else note.text, f"  {note.command}"])


def _tabular(table: Table, siunitx: bool, escape: TexText) -> Iterator[str]:
    columns = list(zip(*table.cells, strict=True)) if table.cells else [()] * len(table.columns)
    held = [[cell for cell in column if cell is not None] for column in columns]
    column_widths = [NumberWidths.of(cells, escape) for cells in held]
    types = map(tex_siunitx.column_type, held, column_widths) if siunitx else "c" * len(column_widths)
    yield rf"\begin{{tabular}}{{@{{}}{'l' * len(table.row_axes)}{''.join(types)}@{{}}}}"
    yield r"\toprule"
    yield from _head(table, siunitx, escape)
    yield r"\midrule"
    yield from _rows(table, column_widths, siunitx, escape)
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _head(table: Table, siunitx: bool, escape: TexText) -> Iterator[str]:
    keys, first = column_labels(table), len(table.row_axes)
    last = max(1, len(table.column_axes)) - 1
    for level in range(last):
        found = spans(keys, level)
        heads = [rf"\multicolumn{{{span.size}}}{{c}}{{{escape(span.label)}}}" for span in found]
        yield _line([""] * first + heads)
        yield " ".join(rf"\cmidrule(lr){{{first + s.start + 1}-{first + s.start + s.size}}}" for s in found)
    heads = [escape(key[last]) for key in keys]
    yield _line([*map(escape, stub_heads(table)), *([f"{{{head}}}" for head in heads] if siunitx else heads)])


def _rows(table: Table, column_widths: Sequence[NumberWidths], siunitx: bool, escape: TexText) -> Iterator[str]:
    keys = row_labels(table)
    heads = _labels_once(keys, len(table.row_axes))
    levels = len(table.row_axes)
    for index, (labels, cells) in enumerate(zip(heads, table.cells, strict=True)):
        if levels > 1 and index > 0 and keys[index][0] != keys[index - 1][0]:
            yield r"\addlinespace"
        shown_cells = [_cell(cell, widths, siunitx, escape) for cell, widths in zip(cells, column_widths, strict=True)]
        yield _line([*(escape(label) if label else "" for label in labels), *shown_cells])


def _labels_once(keys: Sequence[Key], levels: int) -> list[list[str]]:
    """Return the labels of each row; those that repeat the row above are empty."""
    heads = [[""] * levels for _ in keys]
    for level in range(levels):
        for span in spans(keys, level):
            heads[span.start][level] = span.label
    return heads


def _cell(cell: Cell | None, widths: NumberWidths, siunitx: bool, escape: TexText) -> str:
    if cell is None:
        return ""
    note = note_after(cell, escape)
    if siunitx:
        return tex_siunitx.cell_text(cell, note, escape)
    text = formula(cell, escape)
    return widths.padded(cell, rf"\mathbf{{{text}}}" if cell.bold else text, note)


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells).strip() + r" \\"


def _minipage(notes: Sequence[Note], escape: TexText) -> Iterator[str]:
    if notes:
        yield r"\par\smallskip"
        yield r"\noindent\begin{minipage}{\linewidth}\footnotesize\raggedright"
        for note in notes:
            mark = rf"{marks([note.mark], escape)}\," if note.mark else ""
            yield rf"{mark}{escape(sentence(note))}\par"
        yield r"\end{minipage}"
