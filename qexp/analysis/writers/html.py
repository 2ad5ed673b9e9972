"""A table as a fragment of HTML that needs no script, no font and no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from qexp.analysis.table.model import Cell, Key, Note, Table
from qexp.analysis.writers.labels import column_labels, number, row_labels, sentence, shown, spans, stub_heads

STYLE = """\
.qexp-table { overflow-x: auto; margin: 1em 0; text-align: left; color: inherit; }
.qexp-table table { border-collapse: collapse; border: 0; border-top: 2px solid; border-bottom: 2px solid;
  margin: 0; font-variant-numeric: tabular-nums; color: inherit; }
.qexp-table thead { border-bottom: 1px solid; }
.qexp-table tr, .qexp-table tr:nth-child(n) { background: none; border: 0; }
.qexp-table tr.qexp-group { border-top: 1px solid color-mix(in srgb, currentcolor 25%, transparent); }
.qexp-table th, .qexp-table td { padding: .25em .75em; border: 0; white-space: nowrap; vertical-align: baseline;
  background: none; color: inherit; }
.qexp-table th { text-align: left; font-weight: normal; }
.qexp-table thead th[scope=col] { text-align: center; font-weight: 600; }
.qexp-table thead th.qexp-axis { text-align: left; vertical-align: bottom; }
.qexp-table thead th.qexp-span { box-shadow: inset 0 -1px color-mix(in srgb, currentcolor 40%, transparent);
  background-clip: content-box; }
.qexp-table td { text-align: center; }
.qexp-table strong { font-weight: 700; }
.qexp-table sup { font-size: .75em; line-height: 0; }
.qexp-table ul { list-style: none; margin: .5em 0; padding: 0; font-size: .85em; }
.qexp-table li { margin: .15em 0; }
.qexp-table details { font-size: .85em; }
.qexp-table pre { margin: .5em 0; white-space: pre-wrap; background: none; color: inherit; }
.qexp-table code { font-family: ui-monospace, monospace; background: none; color: inherit; }
@media print { .qexp-table { overflow: visible; break-inside: avoid; } .qexp-table details { display: none; } }
"""
"""The style of tables, in the colours of the page, so that light, dark and print work."""


def to_html(table: Table) -> str:
    """Return a table as one element for a page, a notebook or a report; the provenance is folded below the notes."""
    lines = [
        '<div class="qexp-table">',
        f"<style>\n{STYLE}</style>",
        "<table>",
        *_head(table),
        *_body(table),
        "</table>",
        *_notes(table.notes),
        *_provenance(table.provenance),
        "</div>",
    ]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    return escape(shown(text))


def _head(table: Table) -> Iterator[str]:
    keys = column_labels(table)
    levels = max(1, len(table.column_axes))
    yield "<thead>"
    for level in range(levels):
        stubs = [_axis(name, levels) for name in stub_heads(table)] if level == 0 else []
        yield f"<tr>{''.join(stubs)}{''.join(_heads(keys, level, last=level == levels - 1))}</tr>"
    yield "</thead>"


def _axis(name: str, levels: int) -> str:
    rows = f' rowspan="{levels}"' if levels > 1 else ""
    return f'<th class="qexp-axis" scope="col"{rows}>{escape(name)}</th>'


def _heads(keys: Sequence[Key], level: int, last: bool) -> Iterator[str]:
    for span in spans(keys, level):
        kind = "" if last else ' class="qexp-span"'
        columns = f' colspan="{span.size}"' if span.size > 1 else ""
        yield f'<th{kind} scope="col"{columns}>{escape(span.label)}</th>'


def _body(table: Table) -> Iterator[str]:
    keys = row_labels(table)
    levels = len(table.row_axes)
    heads: list[list[str]] = [[] for _ in keys]
    for level in range(levels):
        for span in spans(keys, level):
            rows = f' rowspan="{span.size}"' if span.size > 1 else ""
            heads[span.start].append(f'<th scope="row"{rows}>{escape(span.label)}</th>')
    yield "<tbody>"
    for index, cells in enumerate(table.cells):
        is_group = index > 0 and len(heads[index]) == levels > 1
        kind = ' class="qexp-group"' if is_group else ""
        yield f"<tr{kind}>{''.join(heads[index])}{''.join(map(_cell, cells))}</tr>"
    yield "</tbody>"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    text = escape(number(cell))
    count = f" {escape(cell.count_text)}" if cell.count_text else ""
    return f"<td>{f'<strong>{text}</strong>' if cell.bold else text}{count}{_superscript(*cell.marks)}</td>"


def _superscript(*marks: str) -> str:
    return f"<sup>{','.join(map(_text, marks))}</sup>" if any(marks) else ""


def _notes(notes: Sequence[Note]) -> Iterator[str]:
    if notes:
        yield "<ul>"
        for note in notes:
            mark = f"{_superscript(note.mark)} " if note.mark else ""
            command = f"<br><code>{_text(note.command)}</code>" if note.command else ""
            yield f"<li>{mark}{_text(sentence(note))}{command}</li>"
        yield "</ul>"


def _provenance(lines: Sequence[str]) -> Iterator[str]:
    if lines:
        text = "\n".join(map(_text, lines))
        yield f"<details><summary>how this table was made</summary><pre>{text}</pre></details>"
