"""Markdown and HTML pages show the values of the table."""

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_support import NASTY, cell, nasty_table, rich_table, table

from qexp.analysis.table import Note
from qexp.analysis.writers import to_html, to_latex, to_markdown
from qexp.analysis.writers.labels import number, shown
from qexp.analysis.writers.markdown import escaped

TABLES = [rich_table(), nasty_table(), table([], cells=[]), table([()], [()], [[cell()]], (), ())]


class Page(HTMLParser):
    """Reads one table: rows of (tag, attributes, text), notes, and the elements that are open."""

    VOID = ("br",)

    def __init__(self, text):
        super().__init__()
        self.rows, self.notes, self.bold, self.marks, self.open, self.tags = [], [], [], [], [], set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in self.VOID:
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append([tag, dict(attrs), ""])
        elif tag == "li":
            self.notes.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "sup" in self.open:
            self.marks.append(data)
        elif "td" in self.open or "th" in self.open:
            self.rows[-1][-1][2] += data
            if "strong" in self.open:
                self.bold.append(data)
        elif "li" in self.open:
            self.notes[-1] += data

    def grid(self):
        """Return the texts of the table, with each label repeated over its span."""
        grid = {}
        for row, cells in enumerate(self.rows):
            column = 0
            for _, attributes, text in cells:
                while (row, column) in grid:
                    column += 1
                for down in range(int(attributes.get("rowspan", 1))):
                    for right in range(int(attributes.get("colspan", 1))):
                        assert grid.setdefault((row + down, column + right), text) is text
        width = 1 + max(column for _, column in grid)
        height = 1 + max(row for row, _ in grid)
        assert len(grid) == width * height
        return [[grid[row, column] for column in range(width)] for row in range(height)]


def shown_cell(found):
    """Return the number and the count of a cell as one text."""
    if found is None:
        return ""
    return number(found) + (f" {found.count_text}" if found.count_text else "")


def body_of(made):
    return [[*map(shown, labels), *map(shown_cell, cells)] for labels, cells in zip(made.rows, made.cells, strict=True)]


@pytest.mark.parametrize("made", TABLES)
def test_html_has_the_labels_numbers_notes_and_marks_of_the_table(made):
    page = Page(to_html(made))
    levels = max(1, len(made.column_axes))
    assert page.grid()[levels:] == body_of(made)
    assert page.bold == [number(c) for row in made.cells for c in row if c and c.bold]
    assert page.notes == [
        (" " if note.mark else "") + shown(note.text) + shown(note.command) * bool(note.command) for note in made.notes
    ]
    marks = [",".join(map(shown, c.marks)) for row in made.cells for c in row if c and c.marks]
    assert page.marks == [*marks, *(shown(note.mark) for note in made.notes if note.mark)]
    assert not page.open


def test_html_spans_groups_and_gives_every_heading_its_scope():
    page = Page(to_html(rich_table()))
    assert page.grid()[:2] == [
        ["classifier", "features", "digits", "digits", "iris", "iris"],
        ["classifier", "features", "accuracy", "loss", "accuracy", "loss"],
    ]
    heads = [cell for row in page.rows for cell in row if cell[0] == "th"]
    assert {cell[1]["scope"] for cell in heads[:8]} == {"col"}
    assert {cell[1]["scope"] for cell in heads[8:]} == {"row"}
    assert [cell[1].get("rowspan") for cell in heads[8:]] == ["2", None, None, "2", None, None]


def test_html_asks_for_nothing_from_elsewhere():
    text = to_html(nasty_table())
    assert not Page(text).tags & {"script", "link", "img", "iframe", "b", "a"}
    assert not re.search(r"url\(|@import|https?:", text)


def unescaped(text):
    """Return the text that a reader of Markdown sees."""
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text))


def pipe_table(text):
    """Return the cells of a pipe table as they are written, the alignment, and the lines below."""
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("|"))
    rows = [line for line in lines[start:] if line.startswith("|")]
    cells = [[part.strip() for part in re.split(r"(?<!\\)(?:\\\\)*\|", row[1:-1])] for row in rows]
    return cells[0], cells[1], cells[2:], lines[start + len(rows) :]


@pytest.mark.parametrize("made", TABLES)
def test_markdown_has_the_labels_and_numbers_of_the_table(made):
    head, rule, rows, _ = pipe_table(to_markdown(made))
    assert len(head) == len(made.row_axes) + len(made.columns)
    assert all(re.fullmatch(":-+|-+:", part) for part in rule)
    found = [[unescaped(re.sub(r"<sup>.*</sup>|\*\*", "", part)) for part in row] for row in rows]
    assert found == [[text.strip() for text in row] for row in body_of(made)]


def test_markdown_flattens_headings_and_shows_bold_marks_and_notes():
    text = to_markdown(rich_table())
    head, _, rows, below = pipe_table(text)
    assert head[2:] == ["digits / accuracy", "digits / loss", "iris / accuracy", "iris / loss"]
    assert rows[1][2] == "**0.95 ± 0.01**"
    assert rows[0][4] == "0.50 ± 0.10 (4/5)<sup>a</sup>"
    assert rows[1][4] == "— (0/5)<sup>a,b</sup>"
    assert "  `qexp wait lenet`" in below
    assert text.startswith("<!--\nstudy lenet, revision 3")


def test_provenance_cannot_end_its_comment():
    text = to_markdown(table(provenance=("--> <script>", "--!> x", "qexp table s --where 'x > 1'")))
    assert text.index("-->") == text.index("\n-->") + 1
    assert "--!>" not in text
    assert "qexp table s --where 'x > 1'" in text


@given(st.text())
def test_any_text_comes_back_from_markdown_and_no_cell_ends_early(text):
    assert unescaped(escaped(text)) == shown(text)
    made = to_markdown(table([text or "x"], ["y"], [[cell()]], notes=(Note("open", text, "a", text or "x"),)))
    head, _, (row,), _ = pipe_table(made)
    assert len(head) == len(row) == 2


@given(st.text())
def test_any_text_comes_back_from_html(text):
    page = Page(to_html(table([text], ["y"], [[cell()]], notes=(Note("open", text, text, text),), provenance=(text,))))
    assert page.grid()[1][0] == shown(text)
    assert not page.open


def test_labels_that_mean_something_are_those_of_the_table():
    grid = Page(to_html(nasty_table())).grid()
    assert [row[0] for row in grid[1:]] == list(map(shown, NASTY))


def test_advice_is_plain_text_without_a_command():
    made = table(notes=(Note("open", "fold has several values", "a", advice="choose --average fold"),))
    assert "- <sup>a</sup> fold has several values; choose --average fold\n" in to_markdown(made)
    assert "fold has several values; choose --average fold</li>" in to_html(made)
    assert r"fold has several values; choose -{}-average fold\par" in to_latex(made)
    assert "`choose" not in to_markdown(made) and "<code>choose" not in to_html(made)
