"""Differences between a file and its table name the cells, the old text and the new text."""

import dataclasses

import pytest
from table_support import cell, nasty_table, rich_table, table

from qexp.analysis.writers import FORMATS, render, to_macros
from qexp.analysis.writers.text_diff import difference, first_line, macro_difference


def changed(made, row, column, new):
    """Return a table with another cell."""
    cells = [list(line) for line in made.cells]
    cells[row][column] = new
    return dataclasses.replace(made, cells=tuple(map(tuple, cells)))


@pytest.mark.parametrize("siunitx", [False, True])
def test_a_changed_cell_of_latex_is_named_with_both_texts(siunitx):
    before = rich_table()
    after = changed(before, 1, 2, cell(0.62, 0.03, 5))
    texts = [render(made, "tex", siunitx) for made in (before, after)]
    said = difference(*texts, "tex", after)
    assert said.startswith("1 cell (SVC / scaled / iris / accuracy: ")
    assert " → 0.62 ± 0.03" in said
    assert "(0/5)" in said


def test_many_changed_cells_are_counted_and_three_are_named():
    before = table()
    after = table(cells=[[cell(9), cell(8)], [cell(7), cell(6)]])
    said = difference(render(before, "tex"), render(after, "tex"), "tex", after)
    assert said.startswith("4 cells (SVC / digits: 0.14 ± 0.02")
    assert said.count("→") == 3
    assert said.endswith("; …)")


def test_another_bold_cell_differs_though_no_number_does():
    before = changed(table(), 0, 0, cell(0.5, bold=True))
    after = changed(table(), 0, 0, cell(0.5))
    said = difference(render(before, "tex"), render(after, "tex"), "tex", after)
    assert said == "1 cell (SVC / digits: **0.50 ± 0.02** → 0.50 ± 0.02)"


@pytest.mark.parametrize("form", ["md", "html", "csv", "json"])
def test_another_format_is_described_by_its_first_different_line(form):
    before, after = table(), changed(table(), 1, 0, cell(0.62, 0.03))
    said = difference(render(before, form), render(after, form), form, after)
    assert said.startswith("line ")
    assert "0.62" in said


@pytest.mark.parametrize("form", FORMATS)
def test_another_row_or_head_is_described_by_the_first_different_line(form):
    before, after = table(), table(rows=("SVC", "forest"))
    assert difference(render(before, form), render(after, form), form, after).startswith("line ")
    after = table(provenance=("study s, revision 2",))
    assert "line " in difference(render(before, form), render(after, form), form, after)


@pytest.mark.parametrize("form", FORMATS)
def test_nasty_labels_do_not_confuse_cells(form):
    before = nasty_table()
    after = changed(before, 3, 4, cell(0.75))
    said = difference(render(before, form), render(after, form), form, after)
    assert "0.5" in said
    assert "0.75" in said
    assert "\n" not in said


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("old", ["", "{]", "[]", '{"rows": 3}', "\\midrule\n\\\\\n", "| a |\n", "\0\n\n"])
def test_a_file_that_is_no_table_is_described_by_its_first_line(form, old):
    after = table()
    assert difference(old, render(after, form), form, after).startswith("line 1: ")


def test_macros_are_named():
    before, after = table(), changed(table(), 1, 0, cell(0.62))
    said = macro_difference(to_macros({"t": before}), to_macros({"t": after, "u": after}))
    assert said.startswith(r"5 cells (\tTreeDigits: 0.43 ± 0.02 → 0.62 ± 0.02; \uSVCDigits: nothing → 0.14 ± 0.02; ")
    gone = macro_difference(to_macros({"t": before, "u": before}), to_macros({"t": before}))
    assert gone.startswith(r"4 cells (\uSVCDigits: 0.14 ± 0.02 → nothing; ")


def test_line_ends_and_missing_lines_are_described():
    assert first_line("a\r\nb\r\n", "a\nb\n") == "line ends"
    assert first_line("a\n", "a\nb\n") == "line 2: no line → b"
    assert first_line("a\n\nb\n", "a\nb\n") == "line 2: an empty line → b"
    assert len(first_line("x" * 999, "y" * 999)) < 200
    assert first_line("x" * 999 + "old", "x" * 999 + "new") == f"line 1: …{'x' * 40}old → …{'x' * 40}new"
    assert first_line("x" * 999, "x" * 999 + "new") == f"line 1: …{'x' * 40} → …{'x' * 40}new"
