"""A table on a terminal has whole columns, whole numbers, and commands that can be copied."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from table_support import big_table, cell, nasty_table, rich_table, table

from qexp.analysis.table import Note
from qexp.analysis.text_layout import StyledText
from qexp.analysis.writers.labels import number
from qexp.cli import output, summary_table
from qexp.cli.table import show as show_table


def lines_of(made, width=80, show=summary_table.show_summary):
    """Return the lines that a screen of so many columns shows."""
    console = Console(width=width, color_system=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "console", lambda: console)
        with console.capture() as capture:
            show(made)
    return capture.get().rstrip("\n").split("\n")


def test_labels_numbers_counts_marks_and_notes_are_shown():
    assert lines_of(rich_table(), 120) == [
        "                         ──────────── digits ────────────  ────────────── iris ──────────────",
        "classifier     features     accuracy                 loss     accuracy                   loss",
        "─────────────────────────────────────────────────────────────────────────────────────────────",
        "SVC            raw       0.91 ± 0.02         12.30 ± 0.51  0.50 ± 0.10 (4/5)ᵃ    -1.50 ± 0.25",
        "               scaled    0.95 ± 0.01          9.75 ± 0.50            — (0/5)ᵃ˒ᵇ   0.25 ± 0.10",
        "decision tree  raw          0.88 ± — (1/5)  10.50 ± 11.25  0.70 ± 0.10",
        "               scaled    0.90 ± 0.00            nan ± nan  0.75 ± 0.10            2.00 ± 0.02",
        "",
        "mean ± std over 5 seeds; bold: best of its column",
        "ᵃ SVC / raw / iris: 1 of 5 failed",
        "    qexp requeue lenet --failed --where 'x > 1'",
        "ᵇ SVC / scaled / iris: 5 are queued",
        "    qexp wait lenet",
    ]


def test_a_column_without_room_is_left_out_whole_and_named():
    lines = lines_of(rich_table(), 80)
    assert all(len(line) <= 80 for line in lines)
    assert "-1.50" not in "\n".join(lines)
    assert "not shown: iris / loss; widen the window, or --format csv" in lines


def test_of_many_columns_some_are_named_and_the_others_counted():
    text = " ".join(lines_of(big_table(), 80))
    assert "not shown: column_4, column_5, column_6, column_7, column_8, column_9 and 90 more" in text


@pytest.mark.parametrize("show", [summary_table.show_summary, lambda made: show_table(made, "table")])
def test_a_long_command_is_one_line_and_a_long_note_is_wrapped(show):
    command = "qexp requeue lenet --where " + "x" * 100
    lines = lines_of(table(notes=(Note("missing", "word " * 40, "a", command),)), 60, show)
    assert f"    {command}" in lines
    notes = [line for line in lines if "word" in line]
    assert len(notes) > 2
    assert all(len(line) <= 60 for line in notes)


def test_long_labels_are_cut_before_numbers():
    lines = lines_of(table(["package.module.Classifier" * 3, "x"], ["digits"]), 40)
    assert any(line.startswith("package") and "…" in line and line.endswith("0.14 ± 0.02") for line in lines)
    assert all(len(line) <= 40 for line in lines)


def test_long_labels_of_rows_and_columns_stay_distinct():
    paths = [f"/data/models/resnet50/checkpoint_epoch_{number:03}.pt" for number in (10, 20, 30)]
    texts = [f"a sentence of many words that ends in {number}" for number in (1, 2)]
    head, _, *rows = lines_of(table(paths, texts), 60)
    assert all(cell_len(line) <= 60 for line in [head, *rows])
    assert len({row.split()[0] for row in rows[:3]}) == 3
    assert head.endswith("… that ends in 1")


@settings(deadline=None)
@given(width=st.integers(10, 200), made=st.sampled_from([rich_table(), nasty_table(), table([], cells=[])]))
def test_no_number_is_ever_cut(width, made):
    text = "\n".join(lines_of(made, width))
    first = [row[0] for row in made.cells]
    assert all(number(found) in text for found in first if found)


def test_characters_that_control_a_terminal_are_escaped():
    text = "\n".join(lines_of(nasty_table(), 1000))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"a\x1b[31m" in text


def test_bold_is_bold_on_a_screen():
    made = table(["x"], ["y"], [[cell(0.5, bold=True)]])
    assert StyledText("0.50 ± 0.02", "bold") in [
        piece for line in summary_table.summary_lines(made, 80) for piece in line
    ]


def test_wide_characters_take_two_columns():
    head, _, *rows = lines_of(table(["日本語", "x"], ["digits"]), 80)
    assert {cell_len(line) for line in rows} == {cell_len(head)}
